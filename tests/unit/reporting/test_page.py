"""The page, also in a real browser where one is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly")

from plotly.offline import get_plotlyjs

from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase, RunRecord
from snakemake_executor_plugin_grid.reporting import summary
from snakemake_executor_plugin_grid.reporting.page import render
from snakemake_executor_plugin_grid.reporting.summary import summarise

from .fabricated_runs import START, a_job, a_report, a_run, workflow

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "</script><script>alert(1)</script><!--&amp;<b>bold</b> $x$ %{y} \udc80\x1b"


def page_of(runs: list[RunRecord], jobs: list[JobRecord], name: str = "wf") -> str:
    logs = {job.name: f".snakemake/grid/logs/{job.name}.log" for job in jobs}
    return render(summarise(name, runs, jobs, START + 1e5, going_on=False, logs=logs))


def hostile() -> tuple[list[RunRecord], list[JobRecord]]:
    """Return a workflow in which every text is meant to do harm."""
    runs, jobs = workflow()

    def spoilt(job: JobRecord) -> JobRecord:
        report = dict(job.report)
        if report:
            report.update(host=HOSTILE, site=HOSTILE + report["site"])
            report["reason"] = report["reason"].replace("payload failed", HOSTILE)
        return replace(
            job,
            **{name: HOSTILE + str(getattr(job, name)) for name in ("rule", "site", "detail")},
            **{"backend": HOSTILE, "grid_id": HOSTILE, "wildcards": {HOSTILE: HOSTILE}},
            report=report,
        )

    texts = ("backend", "store", "host", "end", "name")
    return (
        [replace(run, **dict.fromkeys(texts, HOSTILE)) for run in runs],
        [spoilt(job) for job in jobs],
    )


class Elements(HTMLParser):
    """Collects what is in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(*workflow(), name="z-lineshape")


def test_the_page_loads_nothing(page: str) -> None:
    for tag, attributes in Elements(page).tags:
        assert not {"src", "href", "srcset", "data"} & attributes.keys(), tag
    assert "default-src 'none'" in page
    assert page.count(get_plotlyjs()[:2000]) == 1


def test_the_tables_are_there_without_scripts(page: str) -> None:
    text = " ".join(Elements(page).texts)
    assert (
        "mem_mb=4000 requested, at most 745 MB used by 170 submissions: mem_mb=1000 would do"
        in text
    )
    assert "The clock of wn07.desy.example.org" in text
    assert "payload failed: exit code 1" in text
    assert re.search(r"\.snakemake/grid/logs/select-k3v9-\d+\.log", text)


def test_beyond_some_jobs_the_page_shows_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, jobs = workflow()
    monkeypatch.setattr(summary, "MOST_ROWS", 20)
    page = page_of(runs, jobs)
    data = json.loads(Elements(page).scripts[0])
    assert data["timeline"] is None
    assert "timeline" not in data["figures"]
    assert "concurrency" in data["figures"]
    assert "this page shows figures, not a row for each job" in page
    assert "select" in page
    assert "Every job" not in page


def test_the_page_says_in_which_zone_its_times_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setenv("TZ", "IST-5:30")
        time.tzset()
        page = page_of([a_run()], [a_job()])
    time.tzset()
    assert "2026-06-01 13:30:00 to 2026-06-01 14:30:00 (UTC+05:30)" in page
    assert "Times are in UTC+05:30." in page
    bars, *_ = json.loads(Elements(page).scripts[0])["figures"]["timeline"]["data"]
    assert bars["base"] == [round((START + 5.5 * 3600) * 1000)]


