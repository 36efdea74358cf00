from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.settings.serialize import from_json, to_json


def test_defaults_are_not_stored() -> None:
    assert to_json(ExecutorSettings()) == {}
    assert from_json({}) == ExecutorSettings()


def test_options_are_read_back() -> None:
    settings = ExecutorSettings(
        backend="dirac",
        site="A,B",
        dirac_python=Path("/opt/dirac/bin/python"),
        outage_limit=1.5,
        priority=0,
        describe=True,
        include=["data/*.txt"],
    )
    text = json.dumps(to_json(settings))
    assert from_json(json.loads(text)) == settings
    assert set(json.loads(text)) == {
        *("backend", "site", "dirac_python", "outage_limit", "priority", "describe", "include"),
    }


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = to_json(ExecutorSettings(local_dir=Path("site")))
    assert stored == {"local_dir": str(tmp_path / "site")}
    assert from_json(stored).local_dir == tmp_path / "site"


def test_options_of_another_version_are_ignored() -> None:
    assert from_json({"site": "A", "of_a_newer_version": 3}) == ExecutorSettings(site="A")
