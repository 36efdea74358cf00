from __future__ import annotations

import threading

import pytest

from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from tests.unit.grid_data.fake_catalog import FakeCatalog

FACTS = FileFacts(7, 5.0, "00000001")


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.catalog = FakeCatalog()
        self.lookup = Lookup(self.catalog, lambda: self.now)

    @property
    def asked(self) -> list[list[str]]:
        return self.catalog.asked("facts")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def names_of(count: int, kind: str = "in") -> list[str]:
    return [f"lfn:/vo/{kind}/{n}" for n in range(count)]


def test_a_thousand_names_are_one_call(bench: Bench) -> None:
    names = names_of(1000)
    for name in names[::2]:
        bench.catalog.add(name)
    bench.lookup.register(names)
    found = [name for name in names if bench.lookup.facts(name)]
    assert found == names[::2]
    assert len(bench.asked) == bench.lookup.calls == 1


def test_more_than_a_thousand_are_several_calls(bench: Bench) -> None:
    names = names_of(2500)
    bench.lookup.register(names)
    assert bench.lookup.facts(names[-1]) is None
    assert sorted(len(some) for some in bench.asked) == [500, 1000, 1000]
    assert {name for some in bench.asked for name in some} == set(names)


def test_what_is_found_is_not_asked_again(bench: Bench) -> None:
    bench.catalog.add("lfn:/vo/a")
    assert bench.lookup.facts("lfn:/vo/a") == FileFacts(7, bench.catalog.now, "0bcb02fc")
    bench.now += 1e6
    bench.catalog.files.clear()
    assert bench.lookup.facts("lfn:/vo/a") is not None
    assert len(bench.asked) == 1


def test_absent_files_are_asked_again_together(bench: Bench) -> None:
    names = names_of(100)
    bench.lookup.register(names)
    assert not any(bench.lookup.facts(name) for name in names)
    bench.now += 0.5
    assert not any(bench.lookup.facts(name) for name in names)
    assert len(bench.asked) == 1
    for name in names:
        bench.catalog.add(name)
    bench.now += 0.5
    assert all(bench.lookup.facts(name) for name in names)
    assert len(bench.asked) == 2


def test_an_answer_serves_the_first_question_about_another_file_later(bench: Bench) -> None:
    """Before each of many jobs, Snakemake asks whether its outputs exist."""
    names = names_of(20)
    bench.lookup.register(names)
    for name in names:
        assert bench.lookup.facts(name) is None
        bench.now += 1.3
    assert len(bench.asked) == 1
    assert bench.lookup.facts(names[0]) is None
    assert len(bench.asked) == 2, "the second question is a moment later"


def test_an_answer_does_not_serve_for_ever(bench: Bench) -> None:
    first, second = names_of(2)
    bench.lookup.register([first, second])
    assert bench.lookup.facts(first) is None
    bench.catalog.add(second)
    bench.now += 31
    assert bench.lookup.facts(second)


def test_absent_files_fill_a_call_and_make_no_other(bench: Bench) -> None:
    names = names_of(5000)
    bench.lookup.register(names)
    assert bench.lookup.facts(names[4000]) is None
    bench.now += 5
    assert bench.lookup.facts(names[4000]) is None
    assert len(bench.asked) == 6
    # What follows is what is asked for next.
    assert bench.asked[-1] == [*names[4000:], names[0]][:1000]


def test_where_each_name_costs_a_question_few_others_are_asked(bench: Bench) -> None:
    """Else a run of a thousand jobs would ask half a million questions."""
    bench.catalog.width = 8
    names = names_of(100)
    bench.lookup.register(names)
    assert bench.lookup.facts(names[10]) is None
    bench.now += 31
    assert bench.lookup.facts(names[10]) is None
    assert [len(some) for some in bench.asked] == [100, 8]


def test_an_error_is_not_absence_and_the_next_question_asks_again(bench: Bench) -> None:
    bench.catalog.add("lfn:/vo/a")
    bench.catalog.errors["facts"] = [TransientError("1604")]
    with pytest.raises(TransientError, match="1604"):
        bench.lookup.facts("lfn:/vo/a")
    assert bench.lookup.everything() == {}
    assert bench.lookup.facts("lfn:/vo/a")


def test_what_is_noted_needs_no_question(bench: Bench) -> None:
    bench.lookup.note("lfn:/vo/a", FACTS)
    assert bench.lookup.facts("lfn:/vo/a") == FACTS
    assert not bench.asked
    bench.lookup.note("lfn:/vo/a", None)
    assert bench.lookup.facts("lfn:/vo/a") is None
    assert not bench.asked


