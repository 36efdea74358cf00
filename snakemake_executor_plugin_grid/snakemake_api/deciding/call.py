"""What a rule runs: calls its function with recorders in the place of Snakemake's ``shell()`` etc.

``Job.shellcmd`` is what Snakemake shows: it is formatted with the main workflow's globals. A local
run calls the compiled function of the rule, with the globals of the rule's own module
(``snakemake.executors.local.run_wrapper``, 9.27). They differ for modules with their own
configuration, and for ``{bench_iteration}`` and ``{rulename}``.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snakemake.exceptions import RuleException, WorkflowError, format_error, get_exception_origin
from snakemake.utils import format as snakemake_format

from .decided import Unsupported

KINDS = {
    "shell": "shell",
    "script": "script",
    "notebook": "notebook",
    "wrapper": "wrapper",
    "template_engine": "render_template",
    "cwl": "cwl",
}
"""What a rule may have, and the function that its code then calls (``snakemake.parser``)."""


@dataclass(frozen=True)
class Call:
    """A call that a rule's function makes.

    Attributes:
        kind: Name of the called function.
        args: Its arguments; of ``shell``, only the formatted command.
    """

    kind: str
    args: tuple[Any, ...]


def kind_of(rule: Any) -> str:
    """Return the function that the code of a rule calls.

    Args:
        rule: ``snakemake.rules.Rule`` with a body.

    Raises:
        Unsupported: It has code of its own.
    """
    for attribute, kind in KINDS.items():
        if getattr(rule, f"is_{attribute}"):
            return kind
    raise Unsupported("it has run:")


def call(rule: Any, kind: str, values: Mapping[str, Any]) -> Call:
    """Return the one call that a rule's function makes.

    Args:
        rule: ``snakemake.rules.Rule``.
        kind: The function that it should call.
        values: Arguments of the rule's function by name.

    Raises:
        Unsupported: It does something else.
        RuleException: The user's code raised an exception; the text is that of a local run.
        WorkflowError: The same, but not in a Snakefile.
    """
    made: list[Call] = []
    function = _with_recorders(rule.run_func, made)
    code = function.__code__
    names = code.co_varnames[: code.co_argcount - len(function.__defaults__ or ())]
    if unknown := [name for name in names if name not in values]:
        raise Unsupported(f"this version of Snakemake gives rules {', '.join(unknown)}")
    try:
        function(*(values[name] for name in names))
    except Unsupported:
        raise
    except Exception as error:
        linemaps = rule.workflow.linemaps
        origin = get_exception_origin(error, linemaps)
        if origin is None:  # not in a Snakefile
            raise WorkflowError(error, rule=rule) from error
        line, file = origin
        text = format_error(error, line, linemaps=linemaps, snakefile=file, show_traceback=True)
        raise RuleException(text) from error
    if len(made) != 1 or made[0].kind != kind:
        kinds = ", ".join(f"{one.kind}()" for one in made) or "nothing"
        raise Unsupported(f"its code calls {kinds} instead of {kind}() once")
    return made[0]


def _with_recorders(function: Any, made: list[Call]) -> types.FunctionType:
    """Return a copy of a rule's function that adds its calls to a list."""

    def shell(command: Any, *args: Any, **options: Any) -> None:
        if unknown := options.keys() - {"bench_record", "bench_iteration"}:
            raise Unsupported(f"its shell() has the options {', '.join(sorted(unknown))}")
        # Two frames up are the names of the rule's function, and the globals of its module.
        made.append(Call("shell", (snakemake_format(command, *args, stepout=2, **options),)))

    def recorder(kind: str) -> Callable[..., None]:
        def record(*args: Any) -> None:
            made.append(Call(kind, args))

        return record

    names = dict(function.__globals__)
    for kind in KINDS.values():
        names[kind] = shell if kind == "shell" else recorder(kind)
    return types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
