"""Values that are not known here."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.snakemake_api.deciding.unknown import Unknown


@pytest.mark.parametrize(
    "use",
    [
        str,
        repr,
        "{}".format,
        bool,
        len,
        list,
        int,
        float,
        os.fspath,
        lambda value: value + 1,
        lambda value: 2 * value,
        lambda value: f"{value:03}",
        lambda value: value == 1,
        lambda value: value > 1,
        lambda value: value.upper(),
        lambda value: value[0],
        lambda value: {value},
        pickle.dumps,
    ],
)
def test_an_unknown_value_cannot_be_used(use: Callable[[Any], object]) -> None:
    with pytest.raises(Unsupported, match="because"):
        use(Unknown("because"))
