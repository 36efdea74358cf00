from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.backends.placement import Placement, place

SITES = {"SE-1": ["A"], "SE-2": ["B"], "SE-3": ["A", "B"], "SE-0": []}


def test_files_at_one_site_are_input_data() -> None:
    replicas = {"lfn:/vo/a": ["SE-1"], "lfn:/vo/b": ["SE-1", "SE-2"]}
    assert place(replicas, 500) == Placement(("lfn:/vo/a", "lfn:/vo/b"), (), frozenset({"SE-1"}))


def test_without_a_common_site_the_rest_is_fetched() -> None:
    replicas = {"lfn:/vo/a": ["SE-1"], "lfn:/vo/b": ["SE-2"], "lfn:/vo/c": ["SE-2"]}
    assert place(replicas, 500) == Placement(
        ("lfn:/vo/b", "lfn:/vo/c"), ("lfn:/vo/a",), frozenset({"SE-2"})
    )


def test_bytes_count_more_than_files() -> None:
    replicas = {"lfn:/vo/a": ["SE-1"], "lfn:/vo/b": ["SE-2"], "lfn:/vo/c": ["SE-2"]}
    sizes = {"lfn:/vo/a": 10**10, "lfn:/vo/b": 1, "lfn:/vo/c": 1}
    assert place(replicas, 500, sizes).input_data == ("lfn:/vo/a",)


def test_of_equal_basenames_one_is_input_data() -> None:
    replicas = {"lfn:/vo/a/x": ["SE-1"], "lfn:/vo/b/x": ["SE-1"], "lfn:/vo/y": ["SE-1"]}
    placement = place(replicas, 500, {"lfn:/vo/b/x": 5})
    assert placement.input_data == ("lfn:/vo/b/x", "lfn:/vo/y")
    assert placement.fetched == ("lfn:/vo/a/x",)


def test_files_of_equal_basenames_are_together_where_they_may_be() -> None:
    replicas = {"rucio://a/x": ["SE-1"], "rucio://b/x": ["SE-1"]}
    assert place(replicas, 2, same_names=True).input_data == ("rucio://a/x", "rucio://b/x")


def test_no_more_than_the_system_takes() -> None:
    replicas = {f"lfn:/vo/{n}": ["SE-1"] for n in range(700)}
    placement = place(replicas, 500)
    assert (len(placement.input_data), len(placement.fetched)) == (500, 200)


def test_files_without_replicas_are_fetched() -> None:
    assert place({"lfn:/vo/a": []}, 500) == Placement((), ("lfn:/vo/a",))
    assert place({}, 500) == Placement()


def test_files_of_no_bytes_count_as_files() -> None:
    assert place({"lfn:/vo/a": ["SE-1"]}, 500, {"lfn:/vo/a": 0}).input_data == ("lfn:/vo/a",)


def test_an_element_can_be_near_several_sites() -> None:
    replicas = {"lfn:/vo/a": ["SE-3"], "lfn:/vo/b": ["SE-2"], "lfn:/vo/c": ["SE-0"]}
    assert place(replicas, 500, sites_of=SITES) == Placement(
        ("lfn:/vo/a", "lfn:/vo/b"), ("lfn:/vo/c",), frozenset({"B"})
    )


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3)),
        st.frozensets(st.sampled_from(["SE-1", "SE-2", "SE-3"])),
        max_size=7,
    ),
    st.integers(0, 5),
)
def test_no_other_choice_is_larger(
    files: Mapping[tuple[str, int], Collection[str]], most: int
) -> None:
    replicas = {f"lfn:/vo/{folder}/{leaf}": places for (folder, leaf), places in files.items()}
    placement = place(replicas, most)
    chosen = placement.input_data
    assert sorted([*chosen, *placement.fetched]) == sorted(replicas)
    assert len(chosen) <= most
    assert len({name.rpartition("/")[2] for name in chosen}) == len(chosen)
    assert all(site in replicas[name] for site in placement.sites for name in chosen)
    assert bool(chosen) == bool(placement.sites)
    for count in range(len(chosen) + 1, min(most, len(replicas)) + 1):
        for some in itertools.combinations(replicas, count):
            common = frozenset.intersection(*(frozenset(replicas[name]) for name in some))
            leaves = {name.rpartition("/")[2] for name in some}
            assert not common or len(leaves) < count


@pytest.mark.parametrize("order", [("lfn:/vo/a", "lfn:/vo/b"), ("lfn:/vo/b", "lfn:/vo/a")])
def test_the_choice_does_not_depend_on_the_order(order: tuple[str, str]) -> None:
    replicas = {"lfn:/vo/a": ["SE-1"], "lfn:/vo/b": ["SE-2"]}
    assert place({name: replicas[name] for name in order}, 500).input_data == ("lfn:/vo/a",)
