"""The output of payloads, in the words of Snakemake 9.27."""

from __future__ import annotations

FOLDER = "/tmp/site/jobs/a-1/scratch/tree"
_DATE = "[Sat Nov 21 01:24:50 2026]\n"


def started(own: str = "", *, inputs: str = "in", outputs: str = "out") -> str:
    """Return the output of a rule that Snakemake has started."""
    return (
        "\nSNAKEMAKE\n=========\n  Python version: 3.11\n"
        f"  Working directory: {FOLDER}\n\nBuilding DAG of jobs...\n\n"
        f"{_DATE}localrule a:\n    input: {inputs}\n    output: {outputs}\n"
        f"    jobid: 0\n    reason: Forced execution\n    resources: tmpdir=/tmp\n{own}"
    )


def failed_rule(
    status: int, own: str = "", *, inputs: str = "in", outputs: str = "out", logs: str = "a.log"
) -> str:
    """Return the output of a rule whose command has failed."""
    block = (
        f"    message: None\n    jobid: 0\n    input: {inputs}\n    output: {outputs}\n"
        f"    log: {logs} (check log file(s) for error details)\n"
    )
    return (
        f"{started(own, inputs=inputs, outputs=outputs)}"
        f'RuleException:\nCalledProcessError in file "{FOLDER}/Snakefile", line 7:\n'
        f"Command 'set -euo pipefail;  the command' returned non-zero exit status {status}.\n"
        f"{_DATE}Error in rule a:\n{block}    shell:\n        the command\n"
        "Exiting because a job execution failed. Look above for error messages\n"
        "WorkflowError:\nAt least one job did not complete successfully.\n"
    )
