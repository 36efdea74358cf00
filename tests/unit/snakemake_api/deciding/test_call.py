"""The call that a rule's function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from snakemake.shell import shell

from snakemake_executor_plugin_grid.snakemake_api.deciding.call import call
from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported


def test_a_rule_function_that_does_something_else_is_refused() -> None:
    values = {"input": ["a"]}

    def rule(function: Callable[..., None]) -> Any:
        class Rule:
            run_func = staticmethod(function)

        return Rule

    def twice(input: Any) -> None:
        shell("echo {input}")
        shell("echo {input}")

    def never(input: Any) -> None:
        pass

    def other(input: Any) -> None:
        script("x.py", input)  # type: ignore[name-defined] # noqa: F821

    def option(input: Any) -> None:
        shell("echo {input}", read=True)

    def more(input: Any, more: Any) -> None:
        pass

    for function, why in (
        (twice, r"calls shell\(\), shell\(\) instead of shell\(\) once"),
        (never, "calls nothing"),
        (other, r"calls script\(\)"),
        (option, "options read"),
        (more, "gives rules more"),
    ):
        with pytest.raises(Unsupported, match=why):
            call(rule(function), "shell", values)
