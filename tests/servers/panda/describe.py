"""Tasks and jobs as the server describes them.

Source: JediTaskSpec, JobSpec.to_dict_advanced and FileSpec.to_dict in pandaserver/taskbuffer, and
getJediTaskDetails, get_task_details_json, of panda-server 1.0.4. The names are the protocol's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .api import stamp
from .model import InputFile, Job, Task


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_JOB = _names(
    """
    PandaID jobDefinitionID schedulerID pilotID creationTime creationHost modificationTime
    modificationHost AtlasRelease transformation homepackage prodSeriesLabel prodSourceLabel
    prodUserID assignedPriority currentPriority attemptNr maxAttempt jobStatus jobName maxCpuCount
    maxCpuUnit maxDiskCount maxDiskUnit ipConnectivity minRamCount minRamUnit startTime endTime
    cpuConsumptionTime cpuConsumptionUnit commandToPilot transExitCode pilotErrorCode
    pilotErrorDiag exeErrorCode exeErrorDiag supErrorCode supErrorDiag ddmErrorCode ddmErrorDiag
    brokerageErrorCode brokerageErrorDiag jobDispatcherErrorCode jobDispatcherErrorDiag
    taskBufferErrorCode taskBufferErrorDiag computingSite computingElement jobParameters metadata
    prodDBlock dispatchDBlock destinationDBlock destinationSE nEvents grid cloud cpuConversion
    sourceSite destinationSite transferType taskID cmtConfig stateChangeTime prodDBUpdateTime
    lockedby relocationFlag jobExecutionID VO pilotTiming workingGroup processingType prodUserName
    nInputFiles countryGroup batchID parentID specialHandling jobsetID coreCount nInputDataFiles
    inputFileType inputFileProject inputFileBytes nOutputDataFiles outputFileBytes jobMetrics
    workQueue_ID jediTaskID jobSubStatus actualCoreCount reqID maxRSS maxVMEM maxSWAP maxPSS avgRSS
    avgVMEM avgSWAP avgPSS maxWalltime nucleus eventService failedAttempt hs06sec gshare hs06
    totRCHAR totWCHAR totRBYTES totWBYTES rateRCHAR rateWCHAR rateRBYTES rateWBYTES resource_type
    diskIO memory_leak memory_leak_x2 container_name job_label gco2_regional gco2_global
    cpu_architecture_level outputFileType
    """
)
_ZERO = _names(
    """
    assignedPriority currentPriority attemptNr maxAttempt maxCpuCount maxDiskCount minRamCount
    cpuConsumptionTime pilotErrorCode exeErrorCode supErrorCode ddmErrorCode brokerageErrorCode
    jobDispatcherErrorCode taskBufferErrorCode nEvents relocationFlag jobExecutionID
    nOutputDataFiles outputFileBytes
    """
)
_FILE = _names(
    """
    row_ID PandaID GUID lfn type dataset status prodDBlock prodDBlockToken dispatchDBlock
    dispatchDBlockToken destinationDBlock destinationDBlockToken destinationSE fsize md5sum
    checksum scope jediTaskID datasetID fileID attemptNr
    """
)
_TASK = _names(
    """
    jediTaskID taskName status userName creationDate modificationTime startTime endTime frozenTime
    prodSourceLabel workingGroup vo coreCount taskType processingType taskPriority currentPriority
    architecture transUses transHome transPath lockedBy lockedTime termCondition splitRule walltime
    walltimeUnit outDiskCount outDiskUnit workDiskCount workDiskUnit ramCount ramUnit ioIntensity
    ioIntensityUnit workQueue_ID progress failureRate errorDialog reqID oldStatus cloud site
    countryGroup parent_tid eventService ticketID ticketSystemType stateChangeTime superStatus
    campaign mergeRamCount mergeRamUnit mergeWalltime mergeWalltimeUnit throttledTime numThrottled
    mergeCoreCount goal assessmentTime cpuTime cpuTimeUnit cpuEfficiency baseWalltime nucleus
    baseRamCount ttcRequested ttcPredicted ttcPredictionDate rescueTime requestType gshare
    resource_type useJumbo diskIO diskIOUnit memory_leak_core memory_leak_x2 attemptNr
    container_name framework activatedTime queuedTime actionTime
    """
)


def task(found: Task) -> dict[str, Any]:
    """Describe a task as get_detailed_info does."""
    told: dict[str, Any] = {name: found.parameters.get(name) for name in _TASK}
    count = len(found.files)
    finished, failed = found.count("finished"), found.failed_files
    return told | {
        "jediTaskID": found.number,
        "status": found.status,
        "userName": found.user,
        "creationDate": stamp(found.created),
        "modificationTime": stamp(found.changed),
        "stateChangeTime": stamp(found.changed),
        "startTime": stamp(found.started),
        "endTime": stamp(found.ended),
        "errorDialog": found.error,
        "oldStatus": found.old_status,
        "parent_tid": found.parent or found.number,
        "reqID": found.number,
        "attemptNr": found.attempt,
        "job_execution_params": None,
        "task_creation_arguments": found.parameters.get("cliParams"),
        "raw_task_params": found.parameters,
        "nFiles": count,
        "nFilesFinished": finished,
        "nFilesFailed": failed,
        "nFilesMissing": 0,
        "pctFinished": round(100 * finished / count) if count else 0,
        "pctFailed": round(100 * failed / count) if count else 0,
    }


def details(found: Task | None, jobs: Mapping[int, Job]) -> dict[str, Any]:
    """Describe a task as get_details does; an unknown task gives an empty description."""
    told: dict[str, Any] = {
        "inDS": "",
        "outDS": "",
        "statistics": "",
        "PandaID": [],
        "mergeStatus": None,
        "mergePandaID": [],
    }
    if found is None:
        return told
    # The last job of each input, without earlier attempts.
    told["PandaID"] = list({file.panda_id for file in found.files if file.panda_id is not None})
    outputs = [
        item["dataset"]
        for item in found.parameters.get("jobParameters", ())
        if item.get("param_type") == "output" and "dataset" in item
    ]
    told["outDS"] = ",".join(outputs)
    counts: Counter[str] = Counter()
    for file in found.files:
        counts[_word(file, jobs)] += 1
    order = ("tobedone", "finished", "failed")
    words = sorted(counts, key=lambda word: order.index(word) if word in order else len(order))
    told["statistics"] = ",".join(f"{word}*{counts[word]}" for word in words)
    return told


def _word(file: InputFile, jobs: Mapping[int, Job]) -> str:
    if file.status == "finished":
        return "finished"
    if file.status == "ready":
        return "tobedone" if file.tries_left else "failed"
    return jobs[file.panda_id].status if file.panda_id is not None else "picked"


def job(found: Job, its_task: Task, *, extra: bool = False) -> dict[str, Any]:
    """Describe a job as ``JobSpec.to_dict_advanced`` does."""
    given = its_task.parameters
    told: dict[str, Any] = dict.fromkeys(_JOB) | dict.fromkeys(_ZERO, 0)
    told |= {
        "PandaID": found.number,
        "jobDefinitionID": 0,
        "creationTime": stamp(found.created),
        "modificationTime": stamp(found.changed),
        "stateChangeTime": stamp(found.changed),
        "startTime": stamp(found.started),
        "endTime": stamp(found.ended),
        "transformation": given.get("transPath"),
        "homepackage": given.get("transHome"),
        "prodSourceLabel": given.get("prodSourceLabel"),
        "prodUserID": found.user,
        "prodUserName": found.user,
        "currentPriority": given.get("currentPriority", given.get("taskPriority")),
        "assignedPriority": given.get("taskPriority"),
        "attemptNr": found.attempt,
        "maxAttempt": max(file.max_attempt for file in its_task.files),
        "jobStatus": found.status,
        "jobName": f"{its_task.name}.{found.number}",
        # As on the real server: a tenth less than requested.
        "minRamCount": round(0.9 * float(given.get("ramCount") or 0)),
        "minRamUnit": "MB",
        "maxDiskCount": int(given.get("workDiskCount") or 0),
        "maxDiskUnit": "MB",
        "computingSite": found.site,
        "jobParameters": found.parameters,
        "cloud": given.get("cloud"),
        "cmtConfig": given.get("architecture"),
        "VO": given.get("vo"),
        "workingGroup": given.get("workingGroup"),
        "processingType": given.get("processingType"),
        "specialHandling": "sj" if found.scout else None,
        "coreCount": found.cores,
        "nInputDataFiles": len(found.files),
        "taskID": found.task,
        "jediTaskID": found.task,
        "reqID": found.task,
        "lockedby": "jedi",
        "commandToPilot": "tobekilled" if found.killed_by else None,
        "container_name": given.get("container_name"),
    }
    told |= found.fields
    told["Files"] = [
        dict.fromkeys(_FILE)
        | {
            "PandaID": found.number,
            "lfn": file.lfn,
            "type": "pseudo_input",
            "dataset": "pseudo_dataset",
            "status": "ready",
            "prodDBlock": "pseudo_dataset",
            "fsize": 0,
            "jediTaskID": found.task,
            "datasetID": its_task.dataset,
            "fileID": file.number,
            "attemptNr": found.attempt,
        }
        for file in its_task.files
        if file.number in found.files
    ]
    if extra:
        both = found.started is not None and found.ended is not None
        told["jobDuration"] = (found.ended or 0) - (found.started or 0) if both else None
        kind = "scout" if found.scout else "normal"
        told["extendedProdSourceLabel"] = f"{told['prodSourceLabel']}_{kind}"
    return told
