"""The report as one HTML page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..console.format import duration, file_size
from . import words
from .efficiency import Resource
from .figures import figures
from .summary import MOST_ROWS, Summary

_FOLDER = Path(__file__).parent
_SHOWN_FAILURES = 1000


def render(summary: Summary) -> str:
    """Return the page.

    The template escapes all texts that come from the workflow or from workers. The plots get such
    texts as JSON data that cannot end the element it is in (Jinja, ``tojson``). The page's policy
    allows its own two scripts and nothing else (Content Security Policy Level 3, ``script-src``
    with hashes).
    """
    zone = words.zone_at(summary.totals.begin or summary.made)
    drawn = figures(summary, zone)
    library, script = get_plotlyjs(), (_FOLDER / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(_FOLDER, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html.jinja").render(
        summary=summary,
        totals=summary.totals,
        backends=", ".join(sorted({run.backend for run in summary.runs})) or "-",
        shown_failures=summary.failures[:_SHOWN_FAILURES],
        drawn=drawn,
        most_rows=MOST_ROWS,
        zone=zone,
        asked=_asked,
        duration=lambda seconds: "-" if seconds is None else duration(seconds),
        size=file_size,
        moment=lambda time: words.moment(time, zone),
        hashes=Markup(f"{_hash(library)} {_hash(script)}"),  # noqa: S704 - made here
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own
        library=Markup(library),  # noqa: S704 - Plotly's own
        script=Markup(script),  # noqa: S704 - our own
    )


def _hash(script: str) -> str:
    # A browser reads each line end as \n before it computes the hash.
    digest = hashlib.sha256(script.replace("\r\n", "\n").replace("\r", "\n").encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _asked(resource: Resource, unit: float) -> str:
    if resource.asked is None:
        return "-"
    least, most = (f"{value / unit:g}" for value in resource.asked)
    return least if least == most else f"{least}…{most}"
