"""Names, files and texts that come from workers and stores."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.untrusted import (
    UntrustedError,
    checked_digest,
    checked_name,
    copy_untrusted,
    is_regular,
    open_untrusted,
    parse_json,
    path_below,
    printable,
    printable_lines,
    read_untrusted,
)


@pytest.mark.parametrize("name", ["a", "a/b", "..a", "a..", "\udc80", "x" * 255, "a\nb"])
def test_path_of_a_plain_name(tmp_path: Path, name: str) -> None:
    path = path_below(tmp_path, name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert str(path) == f"{tmp_path}/{name}"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "a/", "a\0"]
)
def test_name_that_leads_elsewhere_has_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UntrustedError):
        path_below(tmp_path, name)


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "\u0660" * 64, "a" * 64 + "\n"])
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(UntrustedError, match="SHA-256"):
        checked_digest(text)


@pytest.mark.parametrize("text", ["", ".x", "a/b", "..", "a b", "ä", "a\n", "x" * 256, "-x"])
def test_what_is_no_plain_name(text: str) -> None:
    with pytest.raises(UntrustedError, match="plain name"):
        checked_name(text)


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder", "socket"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "path", tmp_path / "target"
    (tmp_path / "secret").write_text("of the user")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    else:
        path.symlink_to("secret" if kind == "link" else "nowhere")
    with pytest.raises(UntrustedError, match="regular file"):
        open_untrusted(path)
    with pytest.raises(UntrustedError, match="regular file"):
        copy_untrusted(path, target)
    assert not target.exists()
    assert not is_regular(path)


def test_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "path"
    path.write_bytes(b"abc")
    assert read_untrusted(path, 3) == b"abc"
    with pytest.raises(UntrustedError, match="larger than 2"):
        read_untrusted(path, 2)
    copy_untrusted(path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"abc"


def test_copy_where_the_file_system_does_not_know_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lseek(fd: int, position: int, whence: int) -> int:
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "Invalid argument")
        return seek(fd, position, whence)

    seek = os.lseek
    monkeypatch.setattr(os, "lseek", lseek)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(3_000_000) + b"end")
    copy_untrusted(source, target)
    assert target.read_bytes() == source.read_bytes()


def test_copy_is_the_same_and_keeps_holes(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    with source.open("wb") as stream:
        stream.write(b"begin")
        stream.seek(3 << 20)
        stream.write(b"x" * (2 << 20))
        stream.truncate(1 << 40)
    copy.write_bytes(b"old")
    copy_untrusted(source, copy)
    assert copy.stat().st_size == 1 << 40
    assert copy.stat().st_blocks * 512 < 16 << 20
    with source.open("rb") as one, copy.open("rb") as other:
        assert one.read(6 << 20) == other.read(6 << 20)
    source.write_bytes(b"")
    copy_untrusted(source, copy)
    assert copy.read_bytes() == b""


def test_json_with_a_key_twice_is_refused() -> None:
    assert parse_json(b'{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(UntrustedError, match="twice"):
        parse_json(b'{"a": {"b": 1, "b": 2}}')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Größe 3 µm", "Größe 3 µm"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07end", "end"),
        ("\x1bc", ""),
        ("a\tb\nc\rd\xa0e", "a b c d e"),
        ("a\x00\x08\x7f\x85b", "a\ufffd\ufffd\ufffd b"),
        ("\u202egpj.exe\u2066", "\ufffdgpj.exe\ufffd"),
        ("\ud800\udc80", "\ufffd\ufffd"),
        ("\x1b\x1b[31m[31mx", "\ufffd[31mx"),
    ],
)
def test_terminal_obeys_nothing(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut() -> None:
    assert printable("x" * 20, 10) == "x" * 10 + "…"
    assert printable("x" * 10, 10) == "x" * 10


def test_lines_stay_lines() -> None:
    assert printable_lines("a\x1b[2J\nb\tc\r\n") == "a\nb\tc \n"
