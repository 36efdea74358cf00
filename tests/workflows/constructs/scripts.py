"""Constructs of scripts, wrappers, templates, and Python code in rules."""

from __future__ import annotations

from .comparison import Construct, Constructs

SCRIPTS = Constructs(
    "scripts",
    header='configfile: "config.yaml"\n',
    parts=(
        Construct(
            "python",
            """
rule python_source:
    output: "python/{n}.in"
    shell: "echo {wildcards.n} > {output}"
rule python:
    input: "python/1.in", one="python/1.in", rest=["python/2.in", "python/3.in"]
    output: "python/{name}.first", text="python/{name}.txt"
    params:
        nested={"a": [1, 2.5, None, {"b": "it's"}], "t": (1, "x")}, text="a\\nb", flag=True,
        late=lambda wildcards, input: input.rest
    log: "python/{name}.log", err="python/{name}.err"
    threads: 2
    resources: mem_mb=200, label="x y"
    script: "scripts/tell.py"
""",
            files={
                "config.yaml": "value: {nested: [1, 'two']}\n",
                "scripts/tell.py": '''"""Tell what it is given."""
import json, os, sys
from pathlib import Path
import beside
from package.inner import inner

told = {
    "input": [list(snakemake.input), snakemake.input.one, list(snakemake.input.rest)],
    "output": [snakemake.output[0], snakemake.output.text, snakemake.output.get("text")],
    "params": [dict(snakemake.params), snakemake.params.nested["a"][3], snakemake.params[1]],
    "wildcards": [dict(snakemake.wildcards), snakemake.wildcards.name],
    "log": [snakemake.log[0], snakemake.log.err],
    "threads": snakemake.threads,
    "resources": [snakemake.resources.mem_mb, snakemake.resources.label],
    "config": snakemake.config,
    "rule": snakemake.rule,
    "bench_iteration": snakemake.bench_iteration,
    "file": Path(__file__).name,
    "scriptdir": sorted(name for name in os.listdir(snakemake.scriptdir) if name[0] != "_"),
    "beside": [beside.shout("x"), inner()],
    "here": os.path.exists(snakemake.input[0]),
}
Path(snakemake.output.text).write_text(json.dumps(told, indent=1, sort_keys=True) + "\\n")
Path(snakemake.output[0]).write_text("first\\n")
Path(snakemake.log[0]).write_text("log\\n")
snakemake.params.text = "changed"
''',
                "scripts/beside.py": "def shout(text):\n    return text.upper()\n",
                "scripts/package/__init__.py": "",
                "scripts/package/inner.py": "def inner():\n    return 'inner'\n",
                "scripts/tell.sh": """#!/bin/bash
echo "${snakemake_input[a]} ${snakemake_params[text]} ${snakemake[rule]}" > "${snakemake_output[0]}"
echo "${snakemake_wildcards[name]} ${snakemake[threads]} ${snakemake_config[value]}" \\
    >> "${snakemake_output[0]}"
cat "${snakemake_input[a]}" >> "${snakemake_output[0]}"
""",
            },
            targets=("out.txt",),
        ),
        Construct(
            "bash",
            """
rule bash_source:
    output: "bash/in.txt"
    shell: "echo in > {output}"
rule bash:
    input: a="bash/in.txt"
    output: "bash/{name}.txt"
    params: text="it's \\"q\\" $HOME", suffix="sh"
    threads: 2
    script: "scripts/tell.{params.suffix}"
""",
            targets=("out.txt",),
        ),
        Construct(
            "wrapped",
            """
import os
rule wrapped:
    output: "wrapped/out.txt"
    params: word="a word"
    log: "wrapped/out.log"
    wrapper: "file:" + os.path.join(workflow.basedir, "wrappers/one")
""",
            files={
                "wrappers/one/wrapper.py": "from snakemake.shell import shell\n"
                "log = snakemake.log_fmt_shell(stdout=False)\n"
                "word = snakemake.params.word\n"
                "shell('(echo {word}; echo said >&2) > {snakemake.output} {log}')\n",
                "wrappers/one/environment.yaml": "channels: []\ndependencies: []\n",
            },
        ),
        Construct(
            "templated",
            """
rule templated:
    input: "given/template.txt"
    output: "templated/out.txt"
    params: names=["x", "y"]
    template_engine: "jinja2"
""",
            files={
                "given/template.txt": "{% for name in params.names %}{{ name }} {% endfor %}"
                "{{ wildcards }}\n"
            },
        ),
        Construct(
            "running",
            """
def running_text(name):
    return f"text of {name}\\n"
rule running:
    output: "running/out.txt"
    params: names=["a", "b"]
    run:
        with open(output[0], "w") as stream:
            stream.writelines(running_text(name) for name in params.names)
        shell("echo {params.names[1]} >> {output}")
""",
            falls_back={"running": "run:"},
        ),
    ),
)
