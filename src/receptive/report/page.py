"""The report as one HTML page that needs nothing else: no network, no server, no file beside it.

A content policy within the page allows its two scripts and its style by their hashes, and pictures that lie within it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from receptive.files import write_atomically
from receptive.report import contents
from receptive.report.attempts import trying
from receptive.report.collection import Collection
from receptive.report.gallery import albums
from receptive.report.plots import PLOTS
from receptive.report.plotting import Plot
from receptive.report.series import ranked
from receptive.report.tables import causes, label_keys, summary_cells, summary_lines
from receptive.report.verdicts import Judged
from receptive.runs import shown

NAME = "report.html"
MOST_BYTES = 8_000_000
MOST_RUNS = 2000  # rows of the table of runs
_MOST_GROUPS = 500  # rows of the summary
_MOST_NOTES = 100
_MOST_PICTURES = 2_500_000  # bytes
_RESERVE = 20_000  # bytes for what is counted roughly
# By this id the map library within Plotly looks whether its style is in the page already; the policy would refuse it.
_MAP_STYLE = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


def write_page(collection: Collection, judged: Sequence[Judged], notes: Sequence[str]) -> tuple[Path, list[str]]:
    """Write report.html into the folder of the runs.

    Args:
        collection: the runs.
        judged: their claims.
        notes: what else is to be told, a sentence each.

    Returns:
        The file, and what could not be shown, a sentence each.

    Raises:
        OSError: it cannot be written.
    """
    troubles: list[str] = []
    plots = []
    for what, make in PLOTS.items():
        with trying(what, troubles):
            plots.append(make(collection))
    path = collection.root / NAME
    write_atomically(path, render(collection, judged, [*notes, *troubles], [plot for plot in plots if plot]))
    return path, troubles


def render(collection: Collection, judged: Sequence[Judged], notes: Sequence[str], plots: Sequence[Plot]) -> str:
    """The page, of less than `MOST_BYTES`: of many runs with large configs fewer have a row."""
    most = MOST_RUNS
    text = _fill(collection, judged, notes, plots, most, [], [])
    while len(text.encode()) > MOST_BYTES - _RESERVE and most > 1:
        most //= 2
        text = _fill(collection, judged, notes, plots, most, [], [])
    budget = min(_MOST_PICTURES, MOST_BYTES - _RESERVE - len(text.encode()))
    matrices = any(plot.key == "confusion" for plot in plots)
    pictures, left_out = albums(collection, budget, matrices)
    return _fill(collection, judged, notes, plots, most, pictures, left_out) if pictures or left_out else text


def _fill(
    collection: Collection,
    judged: Sequence[Judged],
    notes: Sequence[str],
    plots: Sequence[Plot],
    most: int,
    pictures: Sequence[Any],
    left_out: Sequence[str],
) -> str:
    records = contents.chosen_records(collection, most)
    titles, rows = summary_cells(collection, _lines(collection)[:_MOST_GROUPS])
    all_notes = [*causes(collection), *collection.notes, *notes]
    style, script, plotly = _style(), _script(), _plotly()
    environment = contents.environment(collection)
    text: str = _template().render(
        policy=_policy(style, script, plotly),
        style=Markup(style),
        script=Markup(script),
        plotly=Markup(plotly),
        taken=_MAP_STYLE.findall(plotly),
        collection=collection,
        folder=shlex.quote(shown(collection.root)),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        states=contents.states(collection),
        period=contents.period(collection),
        commits=next((one.values for one in environment if one.key == "code.commit"), ()),
        judged=judged,
        summary_titles=titles,
        summary_labels=len(label_keys(collection)),
        summary_rows=rows,
        groups_left_out=len(collection.groups) - len(rows),
        columns=contents.run_columns(collection, records),
        rows=[(record.state, contents.run_cells(collection, record)) for record in records],
        runs_left_out=len(collection.records) - len(records),
        names=contents.run_names(collection, records),
        plots=plots,
        pictures=pictures,
        pictures_left_out=left_out,
        shared=contents.shared_config(collection),
        varied=contents.varied_config(collection),
        environment=environment,
        notes=all_notes[:_MOST_NOTES],
        notes_left_out=max(0, len(all_notes) - _MOST_NOTES),
        data={
            "plots": {plot.key: plot.figures for plot in plots},
            "comparison": contents.comparison(collection, records),
        },
    )
    return text


@functools.lru_cache(maxsize=1)
def _lines(collection: Collection) -> list[Any]:
    order = {id(group): place for place, group in enumerate(ranked(collection))}
    return sorted(summary_lines(collection), key=lambda line: order[id(line.group)])


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("receptive.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _template() -> Any:
    return _environment().get_template("page.html.jinja")


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def _style() -> str:
    return _source("page.css")


@functools.cache
def _script() -> str:
    return _source("page.js")


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@functools.cache
def _policy(style: str, script: str, plotly: str) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(plotly)} {_hash(script)}",
            # Plotly adds a style element and fills it by rules, and empties style attributes
            f"style-src-elem {_hash(style)} {_hash('')}",
            f"style-src-attr 'unsafe-hashes' {_hash('')}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
