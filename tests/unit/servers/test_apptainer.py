"""The stand-in does what Apptainer's sources and guide say, as far as the plugin relies on it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.apptainer.engine import parse_binds
from tests.servers.apptainer.environment import start_script, variables
from tests.servers.apptainer.fixture import URL, Apptainer, apptainer
from tests.servers.apptainer.image import NAME
from tests.servers.apptainer.namespace import Bind, NoContainer

__all__ = ["apptainer"]

NODE = {"PATH": "/node/bin", "HOME": "/home/me"}


def show(engine: Apptainer, script: str, *options: str, **env: str) -> list[str]:
    image = str(engine.image)
    done = engine.run("exec", *options, image, "sh", "-c", script, env=NODE | env, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_root_is_that_of_the_image_and_cannot_be_written(apptainer: Apptainer) -> None:
    before = names(apptainer.image)
    assert show(apptainer, "cat /etc/grid-image; ls /etc/ld.so.cache || echo no") == [NAME, "no"]
    assert show(apptainer, "touch /new || touch /usr/new || echo no") == ["no"]
    assert not Path("/etc/grid-image").exists()
    assert Path("/etc/ld.so.cache").exists()
    assert names(apptainer.image) == before


def test_python_of_the_image(apptainer: Apptainer) -> None:
    script = "import sys, json, ctypes, hashlib, subprocess; print(sys.executable, sys.prefix)"
    done = apptainer.run("exec", str(apptainer.image), "python3", "-c", script, env=NODE)
    assert done.stdout == "/usr/bin/python3 /usr\n", done.stderr


def test_temporary_folders_and_the_working_directory_are_the_nodes(
    apptainer: Apptainer, tmp_path: Path
) -> None:
    line = ("exec", str(apptainer.image), "sh", "-c", "pwd > here; ls -d /proc/self /dev/null /sys")
    done = apptainer.run(*line, cwd=tmp_path, env=NODE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here").read_text() == f"{tmp_path}\n"


def test_home_takes_the_place_of_the_users(apptainer: Apptainer, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert show(apptainer, "echo $HOME; ls ~", "--home", str(tmp_path)) == [str(tmp_path), "mine"]
    assert show(apptainer, "echo $HOME; ls ~", "--home", f"{tmp_path}:/home/x") == [
        "/home/x",
        "mine",
    ]
    assert show(apptainer, "echo $HOME") == ["/home/me"]


def test_the_user_is_known_in_the_image(apptainer: Apptainer, tmp_path: Path) -> None:
    script = "import getpass, pwd, os; print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_dir)"
    line = ("--home", f"{tmp_path}:/home/x", str(apptainer.image), "python3", "-c", script)
    done = apptainer.run("exec", *line, env=NODE)
    assert done.stdout == f"{pwd.getpwuid(os.getuid()).pw_name} /home/x\n", done.stderr


def test_binds(apptainer: Apptainer, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    script = "ls /data/a /srv/b /x; touch /data/a/new; touch /srv/b/new 2>/dev/null || echo ro"
    binds = f"{tmp_path}/a:/data/a,{tmp_path}/b:/srv/b:ro"
    found = show(apptainer, script, "-B", binds, APPTAINER_BIND=f"{tmp_path}/c:/x")
    assert [name for name in found if name in ("a", "b", "c", "ro")] == ["a", "b", "c", "ro"]
    assert names(tmp_path / "a") == ["a", "new"]
    assert names(tmp_path / "b") == ["b"]


def test_binds_are_parsed() -> None:
    assert parse_binds(["/a", "/b:/c", "/d:/e:ro,/f:/g:rw,ro"]) == [
        Bind("/a", "/a"),
        Bind("/b", "/c"),
        Bind("/d", "/e", read_only=True),
        Bind("/f", "/g", read_only=True),
    ]
    with pytest.raises(NoContainer, match="wrong is not a valid bind option"):
        parse_binds(["/a:/b:wrong"])


@pytest.mark.parametrize("option", ["--pwd", "--cwd"])
def test_the_working_directory_can_be_named(
    apptainer: Apptainer, tmp_path: Path, option: str
) -> None:
    assert show(apptainer, "pwd", option, str(tmp_path)) == [str(tmp_path)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("--bind", "/no/such:/x", "{image}", "true"), "mount source /no/such doesn't exist"),
        (("--pwd", "/no/such", "{image}", "true"), "failed to set working directory"),
        (("/no/image.sif", "true"), "could not open image /no/image.sif"),
        (("docker://no/image", "true"), "docker://no/image"),
        (("{image}", "no-program"), '"no-program": executable file not found in $PATH'),
    ],
)
def test_what_cannot_be_done_is_fatal(
    apptainer: Apptainer, line: tuple[str, ...], message: str
) -> None:
    done = apptainer.run("exec", *(part.format(image=apptainer.image) for part in line))
    assert (done.returncode, done.stdout) == (255, "")
    assert message in done.stderr
    assert "FATAL" in done.stderr


def test_an_unknown_option_is_an_error(apptainer: Apptainer) -> None:
    done = apptainer.run("exec", "--no-such-option", str(apptainer.image), "true")
    assert done.returncode == 1
    assert "no-such-option" in done.stderr


def test_options_behind_the_image_are_the_commands(apptainer: Apptainer) -> None:
    done = apptainer.run("exec", str(apptainer.image), "echo", "--home", "--bind=x", "--", "-c")
    assert done.stdout == "--home --bind=x -- -c\n"


def test_the_commands_end_is_the_engines(apptainer: Apptainer) -> None:
    image = str(apptainer.image)
    assert apptainer.run("exec", image, "sh", "-c", "exit 7").returncode == 7
    assert apptainer.run("exec", image, "sh", "-c", "kill -9 $$").returncode == -9


def test_the_nodes_variables_go_in_but_not_those_of_the_image(apptainer: Apptainer) -> None:
    env = {"WORD": "it's $HOME", "EMPTY": "", "OF_IMAGE": "of the node", "APPTAINER_DEBUG": "0"}
    script = 'echo "$WORD"; echo ${EMPTY-unset} ${APPTAINER_DEBUG-unset} $OF_IMAGE; echo $PATH'
    word, states, path = show(apptainer, script, LD_LIBRARY_PATH="/node/lib", **env)
    assert word == "it's $HOME"
    assert states == "unset unset set by the image"
    assert path.startswith("/opt/image/bin:/usr/local/bin:/usr/bin:/bin:")
    assert show(apptainer, "echo $LD_LIBRARY_PATH; of-image", LD_LIBRARY_PATH="/node/lib") == [
        "/.singularity.d/libs",
        NAME,
    ]


def test_cleanenv_keeps_variables_out(apptainer: Apptainer) -> None:
    script = "echo ${WORD-unset} ${GIVEN-unset} $OTHER $LANG $TERM"
    env = {"WORD": "x", "LANG": "de", "TERM": "dumb", "APPTAINERENV_GIVEN": "given"}
    env["SINGULARITYENV_OTHER"] = "other"
    assert show(apptainer, script, "--cleanenv", **env) == ["unset given other C dumb"]


def test_given_variables_win_and_are_evaluated_once(apptainer: Apptainer) -> None:
    env = {"APPTAINERENV_OF_IMAGE": "$(echo evaluated) \"x\" 'y'", "OF_IMAGE": "of the node"}
    script = 'echo "$OF_IMAGE"'
    assert show(apptainer, script, **env) == ["evaluated \"x\" 'y'"]
    literal = ["$(echo evaluated) \"x\" 'y'"]
    assert show(apptainer, script, "--no-eval", **env) == literal
    assert show(apptainer, script, APPTAINER_NO_EVAL="1", **env) == literal


def test_given_paths_and_homes() -> None:
    found = variables(
        {"APPTAINERENV_HOME": "/x", "APPTAINERENV_PREPEND_PATH": "/mine"}, clean=False, home="/home"
    )
    assert found.warnings == [
        "Overriding HOME environment variable with APPTAINERENV_HOME is not permitted"
    ]
    assert found.passed == {"HOME": "/home"}
    assert "PATH=/mine:$PATH\n" in start_script(found, evaluate=True)


def test_pull_then_exec(apptainer: Apptainer, tmp_path: Path) -> None:
    line = ("pull", "--name", "1.simg", URL)
    assert apptainer.run(*line, cwd=tmp_path).returncode == 0
    done = apptainer.run("exec", str(tmp_path / "1.simg"), "cat", "/etc/grid-image")
    assert done.stdout == f"{NAME}\n"
    assert "already exists" in apptainer.run(*line, cwd=tmp_path).stderr
    other = apptainer.run("pull", "--name", "2.simg", "docker://no/image", cwd=tmp_path)
    assert (other.returncode, "not found" in other.stderr) == (255, True)
    assert [call[0] for call in apptainer.calls] == ["pull", "exec", "pull", "pull"]


def test_sites_can_forbid_binds(apptainer: Apptainer, tmp_path: Path) -> None:
    apptainer.configure(user_bind_control=False)
    line = ("--bind", f"{tmp_path}:/data", str(apptainer.image), "sh", "-c", "ls -d /data || true")
    done = apptainer.run("exec", *line)
    assert done.stdout == ""
    assert f"Ignoring {tmp_path} bind mount: user bind control disabled" in done.stderr
    home = apptainer.run("exec", "--home", str(tmp_path), str(apptainer.image), "true")
    assert home.returncode == 255
    assert "not mounting user requested home: user bind control is disallowed" in home.stderr


def test_snakemake_accepts_the_version(apptainer: Apptainer) -> None:
    assert apptainer.run("--version").stdout.startswith("apptainer version 1.")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_ordinary_users_get_a_user_namespace(apptainer: Apptainer) -> None:
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if not shutil.which("unshare") or subprocess.run([*as_user, "true"], check=False).returncode:
        pytest.skip("there are no user namespaces")
    line = [str(apptainer.folder / "apptainer"), "exec", str(apptainer.image), "sh", "-c"]
    done = subprocess.run(
        [*as_user, *line, "id -u; cat /etc/grid-image"], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"1000\n{NAME}\n", done.stderr