def test_hostile_texts_are_texts() -> None:
    page = page_of(*hostile(), name=HOSTILE)
    page.encode("utf-8", errors="replace")
    found = Elements(page)
    assert len(found.scripts) == 3
    assert [tag for tag, _ in found.tags if tag == "script"] == ["script"] * 3
    assert HOSTILE in "".join(found.texts)
    data = json.loads(found.scripts[0])
    assert "<" not in found.scripts[0]
    for text in data["timeline"]["texts"]:
        assert set(re.findall("<[^>]*>", text)) <= {"<b>", "</b>", "<br>"}
    labels = data["figures"]["used-mem_mb"]["layout"]["yaxis"]["ticktext"]
    names = [trace["name"] for trace in data["figures"]["reasons"]["data"]]
    assert all("<" not in label for label in labels + names)
    # The list of colours is made of text nodes, not of markup.
    assert any(HOSTILE in some["text"] for some in data["timeline"]["colours"]["rule"]["legend"])


@pytest.mark.parametrize(
    "jobs",
    [
        [a_job()],
        [a_job(sent=None)],
        [a_job(phase=Phase.FAILED, finished=START)],
        [a_job(requested={"processors": None}, report={"times": {"running": 1, "staging out": 2}})],
    ],
    ids=["open", "no times", "at once", "odd report"],
)
def test_few_jobs_make_a_page(jobs: list[JobRecord]) -> None:
    assert "Runs</h2>" in page_of([a_run()], jobs)


def test_what_the_palette_has_no_colour_for_is_one_of_the_others() -> None:
    jobs = [
        a_job(
            f"j{number}",
            rule=f"r{number}",
            site=f"S{number}",
            phase=Phase.FAILED,
            finished=START + 9,
        )
        for number in range(14)
    ]
    data = json.loads(Elements(page_of([a_run()], jobs)).scripts[0])
    names = [trace["name"] for trace in data["figures"]["reasons"]["data"]]
    assert (len(names), names[-1]) == (11, "other sites")
    assert data["figures"]["reasons"]["data"][-1]["x"] == [4]
    assert data["timeline"]["colours"]["rule"]["legend"][-1]["text"] == "4 others"


def test_what_was_used_is_shown_where_nothing_was_requested() -> None:
    requested = {"processors": 2, "memory_mb": None, "runtime_s": 600}
    report = a_report(START, 1, 1, 50, 1, cpu_seconds=40, peak_memory_mb=812.0)
    job = a_job(phase=Phase.SUCCEEDED, ended=START + 90, requested=requested, report=report)
    page = page_of([a_run()], [job])
    headings = " ".join(Elements(page).texts)
    assert "Processors busy, % of threads" in headings
    assert "Peak memory, MB (mem_mb is not requested)" in headings
    assert "Run time, % of runtime" in headings
    assert "110 MB it is Snakemake itself" in headings
    plots = json.loads(Elements(page).scripts[0])["figures"]
    assert plots["used-mem_mb"]["data"][0]["median"] == [812.0]
    assert plots["used-threads"]["data"][0]["median"] == [40.0]


# In a browser

