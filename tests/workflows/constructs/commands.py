"""Constructs of shell commands, of their params and their inputs."""

from __future__ import annotations

from .comparison import Construct, Constructs

_LONG = 70_000
"""Bytes; Snakemake writes commands above 64 KiB to a file."""

COMMANDS = Constructs(
    "commands",
    header="""
import os
configfile: "config.yaml"
os.environ["SET_AT_PARSE"] = "it's set"
envvars: "CONSTRUCTS_SECRET"
WORDS = ["x y", "it's"]
""",
    environment={"CONSTRUCTS_SECRET": "a 'secret'"},
    parts=(
        Construct(
            "quoting",
            r"""
rule quoting:
    output: "quoting/out.txt"
    params:
        text="it's \"q\" $HOME `x` \\n *", words=["a b", "nothing*"], none=None, table={"k": "v w"},
        accents="naïve ☃", number=1.5, yes=True, empty="", path=os.path.join("x", "y")
    shell:
        "printf '[%s]\\n' {params.text:q} {params.words:q} {params.words} {params.none} "
        "{params.none:q} {params.table[k]:q} {params.table:q} {params.accents:q} {params.accents} "
        "{params.number} {params.yes} {params.empty:q} {params.path} {params[1]:q} '\\t' \\t "
        "{WORDS:q} {config[a][b]:q} > {output:q}"
""",
            files={"config.yaml": 'a: {b: "it\'s"}\nswitch: {yes_: true}\n'},
        ),
        Construct(
            "braces",
            """
rule braces:
    output: "braces/out.txt"
    shell: "echo {{a,b}}c '{{}}' ${{HOME:+home}} | awk '{{print $1, $3}}' > {output}"
""",
        ),
        Construct(
            "formatted",
            """
FORMATTED = {"k": 5}
rule formatted:
    output: "formatted/out.txt"
    params: "first", second="2nd"
    shell: f"echo {FORMATTED['k']} {{FORMATTED[k]}} {{params[0]}} {{params.second}} > {{output}}"
""",
        ),
        Construct(
            "function",
            """
def function_command(word):
    return "echo " + word + " {wildcards.n} {rule} {threads} > {output}"
rule function:
    output: "function/{n}.txt"
    shell: function_command("from a function")
""",
            targets=("1.txt", "2.txt"),
        ),
        Construct(
            "loop",
            """
for looped in ("a", "b"):
    rule:
        name: f"loop_{looped}"
        output: f"loop/{looped}.txt"
        params: value=looped
        shell: "echo {params.value} {looped} > {output}"
""",
            targets=("a.txt", "b.txt"),
        ),
        Construct(
            "multiline",
            '''
rule multiline:
    output: "multiline/out.txt"
    shell:
        """
        # a comment with a 'quote
        cat > {output} <<'E'
        $x {rule}
E
        if true; then  # and another one
            echo "a  b" \\
                >> {output}
        fi
        """
''',
        ),
        Construct(
            "long",
            f"""
rule long:
    output: "long/out.txt"
    params: filler="x" * {_LONG}, text=lambda wildcards: "it's"
    shell: "printf %s {{params.filler}} | wc -c > {{output}}; echo {{params.text:q}} >> {{output}}"
""",
        ),
        Construct(
            "strict",
            """
rule strict:
    output: "strict/out.txt"
    shell: "set +e; (false | true; echo $?) > {output}; set -o >> {output}"
""",
        ),
        Construct(
            "threads",
            """
rule threads:
    output: "threads/out.txt"
    threads: 3
    shell: "echo {threads} $OMP_NUM_THREADS $MKL_NUM_THREADS > {output}"
rule threads_above_cores:
    output: "threads/above.txt"
    threads: workflow.cores * 5
    shell: "echo {threads} $OMP_NUM_THREADS > {output}"
""",
            targets=("out.txt", "above.txt"),
        ),
        Construct(
            "tmpdir",
            """
rule tmpdir:
    output: "tmpdir/out.txt"
    params: file=lambda wildcards, resources: f"{resources.tmpdir}/one"
    shell:
        "mkdir -p {resources.tmpdir:q}; file={resources.tmpdir}/file.$$; echo {rule} > $file; "
        "cat $file > {output}; rm $file; test $TMPDIR = {resources.tmpdir} -a $TMP = $TEMP; "
        "basename {params.file} >> {output}"
rule tmpdir_chosen:
    output: "tmpdir/chosen.txt"
    resources: tmpdir="/tmp"
    shell: "echo {resources.tmpdir} $TMPDIR $(dirname $(mktemp -u)) > {output}"
""",
            targets=("out.txt", "chosen.txt"),
        ),
        Construct(
            "late",
            """
def late_content(wildcards, input):
    with open(input[0]) as stream:
        return stream.read().strip().upper()
rule late_source:
    output: "late/source.txt"
    shell: "echo \\"it's made\\" > {output}"
rule late:
    input: "late/source.txt"
    output: "late/out.txt"
    params: text=late_content, size=lambda wildcards, input: os.path.getsize(input[0])
    resources: mem_mb=lambda wildcards, input, attempt: 100 * attempt + int(input.size)
    shell: "echo {params.text:q} {params.size} {resources.mem_mb} > {output}"
""",
            order=("source.txt", "out.txt"),
        ),
        Construct(
            "inputs",
            """
def inputs_of(wildcards):
    return {"one": f"inputs/{wildcards.n}.in", "rest": ["inputs/x.in", "inputs/y.in"]}
rule inputs_source:
    output: "inputs/{n}.in"
    shell: "echo {wildcards.n} > {output}"
rule inputs:
    input: unpack(inputs_of), extra=lambda wildcards: "inputs/extra.in"
    output: text="inputs/{n}.txt"
    log: err="inputs/{n}.err", out="inputs/{n}.log"
    shell:
        "echo {input.one} {input.rest[1]} {input[3]} {input} {log} > {output.text} 2> {log.err}; "
        "cat {input} >> {output.text}; echo said > {log.out}"
""",
            targets=("1.txt", "2.txt"),
        ),
        Construct(
            "attempts",
            """
rule attempts:
    output: "attempts/out.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 100
    shell: "test {resources.mem_mb} -ge 200; echo {resources.mem_mb} > {output}"
""",
        ),
        Construct(
            "variables",
            """
rule variables:
    output: "variables/out.txt"
    shell: "echo $SET_AT_PARSE $CONSTRUCTS_SECRET > {output}"
""",
        ),
        Construct(
            "odd",
            """
ODD = ["a b", "c'd", "ü+=~#%", "(x)&;", "-d"]
rule odd:
    output: "odd/{name}.txt"
    shell: "printf '%s\\n' {wildcards.name:q} {output:q} > {output:q}"
rule odd_all:
    input: expand("odd/{name}.txt", name=ODD)
    output: "odd/out"
    shell: "cat {input:q} > {output}"
""",
            targets=("out",),
            order=("ü+=~#%.txt", "out"),
        ),
        Construct(
            "undeclared",
            """
rule undeclared:
    output: "undeclared/out.txt"
    shell: "python3 tools/shout.py {rule} > {output}; bash ./tools/more.sh >> {output}"
""",
            files={
                "tools/shout.py": "import sys\nprint(sys.argv[1].upper())\n",
                "tools/more.sh": "echo more\n",
            },
        ),
        Construct(
            "absolute",
            """
rule absolute_source:
    output: "absolute/in.txt"
    shell: "echo in > {output}"
rule absolute:
    input: "absolute/in.txt"
    output: "absolute/out.txt"
    params: here=os.getcwd(), base=workflow.basedir, given=workflow.source_path("given/one.txt")
    shell:
        "cat {params.here}/{input} {params.base}/{input} {params.given} > {params.here}/{output}; "
        "cd {workflow.basedir}; cat {input} >> {output}"
rule absolute_input:
    input: workflow.source_path("given/two.txt")
    output: "absolute/input.txt"
    shell: "cat {input} > {output}"
""",
            targets=("out.txt", "input.txt"),
            files={"given/one.txt": "one\n", "given/two.txt": "two\n"},
        ),
        Construct(
            "helpers",
            """
rule helpers_source:
    output: "helpers/{n}.in"
    shell: "echo {wildcards.n} > {output}"
rule helpers:
    input:
        branch(lookup(dpath="switch/yes_", within=config), then="helpers/y.in", otherwise="no"),
        collect("helpers/{n}.in", n=["1", "2"])
    output: "helpers/out.txt"
    params: value=lookup(dpath="a/b", within=config)
    shell: "cat {input} > {output}; echo {params.value:q} >> {output}"
""",
        ),
    ),
)

SHELLS = Constructs(
    "shells",
    header="""
import os
os.umask(0o027)
shell.executable("sh")
shell.prefix("set -u; first='a b'; ")
shell.suffix("; after")
""",
    parts=(
        Construct(
            "executable",
            """
rule executable:
    output: "executable/out.txt"
    shell: "after() {{ echo after >> {output}; }}; echo $first ${{BASH_VERSION:+bash}} > {output}"
rule executable_of_rule:
    output: "executable/bash.txt"
    resources: shell_exec="bash"
    shell: "after() {{ :; }}; echo $first ${{BASH_VERSION:+bash}} ${{0##*/}} > {output}"
""",
            targets=("out.txt", "bash.txt"),
        ),
        Construct(
            "umask",
            """
rule umask:
    output: "umask/out.txt", directory("umask/folder")
    shell:
        "after() {{ :; }}; umask > {output[0]}; mkdir -p {output[1]}/sub; "
        "echo x > {output[1]}/sub/x"
""",
            targets=("out.txt", "folder"),
        ),
    ),
)
