"""Which reasons are the same for the breaker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.resilience.circuit_breaker import normalised


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stalled for 31 min", "stalled for 7200 min"),
        ("could not resolve wn12.cern.ch", "could not resolve node-3.in2p3.fr"),
        ("no /tmp/x/y on the node", "no /scratch on the node"),
        ("no file 'a b.txt' there", 'no file "c\'s" there'),
        ("no file b'a' there: 'x'", "no file “b” there: «long name»"),
        ("pilot deadbeef is gone.", "pilot 12ab-34cd is gone"),
        ("killed: see https://a.org/x?job=1", "killed: see https://a.org/y"),
        ("out of disk: no room (host wna, site A)", "Out of disk: no room (host wnb)"),
        ("the disk ran full\nat 12:00", "the disk ran full"),
        ("lost with x=alpha", "lost with x=beta"),
        ("worker job_a_1 vanished", "worker job_b_2 vanished"),
        ("\n  the disk ran full", "the disk ran full"),
    ],
)
def test_details_do_not_make_two_reasons_different(one: str, other: str) -> None:
    assert normalised(one) == normalised(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the site could not fetch the sandbox", "the disk of the node ran full"),
        ("it's the disk that isn't there", "it's the network that isn't there"),
        ("worker failed: no tar", "worker failed: no gzip"),
    ],
)
def test_words_make_two_reasons_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_the_name_of_the_site_does_not_make_two_reasons_different() -> None:
    one = normalised("queue of CERN-PROD is full (host wna, site CERN-PROD)", "CERN-PROD")
    assert one == normalised("queue of BNL is full (host wnb, site BNL)", "BNL")
    assert one == "queue of is full"
    assert normalised("ABNLs are full", "BNL") == "abnls are full"


@given(st.text(max_size=2000), st.text(max_size=10))
def test_neither_case_nor_numbers_are_left(reason: str, site: str) -> None:
    kept = normalised(reason, site)
    assert kept == kept.casefold()
    assert not any(letter.isdecimal() for letter in kept)
