"""The tests of leaving and coming back, once more on a DIRAC server: see `conftest.py`."""

from __future__ import annotations

import pytest

from tests.workflows.test_detach import *  # noqa: F403 - what is imported is collected

pytestmark = [pytest.mark.dirac, pytest.mark.slow]


@pytest.fixture
def change() -> str:
    return "input"
