"""The example workflow on a PanDA server."""
# ruff: noqa: F401 - what is imported is collected

from __future__ import annotations

import pytest

from tests.workflows.test_example import test_the_example_fits_the_mass_of_the_z_boson

pytestmark = [pytest.mark.panda, pytest.mark.workflow, pytest.mark.slow]
