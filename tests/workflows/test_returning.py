"""Points 3, 4, 5 and 7: what comes back, what does not, and what it replaces."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

EACH_ALONE = ("--grid-large-file", "1")
"""Every file that is not empty travels by itself rather than in a tarball."""


# Point 3


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
