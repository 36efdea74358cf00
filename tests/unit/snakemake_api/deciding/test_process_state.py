"""What a Snakefile changes in its process."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from snakemake_executor_plugin_grid.snakemake_api.deciding import process_state
from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_TEST_LIST", "a:b")
    monkeypatch.setattr(process_state, "_environment", None)
    monkeypatch.setattr(process_state, "_umask", None)
    process_state.remember()


def changed(mark: Callable[[str], str] = str) -> dict[str, str]:
    found = process_state.changed_environment(mark)
    found.pop("PYTEST_CURRENT_TEST", None)  # pytest's own, new in each phase of a test
    return found


def test_nothing_has_changed() -> None:
    assert changed() == {}
    assert process_state.changed_umask() is None


def test_the_last_state_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_TEST_NEW", "1")
    monkeypatch.setenv("GRID_TEST_LIST", "other")
    assert changed(str.upper) == {
        "GRID_TEST_NEW": "1",
        "GRID_TEST_LIST": "OTHER",
    }
    monkeypatch.delenv("GRID_TEST_LIST")
    assert changed() == {"GRID_TEST_NEW": "1"}
    process_state.remember()  # a program makes the options after it has parsed its workflow
    assert changed() == {"GRID_TEST_NEW": "1"}
    monkeypatch.setattr(process_state, "_parsed", False)
    process_state.remember(parses_now=True)
    assert changed() == {}
    monkeypatch.setenv("GRID_TEST_NEW", "2")
    process_state.remember(parses_now=True)  # Snakemake makes the options a second time
    assert changed() == {"GRID_TEST_NEW": "2"}
    monkeypatch.setattr(process_state, "_environment", None)
    assert changed() == {}  # a program has parsed its workflow before it chose this executor


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/opt/bin"),
        ("TMPDIR", "/scratch"),
        ("GRID_TEST_LIST", "/new:a:b"),
        ("GRID_TEST_LIST", "a:b:/new"),
        ("GRID_TEST_LIST", "a:b /new"),
    ],
)
def test_values_that_each_node_has_cannot_be_extended(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Unsupported, match=f"changes {name}"):
        process_state.changed_environment(str)


def test_the_umask(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o037)
    try:
        assert process_state.current_umask() == 0o037
        assert process_state.changed_umask() == (None if before == 0o037 else 0o037)

        def fail(*args: object, **options: object) -> None:
            raise OSError

        monkeypatch.setattr("builtins.open", fail)  # a system without /proc
        assert process_state.current_umask() == 0o037
        assert process_state.current_umask() == 0o037
    finally:
        os.umask(before)
