"""Which inputs of a job DIRAC brings."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.backends.dirac.placement import _placed
from snakemake_executor_plugin_grid.backends.packaging import JobPackage


@pytest.mark.parametrize(
    "other", ["/vo/job.json", "/vo/jobs.json", "/vo/with a blank", "/vo/it's", "/vo/100%", "/vo/é"]
)
def test_files_that_dirac_cannot_bring_are_fetched(other: str) -> None:
    files = (("/vo/a.root", 5), (other, 900))
    package = JobPackage("job", {}, (), (), (), files)
    sites = {lfn: ["LCG.One"] for lfn, _ in files}
    assert _placed(package, sites, 500) == ("/vo/a.root",)
