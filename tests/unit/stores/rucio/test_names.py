"""Names of files in Rucio."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.stores.rucio.names import build, parse, parse_folder


@pytest.mark.parametrize(
    ("name", "scope", "file"),
    [
        ("rucio://user.ci/f.root", "user.ci", "f.root"),
        ("rucio://mc16/a/b/c.root", "mc16", "a/b/c.root"),
        ("rucio://cms//store/mc/f.root", "cms", "/store/mc/f.root"),
        ("rucio://s/f.root?x=1#2", "s", "f.root?x=1#2"),
    ],
)
def test_a_name_has_a_scope_and_the_rest(name: str, scope: str, file: str) -> None:
    assert parse(name) == (scope, file)
    assert build(scope, file) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lfn:/vo/f", "is no name in Rucio"),
        ("rucio:/s/f", "is no name in Rucio"),
        ("rucio:///f", "has no scope"),
        ("rucio://s:f", "what Rucio shows as scope:name"),
        ("rucio://s", "has a scope and no name"),
        ("rucio://s/", "has a scope and no name"),
        ("rucio://s/a b", "has blanks"),
        ("rucio://s/a\n", "has blanks"),
        ("rucio://s/a*", "has a *"),
        ("rucio://s/../../etc/passwd", "has .. in it"),
    ],
)
def test_what_is_no_name_is_refused(name: str, said: str) -> None:
    with pytest.raises(PermanentError) as raised:
        parse(name)
    assert said in str(raised.value)


def test_a_folder_may_be_a_scope() -> None:
    assert parse_folder("rucio://s") == ("s", "")
    assert parse_folder("rucio://s/") == ("s", "")
    assert parse_folder("rucio://s/a/b/") == ("s", "a/b/")
