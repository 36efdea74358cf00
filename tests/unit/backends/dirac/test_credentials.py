from __future__ import annotations

from dataclasses import replace

import pytest

from snakemake_executor_plugin_grid.backends.dirac.credentials import Proxy, judge, read_proxy
from snakemake_executor_plugin_grid.model.errors import CredentialsError

GOOD = Proxy("/tmp/x509up_u1", 7200.0, False, "dirac_user", frozenset({"NormalUser"}))


def test_a_good_proxy_needs_no_word() -> None:
    assert judge(GOOD, 3600) == ""
    assert judge(replace(GOOD, properties=frozenset({"JobAdministrator", "x"})), 3600) == ""
    assert judge(replace(GOOD, seconds_left=1), 0) == ""


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (replace(GOOD, seconds_left=0), r"/tmp/x509up_u1 has expired; .* -g dirac_user'"),
        (replace(GOOD, seconds_left=-5, group=""), "has expired; run 'dirac-proxy-init -g GROUP'"),
        (replace(GOOD, limited=True), "limited one, which may not submit jobs; .* -g dirac_user'"),
        (replace(GOOD, group=""), "names no DIRAC group"),
        (replace(GOOD, properties=frozenset()), "dirac_user may not submit jobs; .* -g GROUP'"),
        (replace(GOOD, properties=frozenset({"Operator"})), "dirac_user may not submit jobs"),
    ],
)
def test_what_a_proxy_is_not_good_for(proxy: Proxy, words: str) -> None:
    with pytest.raises(CredentialsError, match=words):
        judge(proxy, 0)


@pytest.mark.parametrize(
    ("seconds", "span"),
    [(59, "59 s"), (3599, "59 min 59 s"), (3600, "1 h"), (86399, "23 h 59 min")],
)
def test_a_proxy_that_expires_soon_is_warned_of(seconds: float, span: str) -> None:
    text = judge(replace(GOOD, seconds_left=seconds), 86400)
    assert f"/tmp/x509up_u1 expires in {span}; run 'dirac-proxy-init -g dirac_user'" in text
    assert judge(replace(GOOD, seconds_left=seconds), seconds) == ""


def test_what_the_client_tells_is_read() -> None:
    fields = {
        "path": "/tmp/x509up_u1",
        "seconds_left": 7200,
        "limited": False,
        "group": "dirac_user",
        "properties": ["NormalUser"],
        "user": "me",
        "vo": "vo",
    }
    assert read_proxy(fields) == GOOD
