"""Constructs that fail: what is kept, what is removed."""

from __future__ import annotations

from .comparison import DIFFERS, WAYS, Construct, Constructs

_NOTHING_BACK = dict.fromkeys(WAYS, DIFFERS)
"""Of a group that failed only logs come back: the local executor keeps what its first jobs made."""

FAILURES = Constructs(
    "failures",
    fails=True,
    parts=(
        Construct(
            "failing",
            """
rule failing:
    output: "failing/out.txt", directory("failing/folder")
    log: "failing/out.log", "failing/never.log"
    shell:
        "mkdir {output[1]}; echo x > {output[1]}/x; echo x > {output[0]}; echo log > {log[0]}; "
        "exit 7"
""",
            says="exit (status|code) 7 ",
        ),
        Construct(
            "pipefail",
            """
rule pipefail:
    output: "pipefail/out.txt"
    shell: "echo x > {output}; false | cat"
""",
        ),
        Construct(
            "unset",
            """
rule unset:
    output: "unset/out.txt"
    shell: "echo $CONSTRUCTS_UNSET > {output}"
""",
        ),
        Construct(
            "empty",
            """
rule empty:
    output: ensure("empty/out.txt", non_empty=True)
    shell: ": > {output}"
""",
        ),
        Construct(
            "checksum",
            """
rule checksum:
    output: ensure("checksum/out.txt", sha256="0" * 64)
    shell: "echo x > {output}"
""",
        ),
        Construct(
            "missing",
            """
rule missing:
    output: "missing/out.txt", "missing/other.txt"
    shell: "echo x > {output[0]}"
""",
        ),
        Construct(
            "not_a_folder",
            """
rule not_a_folder:
    output: directory("not_a_folder/out")
    shell: "echo x > {output}"
rule not_a_file:
    output: "not_a_folder/file"
    shell: "mkdir {output}"
""",
            targets=("out", "file"),
        ),
        Construct(
            "group_failing",
            """
rule group_failing_first:
    output: "group_failing/first.txt"
    log: "group_failing/first.log"
    group: "failing"
    shell: "echo first | tee {log} > {output}"
rule group_failing_second:
    input: "group_failing/first.txt"
    output: "group_failing/out.txt"
    log: "group_failing/second.log"
    group: "failing"
    shell: "echo second | tee {log} > {output}; false"
""",
            outcomes=_NOTHING_BACK,
        ),
        Construct(
            "old",
            """
rule old:
    input: "given/new.txt"
    output: "old/out.txt"
    shell: "test ! -e {output}; false"
""",
            files={"old/out.txt": "old\n", "given/new.txt": "new\n"},
        ),
    ),
)
