from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.stores.rucio.address import DEFAULT_LIFETIME, known, parse

DAY = 86400


@pytest.mark.parametrize(
    ("query", "lifetime"),
    [("", DEFAULT_LIFETIME), ("&lifetime=4d", 4 * DAY), ("&lifetime=86400", DAY)],
)
def test_urls(query: str, lifetime: int) -> None:
    address = parse(f"rucio://user.Me/run1/blobs/?rse=CERN-PROD_X{query}")
    assert (address.scope, address.prefix) == ("user.Me", "run1/blobs")
    assert (address.rse, address.lifetime) == ("CERN-PROD_X", lifetime)
    assert address.url == "rucio://user.Me/run1/blobs"
    assert known(address.url, address.rse).lifetime is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("rucio://scope?rse=X", "has no scope, or no prefix"),
        ("rucio:///prefix?rse=X", "has no scope, or no prefix"),
        ("rucio://scope/a//b?rse=X", "'' has to have letters"),
        ("rucio://scope/../b?rse=X", "'..' has to have letters"),
        ("rucio://sc:ope/b?rse=X", "'sc:ope' has to have letters"),
        ("rucio://scope/b", r"one storage element by \?rse=RSE"),
        ("rucio://scope/b?rse=A|B", r"one storage element by \?rse=RSE"),
        ("rucio://scope/b?rse=A&rse=B", "or is there twice"),
        ("rucio://scope/b?rse=A&lifetme=3d", "is not known"),
        ("rucio://scope/b?rse=A#x", "is not known"),
        ("rucio://scope/b?rse=A&lifetime=2h", "has to be a day"),
        ("rucio://scope/b?rse=A&lifetime=soon", "has to be a day"),
        ("rucio://scope/b?rse=A&lifetime=", "has to be a day"),
    ],
)
def test_other_urls_are_refused_with_the_remedy(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match=problem) as error:
        parse(url)
    assert str(error.value).startswith(f"--grid-store {url}: ")
    assert "give rucio://scope/prefix?rse=RSE" in str(error.value)
