from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import private
from snakemake_executor_plugin_grid.worker.private import read_private
from snakemake_executor_plugin_grid.worker.transfer import urls

JOBS = {"jobs": {"a": {"environment": {"TOKEN": "hush"}}}}
NAME = "___file___:snakemake_grid_0123"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "one" / "two" / "job"
    folder.mkdir(parents=True)
    return folder


def point(folder: Path, **where: str) -> None:
    (folder / private.PRIVATE_FILE).write_text(json.dumps(where))


def secrets(folder: Path, value: object) -> None:
    encoded = base64.b64encode(json.dumps(value).encode()).decode()
    content = {"another": "x", NAME: encoded}
    (folder / private.SECRETS_FILE).write_text(json.dumps(content))


def test_without_anything_private_nothing_is_looked_for(folder: Path) -> None:
    secrets(folder, JOBS)
    assert read_private(folder) == {}


@pytest.mark.parametrize("up", [".", "..", "../.."])
def test_a_secret_is_found_where_the_pilot_or_rungen_put_it(folder: Path, up: str) -> None:
    point(folder, secret=NAME)
    secrets(folder / up, JOBS)
    assert read_private(folder) == JOBS


def test_secrets_of_others_are_not_looked_at(folder: Path) -> None:
    point(folder, secret=NAME)
    secrets(folder.parents[2], JOBS)
    with pytest.raises(ValueError, match=f"secret {NAME} did not arrive"):
        read_private(folder)


def test_secrets_without_ours_are_passed_over(folder: Path) -> None:
    point(folder, secret=NAME)
    (folder / private.SECRETS_FILE).write_text('{"another": "x"}')
    secrets(folder.parent, JOBS)
    assert read_private(folder) == JOBS


def test_a_file_that_rungen_made_of_the_secret_will_do(folder: Path) -> None:
    point(folder, secret=NAME)
    (folder / "snakemake_grid_0123").write_text(json.dumps(JOBS))
    assert read_private(folder) == JOBS


@pytest.mark.parametrize("by_secret", [False, True])
def test_it_is_fetched_to_where_only_the_user_can_read_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, by_secret: bool
) -> None:
    def get(url: str, target: Path) -> None:
        assert url == "https://store.test/private.json"
        assert target.parent.stat().st_mode & 0o077 == 0
        assert target.parent.parent == folder
        target.write_text(json.dumps(JOBS))

    monkeypatch.setattr(urls, "get", get)
    where = {"url": "https://store.test/private.json"}
    if by_secret:
        point(folder, secret=NAME)
        secrets(folder, where)
    else:
        point(folder, **where)
    before = set(folder.iterdir())
    assert read_private(folder) == JOBS
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("begun", [False, True])
def test_what_cannot_be_fetched_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    def get(url: str, target: Path) -> None:
        if begun:
            target.write_text("half")
        raise OSError("closed")

    monkeypatch.setattr(urls, "get", get)
    point(folder, url="https://store.test/private.json")
    with pytest.raises(OSError, match="closed"):
        read_private(folder)
    assert [path.name for path in folder.iterdir()] == [private.PRIVATE_FILE]


@pytest.mark.parametrize("text", ["", "[]", '"x"', "{"])
def test_damage_is_told(folder: Path, text: str) -> None:
    (folder / private.PRIVATE_FILE).write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_private(folder)
