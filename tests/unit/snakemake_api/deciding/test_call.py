"""The call that a rule's function makes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError
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


def test_an_error_outside_of_a_snakefile_is_the_rules() -> None:
    class Rule:
        name, lineno, snakefile = "one", 1, "Snakefile"
        workflow = SimpleNamespace(linemaps={})

        @staticmethod
        def run_func(input: Any) -> None:
            raise ValueError("odd")

    with pytest.raises(WorkflowError, match="ValueError: odd"):
        call(Rule, "shell", {"input": []})
