from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.planning import sources
from snakemake_executor_plugin_grid.staging.secret_files import secret_files

from .conftest import Home


def test_small_files_beside_the_workflow_travel(home: Home) -> None:
    home.put("Snakefile", "workflow/rules/a.smk", "config/config.yaml")
    assert home.names() == {
        "work/Snakefile",
        "work/workflow/rules/a.smk",
        "work/config/config.yaml",
    }


def test_entries_have_path_kind_and_size(home: Home) -> None:
    home.put("Snakefile", size=7)
    entry = home.collect().entries["work/Snakefile"]
    assert (entry.path, entry.kind, entry.size) == (str(home.folder / "Snakefile"), "file", 7)


def test_folders_of_tools_are_not_sent(home: Home) -> None:
    home.put(
        *(".snakemake/log", ".git/config", "a/.git/config", ".hg/x", "a/__pycache__/m.pyc"),
        *("node_modules/x.js", "venv/pyvenv.cfg", "venv/bin/python", "env/conda-meta/history"),
        *("env/bin/python", "b.pyc", "c~", ".d.swp", "kept"),
    )
    assert home.names(declared=frozenset({".git/config", "a/.git/config"})) == {"work/kept"}


def test_products_and_inputs_of_jobs_are_no_sources(home: Home) -> None:
    home.put("out.txt", "results/a/b", "in.txt", "Snakefile")
    found = home.names(products={"work/out.txt", "work/results"}, inputs={"work/in.txt"})
    assert found == {"work/Snakefile"}


def test_a_file_that_snakemake_lists_is_a_source_even_if_it_is_an_input(home: Home) -> None:
    home.put("scripts/tool.py", "data/in.txt", "scripts/big.bin")
    home.put("scripts/big.bin", size=100)
    found = home.collect(
        declared=frozenset({"scripts/tool.py", "scripts/big.bin"}),
        inputs={"work/scripts/tool.py", "work/scripts/big.bin", "work/data/in.txt"},
    )
    assert set(found.entries) == {"work/scripts/tool.py"}
    assert found.left_out == []  # the jobs that name it get it


def test_input_that_parsing_read_travels_and_product_does_not(home: Home) -> None:
    home.put("samples.csv", "out.txt")
    parsed = {str(home.folder / name): True for name in ("samples.csv", "out.txt")}
    found = home.names(parsed=parsed, inputs={"work/samples.csv"}, products={"work/out.txt"})
    assert found == {"work/samples.csv"}


def test_a_large_file_is_left_out_and_reported(home: Home) -> None:
    home.put("small", size=99)
    home.put("data/large.bin", size=100)
    found = home.collect()
    assert set(found.entries) == {"work/small"}
    assert found.left_out == [("data/large.bin", 100)]


def test_large_file_that_parsing_read_travels(home: Home) -> None:
    home.put("large", size=5000)
    found = home.collect(parsed={str(home.folder / "large"): False})
    assert set(found.entries) == {"work/large"}
    assert found.left_out == []


def test_total_limit_leaves_out_the_largest(home: Home) -> None:
    for name, size in (("a", 10), ("b", 50), ("c", 40), ("d", 5)):
        home.put(name, size=size)
    found = home.collect(total_limit=20)
    assert set(found.entries) == {"work/a", "work/d"}
    assert sorted(found.left_out) == [("b", 50), ("c", 40)]


def test_total_limit_does_not_count_what_has_to_travel(home: Home) -> None:
    home.put("table", size=500)
    home.put("given", size=500)
    home.put("small", size=10)
    found = home.names(
        parsed={str(home.folder / "table"): True}, include=("given",), total_limit=10
    )
    assert found == {"work/table", "work/given", "work/small"}


def test_included_files_travel_whatever_their_size_and_kind(home: Home) -> None:
    home.put("data/a.root", "data/sub/b.root", "venv/pyvenv.cfg", size=5000)
    found = home.names(include=("data/*", "venv"), inputs={"work/data/a.root"})
    assert {"work/data/a.root", "work/data/sub/b.root", "work/venv/pyvenv.cfg"} <= found


def test_include_of_everything_brings_no_folder_of_snakemake_or_git(home: Home) -> None:
    home.put("a.txt", ".snakemake/grid/journal", "sub/.git/config", "sub/b.txt", size=5000)
    assert home.names(include=("*",)) == {"work/a.txt", "work/sub", "work/sub/b.txt"}
    assert "work/sub/.git/config" in home.names(include=("sub/.git",))


def test_include_that_matches_nothing_is_an_error(home: Home) -> None:
    with pytest.raises(GridError, match=r"--grid-include nothing/\*: matches nothing below"):
        home.collect(include=("nothing/*",))


def test_include_of_an_absolute_path_is_an_error(home: Home) -> None:
    with pytest.raises(GridError, match="--grid-include /etc/passwd"):
        home.collect(include=("/etc/passwd",))


def test_include_of_a_broken_link_is_an_error(home: Home) -> None:
    (home.folder / "broken").symlink_to("missing")
    with pytest.raises(GridError, match=r"--grid-include b\*: .*/broken: No such file"):
        home.collect(include=("b*",))