Browse = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Return what shows a page, on a screen of a width in pixels.

    It returns the document when all is done, and what the console says.
    """
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        if os.environ.get("GRID_TEST_BROWSER_REQUIRED") == "1":
            pytest.fail(f"GRID_TEST_BROWSER_REQUIRED=1, but none of {', '.join(NAMES)} is there")
        pytest.skip(f"needs one of {', '.join(NAMES)}")

    def show(page: str, width: int = 1400) -> tuple[str, list[str]]:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8", errors="replace")
        done = subprocess.run(
            [
                *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}"),
                *("--enable-logging=stderr", f"--window-size={width},2600"),
                *("--virtual-time-budget=60000", "--dump-dom", file.as_uri()),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=200,
            check=True,
        )
        said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, said

    return show


def bars(dom: str, plot: str) -> int:
    """Return how many bars a plot has on the screen."""
    start = dom.index(f'id="{plot}"')
    end = dom.find('<div class="plot js-plotly-plot', start)
    return dom[start : end if end > 0 else len(dom)].count('class="point"')


def with_choice(page: str, **choices: str) -> str:
    """Return a page in which other options are chosen from the start."""
    for name, value in choices.items():
        head, mark, tail = page.partition(f'<select id="{name}">')
        assert mark
        page = head + mark + tail.replace(f'value="{value}"', f'value="{value}" selected', 1)
    return page


@pytest.mark.parametrize(
    "choices",
    [pytest.param({}, marks=pytest.mark.slow), {"order": "site", "colour": "rule"}],
    ids=["as it opens", "by site"],
)
def test_the_plots_are_drawn(page: str, browse: Browse, choices: dict[str, str]) -> None:
    dom, said = browse(with_choice(page, **choices))
    assert said == []
    assert 'data-drawn="7"' in dom
    jobs = workflow()[1]
    assert bars(dom, "timeline") >= 6 * len(jobs)
    assert bars(dom, "sites") == 2 * 5
    assert len(re.findall('class="trace boxes"', dom)) == 3
    if choices:
        assert dom.count("</span>reconstruct</li>") == 1


USER = """
const seen = [];
function note() {
  const plot = document.getElementById("timeline"), { xaxis, yaxis } = plot.layout;
  const bars = plot.querySelectorAll(".barlayer .point").length;
  const stride = document.getElementById("stride").textContent;
  seen.push({ bars, stride, types: [xaxis.type, yaxis.type], rows: yaxis.range });
}
function choose(name, value) {
  const select = document.getElementById(name);
  select.value = value;
  select.dispatchEvent(new Event("change"));
}
const pause = () => new Promise((done) => setTimeout(done, 3000));
(async () => {
  while (!document.body.dataset.drawn) await pause();
  note();
  choose("order", "site");
  choose("colour", "rule");
  await pause();
  note();
  await Plotly.relayout("timeline", { "yaxis.range[0]": 500, "yaxis.range[1]": 400 });
  await pause();
  note();
  const list = document.createElement("script");
  list.type = "application/json";
  list.id = "seen";
  list.textContent = JSON.stringify(seen);
  document.body.append(list);
})();
"""


def with_script(page: str, script: str) -> str:
    """Return a page with one more script, and the permission of its policy."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    return page.replace("</body>", f"<script>{script}</script></body>")


@pytest.mark.slow
def test_thousands_of_jobs_can_be_looked_at(browse: Browse) -> None:
    jobs = [
        a_job(
            f"j{number}",
            rule=f"r{number % 3}",
            site=f"S{number % 2}",
            sent=START + number,
            accepted=START + number + 1,
            ended=START + number + 300,
            finished=START + number + 301,
            phase=Phase.SUCCEEDED,
        )
        for number in range(4000)
    ]
    dom, said = browse(with_script(page_of([a_run()], jobs), USER))
    assert said == []
    text = dom.partition('id="seen">')[2].partition("</script>")[0]
    first, ordered, zoomed = json.loads(text)
    assert first["stride"].startswith("One job in 3 is drawn")
    assert first["bars"] == ordered["bars"] == 3 * 1334  # submitting, waiting, taking in
    assert zoomed["stride"] == ""
    assert zoomed["rows"] == [500, 400]
    assert 3 * 100 <= zoomed["bars"] <= 3 * 104
    assert all(some["types"] == ["date", "linear"] for some in (first, ordered, zoomed))


def test_hostile_texts_do_nothing_in_a_browser(browse: Browse) -> None:
    dom, said = browse(page_of(*hostile(), name=HOSTILE))
    assert said == []
    assert 'data-drawn="7"' in dom
    assert "<script>alert" not in dom


@pytest.mark.slow
def test_errors_in_the_page_are_noticed(page: str, browse: Browse) -> None:
    """Check that the tests above notice a script error, and a script that the policy forbids."""
    found: list[Any] = []
    for broken in (
        page.replace('"figures":{"timeline"', '"figures":{"nowhere"'),
        page.replace("</body>", "<script>document.title = 1</script></body>"),
    ):
        assert broken != page
        found.append(browse(broken)[1])
    assert all(found)
