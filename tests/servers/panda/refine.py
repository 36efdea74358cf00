"""From task parameters to inputs and job parameters, as JEDI's refiner and job generator do it.

Sources: pandajedi/jedirefine/{TaskRefinerBase,GenTaskRefiner}.py, pandajedi/jediorder/
{ContentsFeeder,JobGenerator}.py of panda-server 1.0.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .model import InputFile, Task

# Without one of them the refiner raises a KeyError, and the task ends `broken`.
REQUIRED = (
    "taskName",
    "userName",
    "vo",
    "prodSourceLabel",
    "taskPriority",
    "architecture",
    "transUses",
    "transHome",
    "processingType",
    "taskType",
)
_TRANSFORMATION = "https://pandaserver-doma.cern.ch/trf/user/runGen-00-00-02"
_DEFAULT_ATTEMPTS = 3
_MOST_FILES_PER_JOB = 200


class BrokenError(Exception):
    """The task cannot be refined."""


class HeldError(Exception):
    """The task's inputs cannot be listed: it stays pending."""


def refine(parameters: dict[str, Any]) -> None:
    """Complete the parameters of a task in place.

    Raises:
        BrokenError: What is wrong with them.
    """
    if "cloud" not in parameters and "workingGroup" in parameters:
        parameters["cloud"] = parameters["workingGroup"]
    parameters.setdefault("transPath", _TRANSFORMATION)
    if "ramCount" not in parameters:
        parameters.update(ramCount=2000, ramUnit="MBPerCore")
    for flag in ("pushStatusChanges", "messageDriven"):
        parameters.setdefault(flag, True)
    for name in REQUIRED:
        if name not in parameters:
            raise BrokenError(f"failed to extract common parameters with KeyError:'{name}'")
    if "jobParameters" not in parameters:
        raise BrokenError("failed to refine task with KeyError:'jobParameters'")
    for item in parameters["jobParameters"]:
        if "type" not in item:
            raise BrokenError("failed to refine task with KeyError:'type'")


def inputs(task: Task, first: int) -> list[InputFile]:
    """List the inputs of a task.

    Args:
        task: It has been refined.
        first: Number of the first input.

    Raises:
        HeldError: The list is shorter than ``nFiles`` says.
        BrokenError: There is no input that this server knows.
    """
    parameters = task.parameters
    attempts = int(parameters.get("maxAttempt") or _DEFAULT_ATTEMPTS)
    if parameters.get("noInput") is not True:
        raise BrokenError("this test server has no data sets: use noInput")
    texts: list[str] = parameters.get("pfnList", [])
    count = int(parameters.get("nFiles", 1))
    if "pfnList" in parameters and count > len(texts):
        raise HeldError("failed to get files for pseudo_dataset due to list index out of range")
    found = []
    for index in range(count):
        if "pfnList" in parameters:
            text = texts[index].split("^")[0]
            lfn = f"{index:06d}:{texts[index].split('/')[-1].split('^')[0]}"
        else:
            text = lfn = "pseudo_lfn"
        found.append(InputFile(first + index, lfn, text, attempts))
    return found


def files_per_job(task: Task) -> int:
    return max(1, int(task.parameters.get("nFilesPerJob") or _MOST_FILES_PER_JOB))


def job_parameters(task: Task, files: Sequence[InputFile], serial: int) -> str:
    """Return the command line of a job's transformation.

    Args:
        task: It has been refined.
        files: The job's inputs.
        serial: Of the job in its task; output names have it.
    """
    texts = sorted(file.text for file in files)
    source = str(task.parameters.get("sourceURL", ""))
    values = {"SURL": source, "IN": ",".join(texts), "IN/L": ",".join(texts), "IN/T": str(texts)}
    values |= {"SN": str(serial), "SN/P": f"{serial:06d}"}
    outputs = 0
    line = ""
    for item in task.parameters["jobParameters"]:
        value = str(item.get("value", ""))
        if item["type"] == "template" and item.get("param_type") in ("output", "log"):
            value = _fill(value.replace("$JEDITASKID", str(task.number)), values)
            if item["param_type"] == "output":
                values[f"OUTPUT{outputs}"] = value
                outputs += 1
        if item.get("hidden") or item.get("param_type") in ("log", "input"):
            continue
        line += value + ("" if item.get("padding") is False else " ")
    return _fill(line, values).replace("$JEDITASKID", str(task.number)).strip()


def _fill(text: str, values: dict[str, str]) -> str:
    # Unlike the real server, unknown placeholders stay, so that a test can see them.
    return re.sub(r"\$\{([^}]+)\}", lambda found: values.get(found[1], found[0]), text)
