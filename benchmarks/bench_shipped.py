"""Bytes shipped for the example: decided jobs against Snakemake on the worker.

The example workflow runs twice on the local backend, with a store of its own: as it is, and as
version 0.1.0 ran it on nodes without Snakemake, by `--grid-decide never --grid-runtime wheels`.
Counted is what has to get from the submit host to worker nodes, each file once:

- `store`: the sizes of the files in the store when Snakemake has ended. Inputs and packages stay
  there; tarballs with outputs are removed when they have been taken in.
- `sandboxes`: what the backend writes into the folders of all jobs, and the worker program once.

The packages of the example's scripts (numpy and the like) are on the node in both runs. Neither
run compresses. The second one needs pip and a package index; `--quick` makes one chunk of all
events.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

from workflows import grid, options, project, snakemake, verdict

GOAL = 0.01
EXAMPLE = Path(__file__).parents[1] / "example_workflow"
NEEDED = ("iminuit", "matplotlib", "skhep_testdata", "uproot")
WAYS = {
    "decided jobs": ("--grid-decide", "always"),
    "wheels": ("--grid-decide", "never", "--grid-runtime", "wheels"),
}
# Runs Snakemake, and leaves behind what the local backend has written for its jobs.
PROGRAM = """
import atexit, json, pathlib, sys
from snakemake.cli import main
from snakemake_executor_plugin_grid.backends.local import backend
written, write_job = {}, backend.write_job
def count(payload, folder):
    write_job(payload, folder)
    written["worker.pyz"] = payload.worker.stat().st_size
    written[str(folder)] = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
def leave(path=pathlib.Path(sys.argv.pop(1))):
    path.write_text(json.dumps(written))
backend.write_job = count
atexit.register(leave)
main()
"""


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    arguments = parser.parse_args()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        sys.exit(f"skipped: the example needs {', '.join(missing)}")
    more = ("--config", "events_per_chunk=1000") if arguments.quick else ()
    found = {way: shipped(arguments.folder, *args, *more) for way, args in WAYS.items()}
    print(f"{'':<14}{'store':>14}{'sandboxes':>14}{'jobs':>6}{'together':>14}")
    for way, (store, sandboxes, jobs) in found.items():
        print(f"{way:<14}{store:>14,}{sandboxes:>14,}{jobs:>6}{store + sandboxes:>14,}")
    decided, wheels = (store + sandboxes for store, sandboxes, _ in found.values())
    ratio = decided / wheels
    print(f"ratio {ratio:.4f}, goal at most {GOAL}: {verdict(ratio <= GOAL)}")


def shipped(parent: Path | None, *args: str) -> tuple[int, int, int]:
    """Run the example.

    Returns:
        Bytes in the store, bytes in the sandboxes, number of jobs.
    """
    with project(parent, "") as folder:
        (folder / "Snakefile").unlink()
        for part in ("config", "workflow"):
            shutil.copytree(EXAMPLE / part, folder / part)
        store, counted = folder.parent / "store", folder.parent / "counted"
        snakemake(
            folder,
            *grid(folder),
            *("--grid-store", store.as_uri(), "--jobs", "4"),
            *args,
            program=("-c", PROGRAM, str(counted)),
        )
        assert json.loads((folder / "results" / "fit.json").read_text())["events"] == 500
        stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        sizes = json.loads(counted.read_text())
        return stored, sum(sizes.values()), len(sizes) - 1


if __name__ == "__main__":
    main()
