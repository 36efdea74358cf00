"""Which inputs of a job DIRAC brings."""

from __future__ import annotations

from snakemake_executor_plugin_grid.backends.dirac.placement import _placed
from snakemake_executor_plugin_grid.backends.packaging import JobPackage


def test_files_named_as_those_of_the_worker_are_fetched() -> None:
    files = (("/vo/a.root", 5), ("/vo/job.json", 900), ("/vo/jobs.json", 900))
    package = JobPackage("job", {}, (), (), (), files)
    sites = {lfn: ["LCG.One"] for lfn, _ in files}
    assert _placed(package, sites, 500) == ("/vo/a.root",)
