"""Points 3, 4, 5 and 7: what comes back, what does not, and what it replaces."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

EACH_ALONE = ("--grid-large-file", "1")
"""Every file that is not empty travels by itself rather than in a tarball."""


# Point 3


def test_undeclared_files_are_listed_and_come_back_on_request(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "plain.txt", "rule.txt"
rule plain:
    output: "{name}.txt"
    wildcard_constraints: name="plain|option"
    shell: "touch {output}; mkdir -p extra; echo {wildcards.name} > extra/{wildcards.name}.idx; "
           "ln -s extra/{wildcards.name}.idx {wildcards.name}.link"
rule rule:
    output: "rule.txt"
    resources: grid_undeclared="fetch"
    shell: "touch {output}; mkdir -p extra; echo {rule} > extra/{rule}.idx; "
           "mkdir .git; touch .git/x"
"""
    )
    run = project.run().succeeded()
    assert "2 new file(s) that no rule names stayed on the worker: extra/plain.idx, plain.link" in (
        run.output
    )
    assert "that no rule names came back as well" in run.output
    assert [path.name for path in (project.folder / "extra").iterdir()] == ["rule.idx"]
    project.run("option.txt", "--grid-undeclared", "fetch").succeeded()
    assert project.read("extra/option.idx") == project.read("option.link") == "option\n"


def test_an_output_in_a_folder_that_is_an_output_too(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "d", "copy.txt"
rule make:
    output: "d/f", directory("d")
    shell: "mkdir -p d; echo f > d/f; echo g > d/g"
rule use:
    input: "d/f"
    output: "copy.txt"
    shell: "cp {input} {output}"
"""
    )
    project.run().succeeded()
    assert sorted(path.name for path in (project.folder / "d").glob("[!.]*")) == ["f", "g"]
    assert project.read("copy.txt") == "f\n"


# Point 4


def test_a_missing_output_fails_its_job_only(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "good.txt", "absent.txt", "device.txt"
rule good:
    output: "good.txt"
    shell: "sleep 1; touch {output}"
rule absent:
    output: "absent.txt"
    shell: "touch absent.text"
rule device:  # Snakemake is content on the worker, but a device cannot come back
    output: "device.txt", "beside.txt"
    shell: "ln -s /dev/null {output[0]}; touch {output[1]}"
"""
    )
    run = project.run("--keep-going").failed()
    assert (project.folder / "good.txt").exists()
    assert "absent.txt" in run.output.partition("Last lines of its output")[2]
    assert "did not bring device.txt" in run.output
    assert not (project.folder / "beside.txt").exists()
    assert "Error in rule absent" in run.output
    assert "Error in rule device" in run.output


# Point 5


def test_a_temporary_output_that_nobody_needs(project: Project) -> None:
    project.write(
        Snakefile="""
rule single:  # of the first rule, the worker's Snakemake removes them
    input: "group_last.txt"
    output: "needed.txt", temp("sub/unneeded.txt"), temp(directory("unneeded"))
    shell: "echo needed > {output[0]}; echo x > {output[1]}; mkdir {output[2]}; touch {output[2]}/x"
rule group_first:
    output: "group_first.txt", temp("group_unneeded.txt")
    group: "g"
    shell: "touch {output}"
rule group_last:
    input: "group_first.txt"
    output: "group_last.txt"
    group: "g"
    shell: "touch {output}"
"""
    )
    project.run().succeeded()
    assert project.read("needed.txt") == "needed\n"
    for name in ("sub/unneeded.txt", "unneeded", "group_unneeded.txt"):
        assert not (project.folder / name).exists(), name


# Point 7


@pytest.mark.parametrize("options", [(), EACH_ALONE], ids=["tarball", "alone"])
def test_old_outputs_are_replaced_as_a_whole(project: Project, options: tuple[str, ...]) -> None:
    folder = project.folder
    project.put("precious.txt", "precious\n")
    project.put("tree/old.txt", "old\n")
    project.put("tree/sub/old.txt", "old\n")
    (folder / "tree" / "sub").chmod(0o555)
    project.put("now_a_folder", "a file\n")
    (project.folder / "now_a_file").mkdir()
    (folder / "was_a_link.txt").symlink_to("precious.txt")
    (folder / "elsewhere").mkdir()
    project.put("elsewhere/keep.txt", "keep\n")
    (folder / "was_a_link").symlink_to("elsewhere")
    project.write(
        Snakefile="""
rule all:
    output:
        directory("tree"), directory("now_a_folder"), "now_a_file",
        "was_a_link.txt", directory("was_a_link")
    shell: "mkdir -p {output[0]} {output[1]} {output[4]}; "
           "for f in {output[0]}/new.txt {output[1]}/new.txt {output[2]} {output[3]}; "
           "do echo new > $f; done"
"""
    )
    project.run("--force", "all", *options).succeeded()
    assert sorted(p.name for p in (folder / "tree").iterdir()) == [
        ".snakemake_timestamp",
        "new.txt",
    ]
    for name in ("now_a_folder/new.txt", "now_a_file", "was_a_link.txt"):
        assert project.read(name) == "new\n"
    assert not (folder / "was_a_link.txt").is_symlink()
    assert not (folder / "was_a_link").is_symlink()
    assert project.read("precious.txt") == "precious\n"
    assert project.read("elsewhere/keep.txt") == "keep\n"


@pytest.mark.parametrize("options", [(), EACH_ALONE], ids=["tarball", "alone"])
def test_protected_outputs_come_back_protected_and_are_not_replaced(
    project: Project, options: tuple[str, ...]
) -> None:
    project.write(
        Snakefile="""
rule protected:
    output: protected("protected.txt"), protected(directory("tree"))
    shell: "echo $RANDOM$RANDOM > {output[0]}; mkdir {output[1]}; echo x > {output[1]}/x"
rule good:
    output: "good.txt"
    shell: "touch {output}"
"""
    )
    project.run("protected", *options).succeeded()
    path = project.folder / "protected.txt"
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o444
    assert not (project.folder / "tree" / "x").stat().st_mode & 0o222
    again = project.run("--keep-going", "--forceall", "protected", "good", *options).failed()
    assert "rotected" in again.output
    assert "protected.txt" in again.output
    assert path.read_text() == text
    assert (project.folder / "tree" / "x").exists()


# Whatever is a file


def test_empty_files_folders_and_modes_go_there_and_back(project: Project) -> None:
    project.put("in/empty.txt", "")
    (project.folder / "in" / "hollow" / "deep").mkdir(parents=True)
    project.put("in/tool.sh", "#!/bin/sh\necho tool\n").chmod(0o750)
    project.put("in/secret.txt", "secret\n").chmod(0o400)
    project.put("in/with space ü.txt", "odd\n")
    project.write(
        Snakefile="""
rule all:
    input: "in"
    output: directory("copy"), "empty.txt", "tool.sh", directory("hollow")
    shell: "cp -a {input} {output[0]}; touch {output[1]}; mkdir {output[3]}; "
           "in/tool.sh; cp -p in/tool.sh {output[2]}"
"""
    )
    project.run().succeeded()
    folder = project.folder
    for path in (folder / "in").rglob("*"):
        copy = folder / "copy" / path.relative_to(folder / "in")
        assert copy.stat().st_mode == path.stat().st_mode, path
        if path.is_file():
            assert copy.read_bytes() == path.read_bytes()
    assert project.read("empty.txt") == ""
    assert (folder / "tool.sh").stat().st_mode & 0o777 == 0o750
    assert (folder / "hollow").is_dir()
