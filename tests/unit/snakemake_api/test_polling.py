"""How often Snakemake polls, by its own settings."""

from __future__ import annotations

import math

import pytest
from snakemake.settings.types import RemoteExecutionSettings

from snakemake_executor_plugin_grid.snakemake_api.polling import wanted_pause


@pytest.mark.parametrize(("said", "pause"), [(None, math.inf), (60, math.inf), (2, 2.0), (0, 0.0)])
def test_only_less_than_the_default_is_a_wish(said: int | None, pause: float) -> None:
    given = {} if said is None else {"seconds_between_status_checks": said}
    assert wanted_pause(RemoteExecutionSettings(**given)) == pause
