"""The page on wide and narrow screens, in a real browser where one is installed."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("plotly")

from .fabricated_runs import workflow
from .test_page import Browse, browse, page_of, with_script

__all__ = ["browse"]

MEASURE = """
const pause = () => new Promise((done) => setTimeout(done, 500));
const box = (element) => element.getBoundingClientRect();
function brokenWords(cell) {
  const probe = document.createElement("span");
  probe.style.whiteSpace = "nowrap";
  probe.style.position = "absolute";
  cell.append(probe);
  const style = getComputedStyle(cell);
  const room = cell.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const words = cell.innerText.split(/\\s+/);
  const broken = words.filter((word) => {
    probe.textContent = word;
    return box(probe).width > room + 1;
  });
  probe.remove();
  return broken;
}
(async () => {
  while (!document.body.dataset.drawn) await pause();
  const seen = {
    cut: [...document.querySelectorAll(".wide")].filter((one) => one.scrollWidth > one.clientWidth)
      .length,
    wider: document.documentElement.scrollWidth > innerWidth,
    broken: [...document.querySelectorAll("td:not(.long)")].flatMap(brokenWords),
    outside: [...document.querySelectorAll("h3, .plot text")].filter((text) =>
      box(text).right > innerWidth || box(text).left < 0).map((text) => text.textContent),
  };
  const list = document.createElement("script");
  list.type = "application/json";
  list.id = "seen";
  list.textContent = JSON.stringify(seen);
  document.body.append(list);
})();
"""


@pytest.mark.parametrize("width", [pytest.param(1400, marks=pytest.mark.slow), 500])
def test_no_word_is_broken_and_nothing_is_cut(browse: Browse, width: int) -> None:
    dom, said = browse(with_script(page_of(*workflow()), MEASURE), width)
    assert said == []
    seen = json.loads(dom.partition('id="seen">')[2].partition("</script>")[0])
    assert seen == {"cut": 0, "wider": False, "broken": [], "outside": []}
