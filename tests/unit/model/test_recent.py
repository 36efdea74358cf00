from __future__ import annotations

from snakemake_executor_plugin_grid.model.recent import Recent


def test_the_oldest_entries_are_forgotten() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.update({"a": 1, "b": 2})
    recent["a"] = 3  # is the newest again
    recent["c"] = 4
    assert dict(recent) == {"a": 3, "c": 4}
    assert "b" not in recent
    assert recent.get("b") is None
