"""Fixtures of the tests of ``snakemake-grid check``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.resilience import calls
from snakemake_executor_plugin_grid.stores import webdav


@pytest.fixture(autouse=True)
def _no_user_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables and profiles of the user who runs the tests."""
    for name in os.environ:
        if name.startswith(("SNAKEMAKE_", "PANDA", "OIDC_", "X509_", "XDG_", "DIRAC")):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry after transient errors without a pause."""
    monkeypatch.setattr(calls, "_PAUSES_AT_START", (0.01, 0.01))
    monkeypatch.setattr(webdav, "_PAUSES", (0.01,))


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
