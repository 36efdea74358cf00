"""Constructs of outputs: flags, folders, links, logs, benchmarks, shadow folders."""

from __future__ import annotations

import hashlib
import json

from .comparison import Construct, Constructs


def _table(text: bytes) -> object:
    """Reduce a benchmark to its header and the number of its rows."""
    header, *rows = text.decode().splitlines()
    return header, len(rows), {len(row.split("\t")) for row in rows}


def _rows(text: bytes) -> object:
    """Reduce a benchmark in JSON to the names in each row."""
    return [sorted(json.loads(line)) for line in text.decode().splitlines()]


_SHA256 = hashlib.sha256(b"right\n").hexdigest()

FILES = Constructs(
    "files",
    options=("--cache",),
    environment={"SNAKEMAKE_OUTPUT_CACHE": "{folder}/output-cache"},
    parts=(
        Construct(
            "ensured",
            f"""
def ensured_checksum(wildcards):
    return "{_SHA256}"
rule ensured:
    output:
        ensure("ensured/literal.txt", sha256="{_SHA256}"),
        ensure("ensured/function.txt", sha256=ensured_checksum),
        ensure("ensured/filled.txt", non_empty=True)
    shell: "for file in {{output}}; do echo right > $file; done"
""",
            targets=("filled.txt",),
        ),
        Construct(
            "touched",
            """
rule touched:
    output: touch("touched/done"), touch("touched/made"), "touched/out.txt"
    shell: "echo kept > {output[1]}; echo out > {output[2]}"
rule touched_alone:
    input: "touched/done"
    output: touch("touched/alone")
rule touched_by_nothing:
    output: touch("touched/no/shell")
""",
            targets=("out.txt", "alone", "no/shell"),
            order=("done", "alone"),
        ),
        Construct(
            "temporary",
            """
rule temporary:
    output:
        temp("temporary/needed.txt"), temp("temporary/unneeded.txt"),
        temp(directory("temporary/folder")), "temporary/kept.txt"
    shell: "mkdir {output[2]}; for f in {output[0]} {output[1]} {output[2]}/x {output[3]}; "
           "do echo $f > $f; done"
rule temporary_reader:
    input: "temporary/needed.txt", "temporary/folder", "temporary/kept.txt"
    output: "temporary/out.txt"
    shell: "cat {input[0]} {input[1]}/x {input[2]} > {output}"
""",
        ),
        Construct(
            "protecting",
            """
rule protecting:
    output: protected("protecting/out.txt"), protected(directory("protecting/folder"))
    shell: "echo out > {output[0]}; mkdir -p {output[1]}/sub; echo x > {output[1]}/sub/x"
""",
            targets=("out.txt", "folder"),
        ),
        Construct(
            "folders",
            """
rule folders:
    output: directory("folders/full"), directory("folders/empty"), "folders/a/b/c.txt"
    shell:
        "test -d folders/a/b; mkdir -p {output[0]}/one/empty {output[0]}/two {output[1]}; "
        "chmod 750 {output[0]}/two; echo x > {output[0]}/one/x; echo c > {output[2]}"
rule folders_reader:
    input: "folders/full", "folders/empty"
    output: "folders/out.txt"
    shell: "(cd folders; find full empty -not -name '.*' -printf '%P %m\\n' | sort) > {output}"
""",
            targets=("out.txt", "a/b/c.txt"),
            order=("full/.snakemake_timestamp", "out.txt"),
        ),
        Construct(
            "updating",
            """
rule updating:
    input: "given/updated.txt"
    output: update("updating/out.txt")
    shell: "test ! -e {output} || cat {output}; cat {input} >> {output}"
rule updating_again:
    input: before_update("updating/out.txt"), "updating/out.txt"
    output: "updating/copy.txt"
    shell: "cat updating/out.txt > {output}"
""",
            targets=("out.txt",),
            files={"updating/out.txt": "old\n", "given/updated.txt": "new\n"},
        ),
        Construct(
            "logging",
            """
rule logging:
    output: "logging/out.txt"
    log: "logging/logs/written.log", "logging/logs/empty.log"
    shell: "echo out > {output}; echo said > {log[0]}"
""",
        ),
        Construct(
            "linked",
            """
rule linked:
    output: "linked/file.txt", "linked/link.txt", directory("linked/folder"), "linked/up/link.txt"
    shell:
        "echo file > {output[0]}; ln -s file.txt {output[1]}; mkdir {output[2]}; "
        "echo x > {output[2]}/x; ln -s x {output[2]}/link; ln -s ../file.txt {output[3]}"
rule linked_reader:
    input: "linked/link.txt", "linked/folder", "linked/up/link.txt"
    output: "linked/out.txt"
    shell: "cat {input[0]} {input[1]}/link {input[2]} > {output}"
""",
        ),
        Construct(
            "modes",
            """
rule modes:
    output: "modes/run.sh", "modes/secret.txt", "modes/sparse.bin", "modes/empty"
    shell:
        "echo 'echo run' > {output[0]}; chmod 755 {output[0]}; echo s > {output[1]}; "
        "chmod 600 {output[1]}; truncate -s 1M {output[2]}; echo end >> {output[2]}; "
        ": > {output[3]}"
rule modes_reader:
    input: "modes/run.sh", "modes/secret.txt", "modes/sparse.bin"
    output: "modes/out.txt"
    shell: "./{input[0]} > {output}; stat -c '%a %s' {input} >> {output}"
""",
            targets=("out.txt", "empty"),
            order=("secret.txt", "out.txt"),
        ),
        Construct(
            "measured",
            """
rule measured:
    output: "measured/out.txt"
    benchmark: repeat("measured/table.tsv", 3)
    shell: "echo {bench_iteration} >> {output}"
rule measured_json:
    output: "measured/json.txt"
    benchmark: "measured/rows.jsonl"
    shell: "echo json > {output}"
""",
            targets=("out.txt", "json.txt"),
            reduced={"table.tsv": _table, "rows.jsonl": _rows},
        ),
        Construct(
            "shadowed",
            "".join(
                f"""
rule shadowed_{kind.replace("-", "_")}:
    input: "given/shadowed.txt"
    output: "shadowed/{kind}.txt", directory("shadowed/{kind}")
    shadow: "{kind}"
    shell:
        "cat {{input}} > scratch.txt; cp scratch.txt {{output[0]}}; mkdir {{output[1]}}; "
        "echo x > {{output[1]}}/x"
"""
                for kind in ("minimal", "shallow", "full", "copy-minimal")
            ),
            targets=("minimal.txt", "shallow.txt", "full.txt", "copy-minimal.txt"),
            files={"given/shadowed.txt": "given\n"},
        ),
        Construct(
            "cached",
            """
rule cached:
    output: "cached/out.txt"
    cache: True
    shell: "echo cached > {output}"
rule cached_not:
    input: "cached/out.txt"
    output: "cached/copy.txt"
    shell: "cat {input} > {output}"
""",
            targets=("copy.txt",),
            files={"output-cache/about.txt": "the folder has to exist\n"},
        ),
        Construct(
            "handed",
            """
rule handed:
    output: "handed/out.txt"
    handover: True
    shell: "echo handed > {output}"
""",
        ),
        Construct(
            "local",
            """
localrules: local
rule local:
    output: "local/out.txt"
    shell: "echo local > {output}"
""",
        ),
    ),
)
