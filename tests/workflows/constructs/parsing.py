"""Constructs that look at files, variables and the clock while the workflow is parsed.

A worker that parses the workflow again sees other files than the submit host.
"""

from __future__ import annotations

from .comparison import DIFFERS, KNOWS_DECIDE, NEVER, Construct, Constructs

_LARGE = "x" * (2 << 20)
"""So large that it does not travel as a part of the workflow."""
# Without `KNOWS_DECIDE` no worker compares what it means to do with what was meant.
_OTHER = {NEVER: "means something else" if KNOWS_DECIDE else DIFFERS}
_LISTED: dict[str, str] = {} if KNOWS_DECIDE else {NEVER: DIFFERS}

PARSING = Constructs(
    "parsing",
    header="import glob, os\n",
    environment={"CONSTRUCTS_VALUE": "set"},
    parts=(
        Construct(
            "listed",
            """
rule listed:
    output: "listed/out.txt"
    params:
        names=sorted(glob_wildcards("given/{name}.dat").name),
        all=sorted(os.listdir("given")) if os.path.isdir("given") else "nothing"
    shell: "echo {params.names} {params.all} > {output}"
""",
            files={"given/a.dat": _LARGE, "given/b.dat": "b\n"},
            outcomes=_LISTED,
        ),
        Construct(
            "inputs",
            """
rule inputs:
    input: sorted(glob.glob("given/*.dat"))
    output: "inputs/out.txt"
    params: number=len(glob.glob("given/*.dat"))
    shell: "wc -c {input} > {output}; echo {params.number} >> {output}"
""",
        ),
        Construct(
            "existing",
            """
EXISTING = "there" if os.path.exists("elsewhere/a.dat") else "not there"
rule existing:
    output: "existing/out.txt"
    shell: "echo {EXISTING} > {output}"
""",
            files={"elsewhere/a.dat": _LARGE},
            outcomes=_OTHER,
        ),
        Construct(
            "environment",
            """
ENVIRONMENT = os.environ.get("CONSTRUCTS_VALUE", "not set")
rule environment:
    output: "environment/out.txt"
    shell: "echo {ENVIRONMENT} > {output}"
""",
            outcomes=_OTHER,
        ),
        Construct(
            "branches",
            """
if os.path.exists("elsewhere/a.dat"):
    rule branches:
        output: "branches/out.txt"
        shell: "echo one branch > {output}"
else:
    rule branches:
        output: "branches/out.txt"
        shell: "echo the other > {output}"
""",
            outcomes=_OTHER,
        ),
    ),
)
