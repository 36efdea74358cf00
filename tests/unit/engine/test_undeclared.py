from __future__ import annotations

from pathlib import Path

from snakemake_executor_plugin_grid.engine.undeclared import UndeclaredFiles
from snakemake_executor_plugin_grid.journal.database import open_database
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from tests.unit.specs import spec, tracked


def test_the_job_that_left_a_file_is_found(tmp_path: Path) -> None:
    with open_database(tmp_path) as database:
        journal = Journal(database, "run", "local")
        jobs = {"first": Phase.SUCCEEDED, "second": Phase.OUTPUTS_INSTALLED, "bad": Phase.FAILED}
        journal.submitting(
            [tracked(spec(name, rule=name, wildcards=(("run", "4"),))) for name in jobs]
        )
        for name, phase in jobs.items():
            left = f'"work/{name}", "work/by bad"' if name == "bad" else f'"work/{name}"'
            journal.ended(name, phase, "", f'{{"undeclared": [{left}, "work/both"]}}')
        files = UndeclaredFiles(journal)
        assert files.maker("work/first") == "rule first (run=4)"
        assert files.maker("work/both") == "rule second (run=4)", "the last one"
        assert files.maker("work/by bad") == ""
        files.note("rule third", ["work/third", "work/both"])
        assert files.maker("work/third") == "rule third"
        assert files.maker("work/both") == "rule third"
