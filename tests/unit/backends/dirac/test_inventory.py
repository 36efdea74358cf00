from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.inventory import LfnInventory
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.writer import Journal
from tests.unit.specs import spec, tracked

STORE = "/vo/user/m/me/runs"


class Listing:
    """A file catalog that lists more than it was asked for."""

    def call_now(self, call: str, *args: Any) -> Any:
        if call == "listing":
            return [f"{folder}/report" for folder in args[0]] + [
                "/vo/user/o/other/data",
                f"{STORE}/delivered/j-2/blob",
                f"{STORE}/delivered/j-1/../../x",
            ]
        return dict.fromkeys(args[0], 1)


def test_only_what_lies_in_the_folders_of_jobs_is_found(tmp_path: Path) -> None:
    database = Database(tmp_path / "grid.sqlite")
    catalog = Catalog(database)
    catalog.note_store(f"lfn:{STORE}", "SE-1")
    Journal(database, "run", "dirac").submitting([tracked(spec("j-1"))])
    found = LfnInventory(cast(Client, Listing()), catalog, database).find()
    assert found.there == {f"lfn:{STORE}/delivered/j-1/report": 1}
    database.close()
