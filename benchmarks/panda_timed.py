"""Snakemake that notes when it hands its first jobs to the executor; for bench_panda.py.

``panda_timed.py FILE ARGS…`` runs ``snakemake ARGS…`` and writes that moment to FILE, in seconds
since the epoch. It runs in each side's own Python, so it uses nothing but Snakemake.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Note the moment, and go on."""
    file = Path(sys.argv.pop(1)).absolute()
    import snakemake.cli
    from snakemake.scheduler_api.job_scheduler import JobScheduler

    run = JobScheduler.run

    def noting(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        if not file.exists():
            file.write_text(repr(time.time()))
        return run(scheduler, *args, **kwargs)

    JobScheduler.run = noting
    snakemake.cli.main()


if __name__ == "__main__":
    main()