def test_what_is_forgotten_is_asked_again(bench: Bench) -> None:
    bench.lookup.note("lfn:/vo/a", FACTS)
    bench.lookup.forget(["lfn:/vo/a"])
    assert bench.lookup.facts("lfn:/vo/a") is None
    assert len(bench.asked) == 1


def test_what_is_hidden_is_absent_until_it_is_noted_or_shown(bench: Bench) -> None:
    bench.catalog.add("lfn:/vo/a")
    bench.lookup.hide(["lfn:/vo/a"])
    bench.now += 100
    assert bench.lookup.facts("lfn:/vo/a") is None
    assert not bench.asked
    bench.lookup.show(["lfn:/vo/a"])
    assert bench.lookup.facts("lfn:/vo/a")
    bench.lookup.hide(["lfn:/vo/a"])
    bench.lookup.note("lfn:/vo/a", FACTS)
    assert bench.lookup.facts("lfn:/vo/a") == FACTS


def test_everything_tells_what_is_known_and_nothing_else(bench: Bench) -> None:
    bench.catalog.add("lfn:/vo/a")
    bench.lookup.register(["lfn:/vo/a", "lfn:/vo/b"])
    assert bench.lookup.everything() == {}
    bench.lookup.facts("lfn:/vo/a")
    bench.lookup.register(["lfn:/vo/c"])
    found = bench.lookup.everything()
    assert found.keys() == {"lfn:/vo/a", "lfn:/vo/b"}
    assert found["lfn:/vo/a"] is not None
    assert found["lfn:/vo/b"] is None


def in_threads(count: int, bench: Bench, name: str) -> tuple[list[threading.Thread], list[object]]:
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(bench.lookup.facts(name)))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    assert bench.catalog.entered.wait(10)
    return threads, answers


def test_questions_from_many_threads_are_one_call(bench: Bench) -> None:
    bench.catalog.add("lfn:/vo/a")
    bench.catalog.gate.clear()
    threads, answers = in_threads(8, bench, "lfn:/vo/a")
    bench.catalog.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(answers) == 8
    assert None not in answers
    assert len(bench.asked) == 1


def test_what_is_noted_during_a_call_is_newer_than_its_answer(bench: Bench) -> None:
    bench.catalog.gate.clear()
    threads, answers = in_threads(1, bench, "lfn:/vo/a")
    bench.lookup.note("lfn:/vo/a", FACTS)
    bench.catalog.gate.set()
    threads[0].join(10)
    assert answers == [FACTS]


def test_what_is_forgotten_during_a_call_is_asked_again(bench: Bench) -> None:
    bench.catalog.gate.clear()
    threads, answers = in_threads(1, bench, "lfn:/vo/a")
    bench.catalog.add("lfn:/vo/a")
    bench.lookup.forget(["lfn:/vo/a"])
    bench.catalog.gate.set()
    threads[0].join(10)
    assert answers[0] is not None
    assert len(bench.asked) == 2


def test_what_is_held_is_absent_until_it_is_released(bench: Bench) -> None:
    names = names_of(3)
    for name in names:
        bench.catalog.add(name)
    bench.lookup.hold(names[:2])
    bench.lookup.register(names)
    assert [bench.lookup.facts(name) is None for name in names] == [True, True, False]
    assert [facts is None for facts in bench.lookup.everything().values()] == [True, True, False]
    assert bench.lookup.found(names[0]) is None
    bench.now += 60
    bench.catalog.add(names[0], b"newer")
    bench.lookup.release(names)
    facts = bench.lookup.facts(names[0])
    assert facts is not None
    assert facts.size == len(b"newer")


def test_all_that_is_held_is_one_question_when_it_is_released(bench: Bench) -> None:
    names = names_of(100)
    for name in names:
        bench.catalog.add(name)
    bench.lookup.hold(names)
    bench.lookup.register(names)
    assert bench.lookup.facts(names[0]) is None
    bench.now += 60
    for name in names:
        bench.lookup.release([name])
        assert bench.lookup.facts(name) is not None
    assert len(bench.asked) == 1


def test_what_is_noted_is_no_longer_held(bench: Bench) -> None:
    bench.lookup.hold(["lfn:/vo/a"])
    bench.lookup.note("lfn:/vo/a", FACTS)
    assert bench.lookup.facts("lfn:/vo/a") == FACTS
