from __future__ import annotations

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.environment import (
    payload_environment,
    wheels_environment,
    without_bash,
)
from snakemake_executor_plugin_grid.worker.processes import MARK


def test_secrets_of_the_site_do_not_get_through(tmp_path: Path) -> None:
    site = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "GITHUB_TOKEN": "x",
        "BEARER_TOKEN": "x",
        "PILOT_PASSWORD": "x",
        "PYTHONPATH": "/pilot",
        "PYTHONHOME": "/pilot",
        "LD_PRELOAD": "/pilot.so",
        "SNAKEMAKE_PROFILE": "grid",
        "PATH": "/bin",
    }
    env = payload_environment(site, {}, tmp_path, "j")
    assert "x" not in env.values()
    assert set(env) & set(site) == {"PATH"}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LANG", "LC_ALL", "X509_CERT_DIR", "X509_USER_PROXY", "SSL_CERT_FILE"),
        *("http_proxy", "HTTPS_PROXY", "APPTAINER_CACHEDIR", "CVMFS_MOUNT_DIR", "LD_LIBRARY_PATH"),
        *("MODULEPATH", "VO_CMS_SW_DIR", "CONDA_EXE", "TERM", "TZ"),
        *("BASH_ENV", "BASH_FUNC_module%%"),
    ],
)
def test_settings_of_the_site_get_through(tmp_path: Path, name: str) -> None:
    assert payload_environment({name: "value"}, {}, tmp_path, "j")[name] == "value"


def test_functions_of_the_node_do_not_get_into_a_container() -> None:
    env = {"BASH_ENV": "/etc/init", "BASH_FUNC_module%%": "() { :; }", "PATH": "/bin"}
    assert without_bash(env) == {"PATH": "/bin"}


def test_declared_variables_get_through_and_win(tmp_path: Path) -> None:
    declared = {"MY_TOKEN": "secret", "LANG": "de_DE.UTF-8", "EMPTY": ""}
    env = payload_environment({"LANG": "C", "MY_TOKEN": "other"}, declared, tmp_path, "j")
    assert {name: env[name] for name in declared} == declared


def test_job_can_be_told_from_others(tmp_path: Path) -> None:
    assert payload_environment({}, {MARK: "x"}, tmp_path, "job-7")[MARK] == "job-7"


def test_empty_site_gives_what_programs_need(tmp_path: Path) -> None:
    env = payload_environment({}, {}, tmp_path, "j")
    assert env["PATH"] == os.defpath
    assert env["LANG"] == "C.UTF-8"


def test_temporary_files_stay_with_the_job(tmp_path: Path) -> None:
    site = {"TMPDIR": "/tmp", "XDG_CACHE_HOME": "/home/x/.cache", "XDG_CONFIG_HOME": "/c"}
    env = payload_environment(site, {}, tmp_path, "j")
    for name in ("TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME"):
        assert Path(env[name]).is_relative_to(tmp_path)
        assert Path(env[name]).is_dir()
    assert "XDG_CONFIG_HOME" not in env


@pytest.mark.parametrize("home", [None, "", "/nonexistent/home", "/proc/1"])
def test_home_that_cannot_be_used_is_replaced(tmp_path: Path, home: str | None) -> None:
    site = {} if home is None else {"HOME": home}
    if home == "/proc/1" and os.access(home, os.W_OK):
        pytest.skip("this user may write anywhere")
    env = payload_environment(site, {}, tmp_path, "j")
    assert env["HOME"] == str(tmp_path / "home")
    assert (tmp_path / "home").is_dir()


def test_home_that_can_be_used_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "myhome"
    home.mkdir()
    assert payload_environment({"HOME": str(home)}, {}, tmp_path, "j")["HOME"] == str(home)


def test_second_attempt_in_the_same_folder(tmp_path: Path) -> None:
    assert payload_environment({}, {}, tmp_path, "j") == payload_environment({}, {}, tmp_path, "j")


def test_wheels_environment() -> None:
    env = {"A": "1", "PATH": "/bin", "PYTHONPATH": "/site", "PYTHONHOME": "/site"}
    assert wheels_environment(env, "/job/wheels") == {
        "A": "1",
        "PATH": f"/job/wheels/bin{os.pathsep}/bin",
        "PYTHONPATH": "/job/wheels",
        "PYTHONNOUSERSITE": "1",
    }
    assert wheels_environment({}, "/w")["PATH"] == "/w/bin"
    assert env["PYTHONHOME"] == "/site"
