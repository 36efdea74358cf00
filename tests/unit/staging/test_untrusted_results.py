"""Results of workers are not trusted: hostile and damaged ones change nothing."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Callable
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.untrusted import UntrustedError
from snakemake_executor_plugin_grid.resilience.calls import is_of_disk
from snakemake_executor_plugin_grid.staging.install import OutputDamagedError
from tests.unit.worker.archive.tarballs import link, member, tar_bytes

from .submit_host import GOOD, NEW, OUTPUT, SubmitHost, entry, host, sha256

__all__ = ["host"]

Case = tuple[bytes, list[dict[str, Any]]]


def _case(
    *members: tuple[tarfile.TarInfo, bytes], entries: list[dict[str, Any]] | None = None
) -> Case:
    return tar_bytes(*members), entries if entries is not None else [entry(OUTPUT, NEW)]


UNTRUSTED: dict[str, Callable[[], Case]] = {
    "an absolute name": lambda: _case(GOOD, member("/tmp/evil", b"x")),
    "a name that climbs": lambda: _case(GOOD, member("work/../../evil", b"x")),
    "a name in another root": lambda: _case(GOOD, member("up1/other.txt", b"x")),
    "an absolute link": lambda: _case(
        link(OUTPUT, "/etc/passwd"), entries=[entry(OUTPUT, kind="link")]
    ),
    "a link out of the tree": lambda: _case(
        link(OUTPUT, "../../other.txt"),
        entries=[entry(OUTPUT, kind="link", target="../../other.txt")],
    ),
    "a file below a link": lambda: _case(
        link("work/folder", "out"),
        member("work/folder/a.txt", b"x"),
        entries=[entry("work/folder", kind="link", target="out")],
    ),
    "a hard link": lambda: _case(
        member(OUTPUT, type=tarfile.LNKTYPE, linkname="work/Snakefile"), entries=[entry(OUTPUT)]
    ),
    "a device": lambda: _case(member(OUTPUT, type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a fifo": lambda: _case(member(OUTPUT, type=tarfile.FIFOTYPE)),
    "a member twice": lambda: _case(GOOD, member(OUTPUT, b"two")),
    "a cut archive": lambda: (tar_bytes(GOOD)[:600], [entry(OUTPUT, NEW)]),
    "an empty blob": lambda: (b"", [entry(OUTPUT, NEW)]),
    "no archive at all": lambda: (b"<html>Service unavailable</html>" * 40, [entry(OUTPUT, NEW)]),
    "other contents than reported": lambda: _case(member(OUTPUT, b"old")),
    "more bytes than reported": lambda: _case(member(OUTPUT, b"\0" * (1 << 20))),
    "fewer bytes than reported": lambda: _case(member(OUTPUT, b"n")),
    "another kind than reported": lambda: _case(member(OUTPUT, type=tarfile.DIRTYPE)),
    "a member that is missing": lambda: _case(
        GOOD, entries=[entry(OUTPUT, NEW), entry("work/folder", b"x")]
    ),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_hostile_and_damaged_tarballs_change_nothing(host: SubmitHost, case: str) -> None:
    data, entries = UNTRUSTED[case]()
    blob = host.store(data)
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="output damaged"):
        host.install_outputs(*(member | {"blob": blob} for member in entries))
    assert host.picture() == before


@pytest.mark.parametrize(
    ("name", "as_"),
    [
        ("work/Snakefile", "output"),
        ("work/other.txt", "output"),
        ("work", "output"),
        ("work/out", "output"),
        ("up1/other.txt", "output"),
        ("up99/x", "output"),
        ("work/.snakemake/locks", "output"),
        ("work/.snakemake/locks", "undeclared"),
        ("work/.snakemake", "undeclared"),
        ("work/.git", "undeclared"),
        ("work/.git/hooks/pre-commit", "undeclared"),
        ("up1/other.txt", "undeclared"),
        ("work", "undeclared"),
        ("work/out/a.txt.bak", "log"),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_file_that_is_not_an_output_of_the_rule_is_refused(
    host: SubmitHost, name: str, as_: str, raw: bool
) -> None:
    blob = host.store(b"x" if raw else tar_bytes(member(name, b"x")))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match=f"returned {name}, "):
        host.install_outputs(entry(name, b"x", blob=blob, as_=as_, raw=raw))
    assert host.picture() == before


@pytest.mark.parametrize("name", [OUTPUT, "work/folder/inner.txt", "work/folder/new.txt"])
@pytest.mark.parametrize("undeclared", [False, True])
def test_output_that_pretends_to_be_undeclared_is_refused(
    host: SubmitHost, name: str, undeclared: bool
) -> None:
    blob = host.store(NEW)
    before = host.picture()
    with pytest.raises(OutputDamagedError, match=f"{name} as a file that no rule names"):
        host.install_outputs(
            entry(name, NEW, blob=blob, as_="undeclared", raw=True), undeclared=undeclared
        )
    assert host.picture() == before


def test_words_of_a_job_do_not_make_the_run_wait_for_a_full_disk(host: SubmitHost) -> None:
    blob = host.store(b"x")
    name = "work/No space left on device"
    with pytest.raises(OutputDamagedError, match="No space left") as caught:
        host.install_outputs(entry(name, b"x", blob=blob, raw=True))
    assert not is_of_disk(caught.value)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "work/../../other.txt", "../other.txt", "work//x", "work/./x", "", "nowhere/x"],
)
def test_unsafe_name_in_the_report_is_refused(host: SubmitHost, name: str) -> None:
    before = host.picture()
    with pytest.raises(UntrustedError):
        host.install_outputs(entry(name, b"x", blob=sha256(b"x"), raw=True))
    assert host.picture() == before


def test_large_file_with_other_contents_is_refused(host: SubmitHost) -> None:
    blob = host.store(b"damaged", sha256(b"genuine"))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match=r"out/a\.txt: 7 bytes .* expected 7 bytes"):
        host.install_outputs(entry(OUTPUT, b"genuine", blob=blob, raw=True))
    assert host.picture() == before


def test_large_file_that_grew_is_not_copied(host: SubmitHost) -> None:
    blob = host.store(b"\0" * (4 << 20), sha256(b"small"))
    before = host.picture()
    with pytest.raises(OutputDamagedError):
        host.install_outputs(entry(OUTPUT, b"small", blob=blob, raw=True))
    assert host.picture() == before
    assert sum(path.stat().st_size for path in host.scratch.rglob("*")) < 1 << 20


@pytest.mark.parametrize("contradiction", ["kind", "blob"])
def test_contradictory_report_is_refused(host: SubmitHost, contradiction: str) -> None:
    blob = host.store(b"x")
    fields: dict[str, Any] = {"kind": {"kind": "dir"}, "blob": {"sha256": sha256(b"y")}}
    before = host.picture()
    with pytest.raises(UntrustedError, match=r"dir.*size|contradicts itself"):
        host.install_outputs(entry(OUTPUT, b"x", blob=blob, raw=True, **fields[contradiction]))
    assert host.picture() == before


def test_large_file_is_not_written_through_a_link_of_the_same_job(host: SubmitHost) -> None:
    tar = host.store(tar_bytes(link("work/folder", "out")))
    large = host.store(b"x")
    before = host.picture()
    with pytest.raises(UntrustedError, match="no folder"):
        host.install_outputs(
            entry("work/folder", kind="link", target="out", blob=tar),
            entry("work/folder/a.txt", b"x", blob=large, raw=True),
        )
    assert host.picture() == before


def test_no_output_is_installed_if_the_last_blob_is_damaged(host: SubmitHost) -> None:
    good = host.store(tar_bytes(GOOD))
    bad = host.store(tar_bytes(member("work/folder", b"x"))[:100])
    before = host.picture()
    with pytest.raises(OutputDamagedError):
        host.install_outputs(entry(OUTPUT, NEW, blob=good), entry("work/folder", b"x", blob=bad))
    assert host.picture() == before


@pytest.mark.parametrize("kind", ["link", "fifo"])
@pytest.mark.parametrize("raw", [True, False])
def test_blob_that_is_not_a_regular_file_is_refused(host: SubmitHost, kind: str, raw: bool) -> None:
    data = b"x" if raw else tar_bytes(member(OUTPUT, b"x"))
    path = host.blobs / sha256(data)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(host.blobs / host.store(data, "genuine"))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="regular file"):
        host.install_outputs(entry(OUTPUT, b"x", blob=path.name, raw=raw))
    assert host.picture() == before


def test_tarball_with_other_bytes_than_its_digest_says_is_refused(host: SubmitHost) -> None:
    blob = host.store(tar_bytes(GOOD), sha256(b"another"))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="SHA-256"):
        host.install_outputs(entry(OUTPUT, NEW, blob=blob))
    assert host.picture() == before


def test_clocks_that_are_centuries_wrong_do_no_harm(host: SubmitHost) -> None:
    far = (1 << 33) * 10**9
    blob = host.store(tar_bytes(GOOD))
    host.install_outputs(entry(OUTPUT, NEW, mtime_ns=-far, blob=blob), ended=float(1 << 33))
    assert host.read("out/a.txt") == "new"


def test_name_that_is_too_long_below_the_working_directory_is_refused(host: SubmitHost) -> None:
    name = "work/folder/" + "x" * 200
    name += ("/" + "x" * 200) * ((4090 - len(name)) // 201)  # legal by itself
    blob = host.store(b"x")
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="cannot be written"):
        host.install_outputs(entry(name, b"x", blob=blob, raw=True))
    assert host.picture() == before


def test_large_file_in_a_read_only_folder(host: SubmitHost) -> None:
    tar = host.store(tar_bytes(member("work/folder", type=tarfile.DIRTYPE, mode=0o555)))
    large = host.store(b"x")
    host.install_outputs(
        entry("work/folder", kind="dir", mode=0o555, blob=tar),
        entry("work/folder/a.txt", b"x", blob=large, raw=True),
    )
    assert host.read("folder/a.txt") == "x"
    status = (host.workdir / "folder").stat()
    assert status.st_mode & 0o777 == 0o555
    assert abs(status.st_mtime_ns / 1e9 - time.time()) < 3600  # shifted by the clocks
