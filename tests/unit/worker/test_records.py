"""Records are dataclasses, for the worker and for who uses `dataclasses` with them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from snakemake_executor_plugin_grid.worker import records
from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.decided.decision import Decision, Shell, Step
from snakemake_executor_plugin_grid.worker.report import Report, Returned

MEMBER = Member("work/a", "file", 0o644, 3, 5, sha256="0")
REPORT = Report("j", returned=[Returned(MEMBER, "output", "b")], times={"ended": 1.0})


class Plain:
    """The same fields for both kinds."""

    a: int
    b: tuple[str, ...] = ()
    c: str = "x"


RECORD: Any = records.dataclass(frozen=True)(type("R", (Plain,), dict(vars(Plain))))
REAL: Any = dataclasses.dataclass(frozen=True)(type("R", (Plain,), dict(vars(Plain))))


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, ("y",)), {"c": "z"}),
        ((), {"a": 1, "c": "z"}),
        ((), {}),
        ((1, (), "", 4), {}),
        ((1,), {"a": 2}),
        ((1,), {"other": 2}),
        ((), {"other": 2}),
    ],
)
def test_records_are_made_as_dataclasses_are(args: Any, kwargs: Any) -> None:
    try:
        real = REAL(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError, match="R: "):
            RECORD(*args, **kwargs)
    else:
        record = RECORD(*args, **kwargs)
        assert repr(record) == repr(real)
        assert hash(record) == hash(real)
        assert records.asdict(record) == dataclasses.asdict(real)


def test_equality() -> None:
    assert RECORD(1) == RECORD(1, (), "x")
    assert RECORD(1) != RECORD(2)
    assert RECORD(1) != REAL(1)
    assert len({RECORD(1), RECORD(1)}) == 1


def test_frozen_records_do_not_change() -> None:
    with pytest.raises(AttributeError, match="cannot assign to field 'name' of a frozen Member"):
        MEMBER.name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot delete field 'name'"):
        del MEMBER.name
    with pytest.raises(TypeError):
        hash(REPORT)


def test_defaults_are_made_anew() -> None:
    first, second = Report("a"), Report("b")
    first.missing.append("x")
    assert second.missing == []


def test_copies_and_pickles() -> None:
    assert copy.deepcopy(REPORT) == REPORT
    assert pickle.loads(pickle.dumps(MEMBER)) == MEMBER  # noqa: S301


def test_dataclasses_know_records() -> None:
    assert dataclasses.is_dataclass(Report)
    assert [one.name for one in dataclasses.fields(MEMBER)] == [
        one.name for one in records.fields(MEMBER)
    ]
    assert dataclasses.asdict(REPORT) == records.asdict(REPORT)
    assert dataclasses.replace(MEMBER, size=4) == records.replace(MEMBER, size=4)
    decision = Decision(((Step("a", shell=Shell("sh")),),))
    assert dataclasses.asdict(decision) == records.asdict(decision)
    factory = {one.name: one.default_factory for one in dataclasses.fields(Report)}["times"]
    assert factory is dict
