"""Constructs of more than one job: modules, checkpoints, groups, pipes, services."""

from __future__ import annotations

from .comparison import Construct, Constructs

GRAPH = Constructs(
    "graph",
    header='configfile: "config.yaml"\nCONSTANT = "of the workflow"\n',
    parts=(
        Construct(
            "module",
            """
module inner:
    snakefile: "modules/inner.smk"
    prefix: "module"
    config: {"value": "of the module", "nested": config["nested"]}
use rule * from inner as inner_*
use rule base from inner as inner_changed with:
    output: "module/changed.txt"
    params: word="changed"
""",
            targets=("out.txt", "script.txt", "changed.txt"),
            files={
                "config.yaml": "value: of the workflow\nnested: {deep: [1, two]}\n",
                "modules/inner.smk": """
CONSTANT = "of its file"
def helper(wildcards):
    return config["value"] + ", " + CONSTANT
rule base:
    output: "out.txt"
    params: word="base", called=helper
    shell: "echo {params.word} {params.called} {config[value]} {config[nested][deep][1]} "
           "{CONSTANT} {rule} > {output}"
rule script:
    output: "script.txt"
    script: "scripts/inner.py"
""",
                "modules/scripts/inner.py": "from pathlib import Path\n"
                "Path(snakemake.output[0]).write_text(f'{snakemake.config} {snakemake.rule}\\n')\n",
            },
        ),
        Construct(
            "replaced",
            """
module replacing:
    snakefile: "modules/replacing.smk"
    replace_prefix: {"results/": "replaced/"}
    config: config
use rule one, two from replacing
""",
            files={
                "modules/replacing.smk": """
rule one:
    output: "results/{name}.in"
    shell: "echo {wildcards.name} {output} > {output}"
rule two:
    input: "results/a.in", "results/b.in"
    output: "results/out.txt"
    shell: "cat {input} > {output}; echo {input} {config[value]} >> {output}"
""",
            },
        ),
        Construct(
            "inherited",
            """
rule inherited_base:
    output: "inherited/base.txt"
    params: word="base"
    threads: 2
    shell: "echo {params.word:q} {threads} {rule} > {output}"
use rule inherited_base as inherited with:
    output: "inherited/out.txt"
    params: word="it's changed"
""",
            targets=("base.txt", "out.txt"),
        ),
        Construct(
            "checkpoints",
            """
checkpoint checkpoints_split:
    output: directory("checkpoints/parts")
    shell: "mkdir {output}; for n in 1 2 3; do echo $n > {output}/$n.part; done"
rule checkpoints_part:
    input: "checkpoints/parts/{n}.part"
    output: "checkpoints/done/{n}.txt"
    shell: "sed 's/^/part /' {input} > {output}"
def checkpoints_parts(wildcards):
    folder = checkpoints.checkpoints_split.get().output[0]
    found = sorted(glob_wildcards(folder + "/{n}.part").n)
    return expand("checkpoints/done/{n}.txt", n=found)
rule checkpoints_all:
    input: checkpoints_parts
    output: "checkpoints/out.txt"
    params: number=lambda wildcards, input: len(input)
    shell: "cat {input} > {output}; echo {params.number} >> {output}"
""",
            order=("parts/.snakemake_timestamp", "done/1.txt", "out.txt"),
        ),
        Construct(
            "scattered",
            """
scattergather: scattered=2
rule scattered_parts:
    output: scatter.scattered("scattered/{scatteritem}.in")
    shell: "for file in {output}; do echo $file > $file; done"
rule scattered_one:
    input: "scattered/{scatteritem}.in"
    output: "scattered/{scatteritem}.done"
    shell: "tr a-z A-Z < {input} > {output}"
rule scattered:
    input: gather.scattered("scattered/{scatteritem}.done")
    output: "scattered/out.txt"
    shell: "cat {input} > {output}"
""",
        ),
    ),
)

GROUPS = Constructs(
    "groups",
    options=("--groups", "together_one=packed", "--group-components", "packed=2"),
    parts=(
        Construct(
            "grouped",
            """
rule grouped_first:
    output: temp("grouped/first.txt"), "grouped/kept.txt", temp("grouped/unneeded.txt")
    group: "grouped"
    shell: "for file in {output}; do echo $file > $file; done"
rule grouped_second:
    input: "grouped/first.txt"
    output: "grouped/second.txt"
    log: "grouped/second.log"
    group: "grouped"
    shell: "cat {input} > {output}; echo second >> {output}; echo log > {log}"
rule grouped_third:
    input: "grouped/second.txt", "grouped/kept.txt"
    output: "grouped/out.txt"
    group: "grouped"
    threads: 2
    shell: "cat {input} > {output}; echo {threads} >> {output}"
""",
            order=("kept.txt", "second.txt", "out.txt"),
        ),
        Construct(
            "late_group",
            """
rule late_group_first:
    output: "late_group/first.txt"
    group: "late"
    shell: "echo made in the group > {output}"
rule late_group_second:
    input: "late_group/first.txt"
    output: "late_group/out.txt"
    group: "late"
    params: size=lambda wildcards, input: open(input[0]).read().strip()
    shell: "echo {params.size} > {output}"
""",
            falls_back={"late_late_group_first_late_group_second": "params"},
        ),
        Construct(
            "together",
            """
rule together_one:
    output: "together/{n}.txt"
    shell: "echo {wildcards.n} > {output}"
rule together:
    input: expand("together/{n}.txt", n=range(4))
    output: "together/out.txt"
    shell: "cat {input} > {output}"
""",
        ),
        Construct(
            "piped",
            """
rule piped_from:
    output: pipe("piped/pipe"), "piped/said.txt"
    shell: "echo through the pipe > {output[0]}; echo said > {output[1]}"
rule piped_to:
    input: "piped/pipe"
    output: "piped/out.txt"
    shell: "cat {input} > {output}"
""",
            targets=("out.txt", "said.txt"),
        ),
        Construct(
            "served",
            """
rule served_by:
    output: service("served/socket")
    shell:
        "echo open > {output}.new; mv {output}.new {output}; trap 'exit 0' TERM; "
        "for i in $(seq 300); do sleep 0.1; done"
rule served:
    input: "served/socket"
    output: "served/{n}.txt"
    shell: "cat {input} > {output}; echo {wildcards.n} >> {output}"
""",
            targets=("1.txt", "2.txt"),
        ),
    ),
)
