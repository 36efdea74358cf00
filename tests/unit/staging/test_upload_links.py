"""Upload: links among sources and inputs, which a worker can unpack together."""

from __future__ import annotations

import os

import pytest

from snakemake_executor_plugin_grid.planning.sources import Filters, WorkflowFiles, collect
from snakemake_executor_plugin_grid.staging.paths import Layout
from tests.unit.specs import spec

from .submission import Submission, host, prepared

__all__ = ["host"]


def stage_in(
    host: Submission,
    inputs: list[str],
    include: tuple[str, ...] = (),
    later: list[str] | None = None,
) -> dict[str, str]:
    """Collect the sources, send them with a job, and return the files on the worker.

    Args:
        host: Has the files.
        inputs: Of the job.
        include: Globs of ``--grid-include``.
        later: Inputs of the job instead, of which the run does not know at its start.
    """
    layout = Layout(host.home)
    files = WorkflowFiles(frozenset(), {}, (), set(), {layout.member(path) for path in inputs})
    found = collect(layout, files, Filters(include, (), 10**6, 10**6))
    upload = host.upload()
    upload.send_sources(found.entries)
    return host.stage_in_files(prepared(upload, spec("j", later or inputs))["j"])


@pytest.mark.parametrize("include", [(), ("data",), ("*",)])
@pytest.mark.parametrize(
    "inputs",
    [
        ["data"],
        ["data/cur/x.txt"],
        ["data/cur"],
        ["data", "data/cur", "data/cur/x.txt", "data/last.txt", "data/v1"],
    ],
)
def test_an_input_folder_with_a_link_to_a_folder(
    host: Submission, inputs: list[str], include: tuple[str, ...]
) -> None:
    host.put("data/v1/x.txt", "x")
    host.put("data/v1/more/y.txt", "y")
    host.put("script.py", "s")
    os.symlink("v1", host.home / "data" / "cur")  # noqa: PTH211
    os.symlink("v1/x.txt", host.home / "data" / "last.txt")  # noqa: PTH211
    os.symlink("../v1", host.home / "data" / "v1" / "self")  # noqa: PTH211
    found = stage_in(host, inputs, include)
    assert found["work/script.py"] == "s"
    assert found["work/data/v1/x.txt"] == "x"


def test_an_input_behind_a_link_that_was_not_known_at_the_start(host: Submission) -> None:
    host.put("common/h.py", "h")
    host.put("common/x.dat", "x")
    os.symlink("common", host.home / "tools")  # noqa: PTH211
    assert stage_in(host, [], later=["tools/x.dat"])["work/tools/x.dat"] == "x"
    assert stage_in(host, [], later=["tools"])["work/tools/h.py"] == "h"


def test_sources_behind_a_link_of_an_input_are_not_sent_with_it(host: Submission) -> None:
    host.put("data/v1/x.txt", "x")
    os.symlink("v1", host.home / "data" / "cur")  # noqa: PTH211
    upload = host.upload()
    upload.send_sources(host.sources("data/cur/x.txt"))  # as a parsed file is
    found = prepared(upload, spec("j", ["data"]), spec("k"))
    assert host.stage_in_files(found["j"]) == {"work/data/v1/x.txt": "x"}
    assert host.stage_in_files(found["k"]) == {"work/data/cur/x.txt": "x"}


def test_a_link_among_the_sources_works_on_the_worker(host: Submission) -> None:
    host.put("common/tools/h.py", "h")
    os.symlink("common/tools", host.home / "tools")  # noqa: PTH211
    stage_in(host, [])
    (link,) = host.folder.glob("sandboxes/*/tree/me/home/tools")
    assert link.is_symlink()
    assert (link / "h.py").read_text() == "h"
