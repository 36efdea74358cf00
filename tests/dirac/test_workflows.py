"""Workflow tests of the local backend, once more on a DIRAC server: see `conftest.py`."""

from __future__ import annotations

import pytest

from tests.workflows.everywhere import *  # noqa: F403 - what is imported is collected

pytestmark = [pytest.mark.dirac, pytest.mark.workflow]
