"""Explains DIRAC's minor and application statuses: the reason, and what to do.

The texts are those of DIRAC 9.1.22: the constants of ``JobMinorStatus``, and what the job wrapper,
the watchdog, the job agents, the optimizers, ``StalledJobAgent`` and ``JobDB`` set besides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """The reason that a status gives.

    Attributes:
        text: In words for the person at the terminal, with what to do where that is known.
        infrastructure: The site or the system has failed, if the job has.
    """

    text: str
    infrastructure: bool = False


def _site(text: str) -> Reason:
    return Reason(text, infrastructure=True)


_SANDBOX_IN = _site("the site could not fetch the job's input sandbox")
_WRAPPER = _site("DIRAC's job wrapper broke down on the worker node")
_UPLOAD = _site("the job's outputs could not be uploaded from the worker node")
_LATE = "the job ran longer than it may: ask for more by the resource runtime"
_NO_SITE = (
    "no site can take the job: see its grid_site and grid_banned_sites, and where its input data "
    "has replicas (--grid-dirac-inputs fetch lets it run anywhere)"
)
_NO_INPUT = "input data is missing from the file catalog or from all storage elements"

REASONS: dict[str, Reason] = {
    # Before it runs
    "bulk transaction confirmation": _site("the submission in bulk was never confirmed"),
    "job accepted": Reason("accepted"),
    "job rescheduled": Reason("was put back into the queue"),
    "maximum of reschedulings reached": _site("DIRAC has started the job too many times in vain"),
    "pilot agent submission": Reason("waits for a pilot"),
    "staging input files failed": _site("the storage could not bring input files back from tape"),
    "request to be sent": Reason("waits for input files to come back from tape"),
    "request sent": Reason("waits for input files to come back from tape"),
    "on hold": Reason("on hold at the server, which tries again by itself"),
    "illegal job jdl": Reason("the server does not accept the job's JDL: see grid_jdl"),
    "error in jdl syntax": Reason("the server does not accept the job's JDL: see grid_jdl"),
    "input data not available": Reason(_NO_INPUT),
    "no replica info available": Reason(_NO_INPUT),
    "no candidate sites available": Reason(_NO_SITE),
    "no possible site candidates": Reason(_NO_SITE),
    "no destination sites available": Reason(_NO_SITE),
    "impossible site requirement": Reason(_NO_SITE),
    "impossible inputdata * site": Reason(_NO_SITE),
    "do not have all the input data": Reason(
        "no single site has all the input data: the storage elements hold it in pieces"
    ),
    "stage not allowed": Reason("input data is on tape, and this group may not bring it back"),
    "failed to instantiate": _site("the server could not reach its file catalog"),
    "could not determine ses": _site("the server does not know the storage of a site"),
    "no local ses": _site("a site has no storage element"),
    "not in chain": _site("the server lost its way in the checks of the job"),
    # The pilot takes it
    "could not extract jdl parameters": _site("the pilot could not read the job"),
    "matcher did not return": _site("the pilot got the job in part only"),
    "matcher returned null": _site("the pilot got the job in part only"),
    "job received by agent": Reason("a pilot has taken the job"),
    "installing software": Reason("a pilot prepares the job"),
    "submitting to ce": Reason("a pilot starts the job"),
    "payload failed": _site("DIRAC's job wrapper ended before it could say how the job went"),
    # The job wrapper
    "job initialization": Reason("the worker node prepares the job"),
    "job wrapper initialization": _WRAPPER,
    "jobwrapper execution": _WRAPPER,
    "exception during execution": _WRAPPER,
    "failed downloading inputsandbox": _SANDBOX_IN,
    "downloading inputsandbox": _SANDBOX_IN,
    "input data resolution": _site("the site could not get at the job's input data"),
    "application not found": _site("the job's script was not there on the worker node"),
    "application thread failed": _site("the payload could not be started on the worker node"),
    "application thread did not complete": _site("the payload vanished on the worker node"),
    "application finished successfully": Reason("the payload has ended well"),
    # These count only without a report: the job could not start, or was cut short.
    "application finished with errors": _site("the payload ended with an error: see its log"),
    "going to reschedule job": _site("the job asked to be started again elsewhere"),
    "resolving output sandbox": _UPLOAD,
    "uploading output sandbox": _UPLOAD,
    "output sandbox uploaded": Reason("the output sandbox is there"),
    "uploading output data": _UPLOAD,
    "uploading outputs": _UPLOAD,
    "output data uploaded": Reason("the output data is there"),
    "failed sending requests": _site("what the worker node left to be done later got lost"),
    "pending requests": Reason("the payload has ended; some of its uploads are done later"),
    "requests done": Reason("late uploads are done"),
    "execution complete": Reason("the payload has ended well"),
    # The watchdog
    "watchdog identified this job as stalled": Reason(
        "the payload used hardly any processor time, so DIRAC ended it: does it wait for something?"
    ),
    "job has reached the cpu limit": Reason(_LATE),
    "job has exceeded maximum cpu time": Reason(_LATE),
    "job has exceeded maximum wall clock": Reason(_LATE),
    "memory limit": Reason("the job used more memory than it may: ask for more by mem_mb"),
    "job has insufficient disk space": _site("the disk of the worker node ran full"),
    "job exceeded maximum load average": _site("the worker node was overloaded"),
    "load average not established": _site("the watchdog could not measure the worker node"),
    "could not be established": _site("the watchdog could not measure the worker node"),
    "received kill signal": Reason("somebody killed the job while it ran"),
    "marked for termination": Reason("somebody killed the job"),
    # No heartbeat
    "job stalled: pilot not running": _site(
        "its pilot is gone: the site or the batch queue ended it"
    ),
    "stalling for more than": _site("the worker node has not been heard of for too long"),
}
"""Fragments of a status, in lower case; the first that is found counts."""

_LAST = {
    " optimizer": Reason("the server's checks refused the job"),
    "application": Reason("the payload runs"),
}
_SILENT = frozenset({"", "unknown", "unset", "none", "idem"})


def explain(minor: str, application: str) -> Reason | None:
    """Return the reason behind two statuses, None if neither is known.

    Args:
        minor: MinorStatus.
        application: ApplicationStatus, which has the words when an optimizer refuses a job.
    """
    for table in (REASONS, _LAST):
        for text in (minor.casefold(), application.casefold()):
            for fragment, reason in table.items():
                if fragment in text:
                    return reason
    return None


def own_words(minor: str, application: str) -> str:
    """Return the statuses in DIRAC's words, without empty values."""
    words = (text.strip() for text in (minor, application))
    return "; ".join(text for text in words if text.casefold() not in _SILENT)
