"""Tests of Snakemake's suite that fail through the grid executor, or are not run, and why."""

from __future__ import annotations

LEFT_OUT = {
    "test_persistence_backend_db_run_directive_concurrency": "It tries the metadata database with "
    "a hundred jobs that are Python code: minutes, and nothing of it concerns jobs on the grid.",
}

_NESTED = (
    "Its job starts another Snakemake in a rule without inputs and outputs: what that reads and "
    "makes is declared nowhere."
)
_CORES = (
    "A param is workflow.cores, which is that of the job on the worker: the comparison refuses to "
    "run the job."
)
_OTHERS = (
    "A job looks for the log and the benchmark of other jobs, which are none of its inputs, so "
    "they are not on its worker."
)
_STORAGE = (
    "Its storage is a folder with a relative path, which workers do not share with the submit host."
)
_EITHER_WAY = {
    "test_checkpoint_open": _STORAGE,
    "test_checkpoint_running_job_storage_race": _STORAGE,
    "test_handle_storage_multi_consumers": _STORAGE,
    "test_pathvars_storage": _STORAGE,
    "test_delete_temp_fs": _STORAGE,
    "test_github_issue3913": "It counts by Snakemake's log how many threads run at a time: --cores "
    "limits the jobs of this machine only.",
    "test_groupid_expand_local": "It expects the name that the local executor gives to a group.",
    "test_priority": "Its jobs add lines to a file that no rule declares, so it stays on each "
    "worker.",
    "test_github_issue_14": "It looks for the script files that --skip-script-cleanup keeps: they "
    "are made on the worker, and removed with the job's folder.",
    "test_github_issue806": "Jobs read files that a checkpoint makes and declares nowhere, so they "
    "stay on its worker.",
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
_NOT_DECIDED = {
    "test_pipes_fail": "Snakemake on the worker goes on to wait for the reader of a pipe whose "
    "writer has failed before it opened the pipe.",
    "test_workflow_profile": _CORES,
    "test_workflow_profile_cli_overwrite": _CORES,
}
_DECIDED = {
    "test_shadow_prefix": "A job looks for the folder of --shadow-prefix: a decided job runs in a "
    "new folder, which serves as the shadow, so there is no other.",
}


def known_failures(way: str) -> dict[str, str]:
    """Return why tests fail, by name.

    Args:
        way: A value of ``--grid-decide``.
    """
    return _EITHER_WAY | (_NOT_DECIDED if way == "never" else _DECIDED)
