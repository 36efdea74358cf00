"""Layers of steps: order, pipes, services, failures."""

from __future__ import annotations

import time

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.decided.decision import DecidedOutput

from .place import Place, place, step

__all__ = ["place"]


def pipe(path: str) -> DecidedOutput:
    return DecidedOutput(path, pipe=True)


def served(path: str) -> DecidedOutput:
    return DecidedOutput(path, service=True)


def test_layers_run_in_order(place: Place) -> None:
    place.run(
        (step("sleep 0.1; echo 1 > a", "a", "a"), step("echo 2 > b", "b", "b")),
        step("cat a b > c", "c", "c", inputs=("a", "b")),
    )
    assert place.text("c") == "1\n2\n"
    times = [(place.cwd / name).stat().st_mtime_ns for name in ("a", "c")]
    assert times == sorted(times)


def test_a_failure_names_the_rule_and_stops_the_group(place: Place) -> None:
    one = step("exit 3", "fit", wildcards=(("x", "1"), ("y", "b")), logs=("log",))
    result = place.run(one, step("touch ran", "b"))
    assert result.message == "rule fit (x=1, y=b) ended with exit code 3"
    assert (result.exit_code, result.signal) == (3, 0)
    assert not (place.cwd / "ran").exists()
    assert (place.cwd / "log").exists()


@pytest.mark.parametrize(
    ("one", "reason", "message"),
    [
        (step("true", "fit", "o"), reports.OUTPUT_MISSING, "rule fit: the job succeeded but did"),
        (step("kill -9 $$", "fit"), reports.PAYLOAD_FAILED, "rule fit was killed by SIGKILL"),
        (step("true", "fit", inputs=("i",)), reports.PAYLOAD_FAILED, "rule fit: inputs are missi"),
    ],
)
def test_other_failures_name_the_rule(place: Place, one: object, reason: str, message: str) -> None:
    result = place.run((one, step("true", "other")))  # type: ignore[arg-type]
    assert result.reason == reason
    assert result.message.startswith(message)


def test_pipes_run_at_the_same_time(place: Place) -> None:
    """Also if the group has one processor, and with data that fills the pipe."""
    text = "head -c 300000 /dev/zero"
    place.run(
        (
            step("wc -c < p > n", "reader", "n", awaited=("p",)),
            step(f"{text} | cat > q", "writer", pipe("q"), threads=4),
            step("cat q > p", "through", pipe("p"), awaited=("q",)),
        )
    )
    assert place.text("n").strip() == "300000"


def test_a_failed_writer_ends_the_reader(place: Place) -> None:
    began = time.monotonic()
    result = place.run(
        (
            step("sleep 60; cat p > n", "reader", "n", awaited=("p",), logs=("log",)),
            step("exit 5", "writer", pipe("p")),
        )
    )
    assert time.monotonic() - began < 20
    assert result.message == "rule writer ended with exit code 5"
    assert (place.cwd / "log").exists()


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 2), (8, 3)])
def test_steps_run_as_cores_allow(place: Place, cores: int, most: int) -> None:
    text = "touch run.{0}; ls run.* 2>/dev/null | wc -l; sleep 0.3; rm run.{0}"
    place.run(tuple(step(text.format(i), f"r{i}") for i in range(3)), cores=cores)
    assert max(map(int, place.log.split())) == most


def test_more_threads_than_cores_wait_for_all(place: Place) -> None:
    text = "touch run.{0}; ls run.* 2>/dev/null | wc -l; sleep 0.2; rm run.{0}"
    place.run(tuple(step(text.format(i), f"r{i}", threads=9) for i in range(2)), cores=4)
    assert place.log.split() == ["1", "1"]


SERVICE = (
    "trap 'echo ended >> s.log; exit 1' TERM; sleep 0.1; touch ready; while :; do sleep 0.05; done"
)


def test_a_service_runs_as_long_as_it_is_needed(place: Place) -> None:
    service = step(SERVICE, "serve", served("ready"), service=True, logs=("s.log",))
    result = place.run(
        (service, step("test -e ready; echo 1 > a", "client", "a", awaited=("ready",))),
        step("test ! -e s.log; echo 2 > b", "later", "b", inputs=("a",), awaited=("ready",)),
        step("cat s.log > c", "last", "c"),
    )
    assert result.reason == reports.SUCCESS, place.log
    assert place.text("c") == "ended\n"


def test_a_service_that_ends_too_early(place: Place) -> None:
    result = place.run(
        (
            step("exit 4", "serve", served("ready"), service=True),
            step("true", "client", awaited=("ready",)),
        )
    )
    assert result.reason == reports.PAYLOAD_FAILED
    assert "rule client: it waits for ready, but rule serve ended without" in result.message
    assert "rule serve ended with exit code 4" in place.log


def test_a_service_is_killed_when_a_client_fails(place: Place) -> None:
    result = place.run(
        (
            step("touch ready; sleep 60", "serve", served("ready"), service=True),
            step("exit 6", "client", awaited=("ready",)),
        )
    )
    assert result.message == "rule client ended with exit code 6"


def test_temporary_files_go_when_no_later_layer_reads_them(place: Place) -> None:
    place.put(given="x")
    result = place.run(
        (step("touch t", "a", "t", inputs=("given",)), step("mkdir d; touch d/x", "b", _folder())),
        step("test -e t; test ! -e given; test ! -e d; touch k", "c", "k", inputs=("t",)),
        step("test ! -e t; test -e k", "d"),
        temporary=("t", "given", "d"),
    )
    assert result.reason == reports.SUCCESS, place.log
    assert not (place.cwd / "t").exists()


def test_temporary_files_of_a_single_step_stay(place: Place) -> None:
    place.run(step("touch t", "a", "t"), temporary=("t",))
    assert (place.cwd / "t").exists()


def test_something_awaited_that_nobody_makes(place: Place) -> None:
    result = place.run((step("true", "a", awaited=("x",)), step("true", "b")))
    assert "rule a: it waits for x, but no rule of the group makes it" in result.message


def _folder() -> DecidedOutput:
    return DecidedOutput("d", directory=True)
