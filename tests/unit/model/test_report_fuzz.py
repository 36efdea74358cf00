"""Random reports: refused in plain words, or harmless. ``tests/fuzz/report.py`` takes longer."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.report import Target, genuine, hostile, small


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("fuzz").resolve() / "host")


def test_genuine_report_is_installed(target: Target) -> None:
    for report in (genuine(), small()):
        assert target.try_report(json.dumps(report).encode()) == "installed"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_changed_report_does_no_harm(target: Target, random: Random) -> None:
    target.try_report(hostile(random))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary())
def test_random_bytes_do_no_harm(target: Target, data: bytes) -> None:
    assert target.try_report(data) == "refused"
