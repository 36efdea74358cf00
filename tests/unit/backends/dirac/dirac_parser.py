"""What a DIRAC server makes of a JDL: its own parsers, run by the Python that has DIRAC."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[4]

# The way of a JDL: client (WMSClient.submitJob), JobManager.submitJob, JobDB.insertNewJobIntoDB.
_PROGRAM = r"""
import json, sys
from DIRAC.Core.Utilities import JDL
from DIRAC.Core.Utilities.ClassAd.ClassAdLight import ClassAd
from DIRAC.WorkloadManagementSystem.Utilities import JobModel, ParametricJob
from DIRACCommon.WorkloadManagementSystem.Client.JobState.JobManifest import JobManifest

request = json.load(sys.stdin)
JobModel.getSites = lambda: {"OK": True, "Value": request["sites"]}

def value(result):
    if not result["OK"]:
        raise ValueError(result["Message"])
    return result.get("Value")

def plain(item):
    return sorted(item) if isinstance(item, set) else item

def read(jdl):
    sent = ClassAd(jdl.strip())
    if not sent.isOK():
        raise ValueError("Invalid job JDL")
    received = ClassAd(sent.asJDL())
    if value(ParametricJob.getParameterVectorLength(received)) is None:
        raise ValueError("not a parametric job")
    return [read_one(text) for text in value(ParametricJob.generateParametricJobs(received))]

def read_one(text):
    model = value(JDL.jdlToBaseJobDescriptionModel(ClassAd(text)))
    JobModel.JobDescriptionModel(
        **model.model_dump(exclude_none=True), owner="user", ownerGroup="vo_user", vo="vo"
    )
    manifest = JobManifest()
    value(manifest.load(text))
    stored = ClassAd(manifest.dumpAsJDL().replace("%j", "7"))
    lists = ("Site", "BannedSites", "Tags", "InputSandbox", "OutputSandbox", "InputData")
    return {
        "model": {key: plain(item) for key, item in model.model_dump().items()},
        "stored": {
            name: stored.getListFromExpression(name)
            if name in lists or stored.isAttributeList(name)
            else stored.getAttributeString(name)
            for name in stored.getAttributes()
        },
    }

answers = []
for jdl in request["jdls"]:
    try:
        answers.append(read(jdl))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
print("\n" + json.dumps(answers))
"""


def python() -> Path:
    """Return the Python with DIRAC; skip the test where there is none."""
    venv = Path(os.environ.get("GRID_TEST_DIRAC_VENV") or _ROOT / ".venv-dirac")
    program = venv / "bin" / "python"
    if not program.exists():
        reason = f"no Python with DIRAC at {program}; GRID_TEST_DIRAC_VENV names its folder"
        if os.environ.get("GRID_TEST_DIRAC_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def parse(jdls: Sequence[str], sites: Sequence[str] = ()) -> list[Any]:
    """Let DIRAC read JDLs.

    Args:
        jdls: Texts to submit.
        sites: All sites that the server knows.

    Returns:
        For each, a list of jobs, with ``model`` (what is checked at submission) and ``stored``
        (attributes as the server keeps them); or the text of the error.
    """
    done = subprocess.run(
        [python(), "-c", _PROGRAM],
        input=json.dumps({"jdls": list(jdls), "sites": list(sites)}),
        env={"PATH": os.defpath, "DIRACSYSCONFIG": os.devnull, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == len(jdls)
    return list(answers)
