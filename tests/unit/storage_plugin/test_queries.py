from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.io import flag, is_flagged

from snakemake_executor_plugin_grid.grid_data import catalogs
from snakemake_executor_plugin_grid.stores import url_catalog
from snakemake_storage_plugin_grid import StorageProvider, queries
from snakemake_storage_plugin_grid.queries import folder_of, local_suffix, normalized, problem_with


@pytest.mark.parametrize(
    "query",
    [
        "lfn:/vo/user/u/user/file.root",
        "LFN:/vo/user/u/user/file.root",
        "lfn:/vo/{sample}.root",
        "lfn:/{vo}/run{n,[0-9]{3}}/a b ü.root",
        "lfn:/{path}/x",
        "rucio://user.name/run1.root",
        "rucio://{scope}/{name}",
        "rucio://mc/belle/MC/file",
        "davs://host:8443/data/{n}.root",
        "DAVS://host/a b ü%20.root",
        "https://host/a",
        "root://host//data/{n}.root",
        "roots://host:1095//a",
    ],
)
def test_names_of_files_are_valid(query: str) -> None:
    assert problem_with(query) == ""


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("results/a.txt", "lfn:/vo/path for the file catalog of DIRAC, rucio://scope/name"),
        ("s3://bucket/a", "it has to be lfn:/vo/path"),
        ("s3://bucket/a", "davs://host/path or root://host//path for a storage server"),
        ("davs:/host/a", "it has to be davs://host/path"),
        ("davs:///a", "it names no server"),
        ("davs://host", "one slash behind the server"),
        ("davs://host/", "it is a folder"),
        ("davs://host/run/", "it is a folder"),
        ("davs://host//a", "one slash behind the server"),
        ("davs://host/a/../b", "local("),
        ("davs://host/a//b", "empty component"),
        ("davs://me@host/a", "it has a user"),
        ("https://host/a?token=word", "question mark"),
        ("https://host/a#b", "question mark or #"),
        ("root://host/a", "two slashes behind the server: root://host//path"),
        ("root://host///a", "two slashes behind the server"),
        ("root://host//", "it is a folder"),
        ("root://host//a//b", "empty component"),
        ("lfn:vo/a", "one slash after the colon"),
        ("lfn://vo/a", "one slash after the colon"),
        ("lfn:/vo", "it has to be lfn:/vo/path"),
        ("lfn:/vo/run/", "it is a folder"),
        ("lfn:/vo/run/../a", "local("),
        ("lfn:/vo/./a", "empty component, or one that is . or .."),
        ("lfn:/vo//a", "empty component"),
        ("lfn:/vo/a\nb", "cannot be printed"),
        ("rucio:/scope/name", "two slashes after the colon"),
        ("rucio:///name", "two slashes after the colon"),
        ("rucio://scope", "rucio://scope/name"),
        ("rucio://scope/../../name", "local("),
    ],
)
def test_what_is_wrong_with_others_is_said(query: str, reason: str) -> None:
    result = StorageProvider.is_valid_query(query)
    assert not result
    assert reason in str(result)


def test_the_scheme_is_in_lower_case() -> None:
    assert normalized("LFN:/VO/A") == "lfn:/VO/A"
    assert normalized("{a}") == "{a}"
    assert normalized("S3://x") == "S3://x"


@pytest.mark.parametrize("scheme", ["lfn", "LFN"])
def test_flags_stay(provider: StorageProvider, scheme: str) -> None:
    made = provider.object(flag(f"{scheme}:/vo/a", "temp"))
    assert made.query == "lfn:/vo/a"
    assert is_flagged(made.query, "temp")


def test_local_copies_have_the_name_in_their_path() -> None:
    assert local_suffix("lfn:/vo/run/{n}.root") == "lfn/vo/run/{n}.root"
    assert local_suffix("rucio://scope/name") == "rucio/scope/name"
    assert local_suffix("davs://host:8443/a/{n}") == "davs/host:8443/a/{n}"
    assert local_suffix("root://host//a/{n}") == "root/host/a/{n}"


_QUERIES = st.builds(
    lambda scheme, parts: scheme + "/".join(parts),
    st.sampled_from(
        [
            "lfn:/",
            "lfn:",
            "rucio://",
            "rucio:/",
            "LFN:/",
            "davs://",
            "davs:/",
            "root://h//",
            "root://",
        ]
    ),
    st.lists(st.sampled_from(["..", ".", "", "a", "lfn", "rucio", "~", "$HOME", "b c"])),
)


@given(_QUERIES, _QUERIES)
def test_no_local_copy_is_outside_and_no_two_are_the_same(one: str, other: str) -> None:
    valid = [normalized(query) for query in (one, other) if not problem_with(query)]
    for query in valid:
        path = PurePosixPath(local_suffix(query))
        assert not path.is_absolute()
        assert ".." not in path.parts
    if len(valid) == 2 and valid[0] != valid[1]:
        first, second = (str(PurePosixPath(local_suffix(query))) for query in valid)
        assert first != second


@pytest.mark.parametrize(
    ("query", "folder"),
    [
        ("lfn:/vo/run/{n}.root", "lfn:/vo/run"),
        ("lfn:/vo/run{n}/a.root", "lfn:/vo"),
        ("lfn:/vo/run/a.root", "lfn:/vo/run"),
        ("lfn:/{vo}/a.root", "lfn:/"),
        ("rucio://scope/{name}", "rucio://scope"),
        ("rucio://scope/run.{n}", "rucio://scope"),
        ("davs://host/run/{n}", "davs://host/run"),
        ("davs://host/{n}", "davs://host"),
        ("root://host//run/{n}", "root://host//run"),
        ("root://host//{n}", "root://host/"),
    ],
)
def test_a_pattern_is_looked_for_in_its_folder(query: str, folder: str) -> None:
    assert folder_of(query) == folder


def test_the_plugin_and_the_catalog_have_the_same_schemes() -> None:
    """The plugin imports no more than the interface until it is used."""
    assert queries.URLS == url_catalog.SCHEMES
    assert queries.READ_ONLY == url_catalog.READ_ONLY
    assert {queries.catalog_of(f"{scheme}://host/a") for scheme in queries.URLS} == {catalogs.URLS}
