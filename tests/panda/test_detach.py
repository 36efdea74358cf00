"""The tests of leaving and coming back, once more on the PanDA server: see `conftest.py`."""

from __future__ import annotations

import pytest

from tests.workflows.test_detach import *  # noqa: F403 - what is imported is collected

pytestmark = [pytest.mark.panda, pytest.mark.slow]


@pytest.fixture
def change() -> str:
    return "input"
