"""A workflow with each kind of rule, of which jobs get fingerprints."""

SNAKEFILE = """
configfile: "config.yaml"

def scale(wildcards):
    return {"a": 1, "b": 2}[wildcards.sample]

rule all:
    input: expand("{kind}/{sample}.txt", kind=["shown", "run", "scripted"], sample=["a", "b"])

rule sort:
    input: "data/{sample}.csv"
    output: temp("sorted/{sample}.csv"), temp("sorted/{sample}.unused")
    log: "logs/{sample}.log"
    threads: 2
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell: "sort {input} > {output[0]}; touch {output[1]}"

rule show:
    input: "sorted/{sample}.csv", table="data/table"
    output: "shown/{sample}.txt"
    params: scale=scale, words=["x", "y"], deep={"z": 1, "y": [2]}
    shell: "show {params.scale} {input} > {output}"

rule run:
    input: "data/{sample}.csv"
    output: "run/{sample}.txt"
    params: limit=3
    run:
        with open(output[0], "w") as out:
            print(config["cut"], params.limit, file=out)

rule scripted:
    input: "data/{sample}.csv"
    output: "scripted/{sample}.txt"
    script: "scripts/show.py"
"""
FILES = {
    "Snakefile": SNAKEFILE,
    "config.yaml": "cut: 5\nother: [1, 2]\n",
    "scripts/show.py": "print(1)\n",
    "data/a.csv": "2\n1\n",
    "data/b.csv": "3\n1\n",
    "data/table/x": "x\n",
    "data/table/deep/y": "y\n",
}