def test_excluded_files_are_not_sent(home: Home) -> None:
    home.put("a.csv", "data/b.csv", "notes/private.txt", "Snakefile")
    assert home.names(exclude=("*.csv", "notes/*")) == {"work/Snakefile"}
    assert home.names(exclude=("a.csv", "notes/*")) == {"work/data/b.csv", "work/Snakefile"}


def test_exclude_applies_to_parsed_files(home: Home) -> None:
    home.put("secret.yaml")
    parsed = {str(home.folder / "secret.yaml"): True}
    assert home.names(parsed=parsed, exclude=("secret.yaml",)) == set()


def test_exclude_applies_within_included_folders(home: Home) -> None:
    home.put("data/a.root", "data/a.tmp", size=5000)
    assert home.names(include=("data",), exclude=("*.tmp",)) == {"work/data", "work/data/a.root"}


def test_file_that_cannot_be_read_is_passed_over_with_a_warning(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.put("Snakefile", "private")
    access = os.access  # root may read everything
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("private") and access(path, mode)
    )
    found = home.collect()
    assert set(found.entries) == {"work/Snakefile"}
    assert [warning.partition(";")[0] for warning in found.warnings] == ["private cannot be read"]


def test_link_travels_as_the_file_it_points_to(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.txt").write_text("content")
    (home.folder / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    entry = home.collect().entries["work/link.txt"]
    assert (entry.kind, entry.size) == ("file", 7)


def test_broken_link_is_passed_over(home: Home) -> None:
    home.put("Snakefile")
    (home.folder / "broken").symlink_to("missing")
    assert home.names() == {"work/Snakefile"}


def test_fifos_and_missing_files_are_ignored(home: Home) -> None:
    home.put("Snakefile")
    os.mkfifo(home.folder / "pipe")
    assert home.names(declared=frozenset({"pipe", "gone.txt"})) == {"work/Snakefile"}


def test_workflow_beside_the_working_directory_travels(home: Home, tmp_path: Path) -> None:
    home.put("config.yaml", "../workflow/Snakefile", "../workflow/scripts/a.py", "../other/x")
    found = home.names(folders=(tmp_path / "workflow",))
    assert found == {"work/config.yaml", "up1/workflow/Snakefile", "up1/workflow/scripts/a.py"}


def test_declared_file_elsewhere_travels(home: Home) -> None:
    home.put("../lib/tool.py")
    assert home.names(declared=frozenset({"../lib/tool.py"})) == {"up1/lib/tool.py"}


def test_parsed_file_elsewhere_travels_when_it_was_named_relatively(
    home: Home, tmp_path: Path
) -> None:
    home.put("../shared/samples.csv", "../shared/etc.conf")
    parsed = {
        str(tmp_path / "shared" / "samples.csv"): True,
        str(tmp_path / "shared" / "etc.conf"): False,
    }
    assert home.names(parsed=parsed) == {"up1/shared/samples.csv"}


def test_parsed_files_of_snakemake_are_not_sent(home: Home) -> None:
    home.put(".snakemake/metadata/x")
    parsed = {str(home.folder / ".snakemake/metadata/x"): True, str(home.folder / "gone"): True}
    assert home.names(parsed=parsed) == set()


def test_module_imported_from_beside_the_workflow_travels(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.put("helpers.py", size=500)  # above the limit, so that walking alone does not take it
    module = ModuleType("helpers_of_test")
    module.__file__ = str(home.folder / "helpers.py")
    monkeypatch.setitem(sys.modules, "helpers_of_test", module)
    assert home.names() == {"work/helpers.py"}


def test_the_number_of_found_files_is_limited(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MOST_FOUND", 5)
    home.put(*(f"f{number}" for number in range(9)))
    found = home.collect(declared=frozenset({"f8"}))
    assert len(found.entries) == 6
    assert "work/f8" in found.entries
    assert "--grid-include" in found.warnings[0]


def test_inputs_and_products_do_not_count(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MOST_FOUND", 5)
    inputs = [f"data/{number}" for number in range(9)]
    home.put(*inputs, *(f"out/{number}" for number in range(9)), "scripts/x.py")
    found = home.collect(inputs={f"work/{name}" for name in inputs}, products={"work/out"})
    assert set(found.entries) == {"work/scripts/x.py"}
    assert found.warnings == []


def test_walk_below_the_limit_warns_of_nothing(home: Home) -> None:
    home.put("Snakefile")
    assert home.collect().warnings == []


def test_credential_files_are_never_sent(home: Home, tmp_path: Path) -> None:
    home.put("token", "conf/.token", "data.txt", "proxy")
    (home.folder / "link").symlink_to("proxy")
    environment = {
        "PANDA_CONFIG_ROOT": str(home.folder / "conf"),
        "X509_USER_PROXY": str(home.folder / "proxy"),
    }
    secrets = secret_files(environment, home.folder / "token", None)
    found = home.names(
        secrets=secrets,
        include=("*", "conf/*"),
        declared=frozenset({"token", "proxy"}),
        parsed={str(home.folder / "token"): True},
    )
    assert found == {"work/data.txt", "work/conf"}
