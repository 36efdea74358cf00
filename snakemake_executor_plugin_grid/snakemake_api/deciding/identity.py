"""What a decision is, whichever run made it: the part that goes into the fingerprint of a job."""

from __future__ import annotations

import json
from typing import Any

from ...worker.decided.decision import Decision

# Snakemake numbers jobs anew in each run; resources and the attempt are no part of a fingerprint.
_OF_A_RUN = ("jobid", "threads")
_COLUMNS_OF_A_RUN = ("jobid", "threads", "resources")


def identity(decision: Decision) -> str:
    """Return JSON text that is the same for the same job in another run.

    It has no job ids, threads and cores, and no columns of a benchmark that hold them or the
    resources. If a command shows one of them, it is a part of the command's text, and so of this
    one. Steps of a layer are sorted, as Snakemake lists the members of a group in no fixed order.
    """
    data = decision.to_json()
    del data["cores"]
    for layer in data["layers"]:
        for step in layer:
            _strip(step)
    data["layers"] = [sorted(map(_text, layer)) for layer in data["layers"]]
    data["temporary"] = sorted(data["temporary"])
    return _text(data)


def _strip(step: dict[str, Any]) -> None:
    for name in _OF_A_RUN:
        del step[name]
    if step["benchmark"]:
        for name in _COLUMNS_OF_A_RUN:
            step["benchmark"]["columns"].pop(name, None)


def _text(data: Any) -> str:
    return json.dumps(data, sort_keys=True)
