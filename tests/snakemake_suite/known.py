"""Tests of Snakemake's suite that fail through the grid executor, or are not run, and why."""

from __future__ import annotations

LEFT_OUT = {
    "test_persistence_backend_db_run_directive_concurrency": "It tries the metadata database with "
    "a hundred jobs that are Python code: minutes, and nothing of it concerns jobs on the grid.",
}

_NESTED = (
    "Its job starts Snakemake in a rule without outputs: what that makes is declared nowhere, so "
    "it stays on the worker (--grid-undeclared fetch brings it back)."
)
_OTHERS = (
    "A job looks for the log and the benchmark of other jobs, which are none of its inputs, so "
    "they are not on its worker."
)
KNOWN: dict[str, str] = {
    "test_github_issue_14": "It looks for the script files that --skip-script-cleanup keeps: they "
    "are made on the worker, and removed with the job's folder.",
    "test_profile_filename": _NESTED,
    "test_profile_multiple": _NESTED,
    "test_profile_new": _NESTED,
    "test_profile_none": _NESTED,
    "test_profile_old": _NESTED,
    "test_profile_with_env_var": _NESTED,
    "test_shadow": _OTHERS,
    "test_shadow_copy": _OTHERS,
    "test_symlink_time_handling": "A job reads the time of a link that is an input of another job "
    "only, so it is not on its worker.",
}
