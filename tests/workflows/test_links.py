"""Point 9: links mean at home what they meant on the worker, and the other way round."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow


def test_links_among_outputs(project: Project) -> None:
    project.put("in/data.txt", "data\n")
    project.write(
        Snakefile="""
rule all:
    input: "in/data.txt"
    output:
        real="out/real.txt", relative="out/relative.txt", absolute="out/absolute.txt",
        outside="out/outside.txt", scratch="out/scratch.txt", given="out/given.txt",
        folder=directory("folder"), other=directory("other")
    shell:
        \"\"\"
        echo real > {output.real}
        ln -s real.txt {output.relative}
        ln -s $PWD/{output.real} {output.absolute}
        echo outside > $TMPDIR/outside.txt
        ln -s $TMPDIR/outside.txt {output.outside}
        mkdir tmp; echo scratch > tmp/scratch.txt
        ln -s ../tmp/scratch.txt {output.scratch}
        ln -s ../{input} {output.given}
        mkdir -p {output.folder}/sub $TMPDIR/tree
        cd {output.folder}
        echo inner > inner.txt
        ln -s ../inner.txt sub/up.txt
        ln -s nowhere broken
        ln -s $PWD/gone absolute_broken
        ln -s /no/such/file elsewhere_broken
        ln -s . loop
        echo leaf > $TMPDIR/tree/leaf.txt
        ln -s $TMPDIR/tree tree
        cd ..
        ln -s folder {output.other}
        \"\"\"
"""
    )
    run = project.run().succeeded()
    folder = project.folder
    kept = {
        "out/relative.txt": "real.txt",
        "out/absolute.txt": "real.txt",
        "out/given.txt": "../in/data.txt",
        "folder/sub/up.txt": "../inner.txt",
        "folder/broken": "nowhere",
        "folder/absolute_broken": "gone",
        "folder/loop": ".",
        "other": "folder",
    }
    for name, target in kept.items():
        assert os.readlink(folder / name) == target, name  # noqa: PTH115
    assert project.read("out/absolute.txt") == "real\n"
    assert project.read("folder/sub/up.txt") == "inner\n"
    followed = {
        "out/outside.txt": "outside\n",
        "out/scratch.txt": "scratch\n",
        "folder/tree/leaf.txt": "leaf\n",
    }
    for name, text in followed.items():
        assert not (folder / name).is_symlink(), name
        assert project.read(name) == text
    assert not (folder / "folder" / "tree").is_symlink()
    # A tarball from a worker may not bring a link to just anywhere.
    assert not (folder / "folder" / "elsewhere_broken").is_symlink()
    assert "link to /no/such/file, which is outside" in run.output


def test_links_among_inputs(project: Project) -> None:
    outside = project.folder.parent / "archive"
    outside.mkdir()
    (outside / "data.txt").write_text("data\n")
    (outside / "tree").mkdir()
    (outside / "tree" / "leaf.txt").write_text("leaf\n")
    folder = project.folder
    project.put("raw/near.txt", "near\n")
    project.put("tree/own.txt", "own\n")
    (folder / "absolute.txt").symlink_to(outside / "data.txt")
    (folder / "relative.txt").symlink_to("../archive/data.txt")
    (folder / "near.txt").symlink_to("raw/near.txt")
    (folder / "linked").symlink_to(outside / "tree")
    # Within a folder that is an input
    (folder / "tree" / "alias.txt").symlink_to("own.txt")
    (folder / "tree" / "absolute.txt").symlink_to(outside / "data.txt")
    (folder / "tree" / "near.txt").symlink_to("../raw/near.txt")
    (folder / "tree" / "sub").symlink_to(outside / "tree")
    (folder / "tree" / "broken").symlink_to("nowhere")
    (folder / "tree" / "broken_outside").symlink_to(outside / "nowhere")
    (folder / "tree" / "itself").symlink_to(folder / "tree")
    (folder / "tree" / "above").symlink_to(folder)
    project.write(
        Snakefile="""
rule all:
    input: "absolute.txt", "relative.txt", "near.txt", folders=["linked", "tree"]
    output: "out.txt"
    shell: "for f in {input[0]} {input[1]} {input[2]}; do test ! -L $f; cat $f; done > {output};"
           "test ! -L linked; cat linked/leaf.txt >> {output};"
           "for f in alias absolute near sub/leaf; do cat tree/$f.txt; done >> {output};"
           "readlink tree/alias.txt tree/broken tree/itself >> {output};"
           "test -e tree/above/raw/near.txt; ! test -L tree/broken_outside"
"""
    )
    project.run().succeeded()
    assert project.read("out.txt").split() == [
        *("data", "data", "near", "leaf"),
        *("own", "data", "near", "leaf"),
        *("own.txt", "nowhere", "."),
    ]
