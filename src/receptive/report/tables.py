"""The tables of a report: a row a run, a row a group of runs over seeds, a row a claim; console, CSV and Markdown."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from receptive.console import STATE_COLORS, print_unfolded, short_titles
from receptive.files import write_atomically, write_csv
from receptive.metrics import bounds, metric_text
from receptive.report.collection import Collection, Group, Record
from receptive.report.statistics import Spread, difference, holm, spread
from receptive.report.verdicts import Judged
from receptive.runs import shown
from receptive.source_code import code_hash

LEGEND = (
    "Mean ± deviation (ddof 1) over seeds; the interval is of the mean (Student's t); p of Welch's test, corrected "
    "by Holm's method."
)
CLAIM_TITLES = ("claim", "what it says", "reported", "ours", "verdict", "why")
_VERDICT_COLORS = {"holds": "green", "does not hold": "red", "undecided": "yellow"}


@dataclass(frozen=True)
class Line:
    """A group with the statistics of its metrics.

    Args:
        group: the runs.
        spreads: metric -> statistics over its done runs.
        p_against_best: of Welch's test of the monitored metric against the best group, corrected among all groups
            (Holm); NaN for the best group itself and where there are too few runs.
    """

    group: Group
    spreads: dict[str, Spread]
    p_against_best: float


def write_tables(collection: Collection, judged: Sequence[Judged]) -> None:
    """Write runs.csv (a row a run), summary.csv (a row a group), of a study claims.csv, and summary.md into the folder.

    Raises:
        OSError: the folder cannot be written.
    """
    records = [_run_row(record) for record in collection.records]
    columns = list(dict.fromkeys(key for record in records for key in record))
    last = ["error", "folder"]
    write_csv(collection.root / "runs.csv", [key for key in columns if key not in last] + last, records)
    lines = summary_lines(collection)
    rows = [_summary_row(collection, line) for line in lines]
    write_csv(collection.root / "summary.csv", list(dict.fromkeys(key for row in rows for key in row)), rows)
    if judged:
        write_csv(collection.root / "claims.csv", CLAIM_TITLES, claim_rows(judged))
    else:  # of an earlier report
        (collection.root / "claims.csv").unlink(missing_ok=True)
    write_atomically(collection.root / "summary.md", _markdown(collection, lines, judged))


@functools.lru_cache(maxsize=1)  # console, files and page show the same
def summary_lines(collection: Collection) -> list[Line]:
    """The statistics of every group, in the order in which they came."""
    monitor, smaller = collection.monitor, collection.smaller(collection.monitor)
    spreads = [{m: spread(group.values(m), bounds(m)) for m in collection.metrics} for group in collection.groups]
    known = [one[monitor] for one in spreads if monitor in one and math.isfinite(one[monitor].mean)]
    best = (min if smaller else max)(known, key=lambda one: one.mean, default=None)
    rivals = [one.get(monitor) for one in spreads]
    p_values = holm(
        [
            difference(rival.values, best.values).p if rival and best and rival is not best else math.nan
            for rival in rivals
        ]
    )
    return [Line(*parts) for parts in zip(collection.groups, spreads, p_values, strict=True)]


def _run_row(record: Record) -> dict[str, Any]:
    return {
        **record.labels,
        "state": record.state,
        "code": code_age(record),
        **record.metrics,
        "best_epoch": record.result.get("best_epoch"),
        "seconds": record.result.get("seconds"),
        "attempts": record.status.attempts,
        "error": record.status.error,
        "folder": record.run.folder.name,
    }


def code_age(record: Record) -> str:
    """Whether the run was computed by the code as it is: "current", "older", or "" of one that never began.

    Code of one's own that is not on the Python path counts as older.
    """
    code = record.status.code
    return "" if not code else "current" if code == code_hash(record.config.get("target_prefixes")) else "older"


def _summary_row(collection: Collection, line: Line) -> dict[str, Any]:
    row: dict[str, Any] = {**line.group.labels, "runs": len(line.group.records)}
    for metric, known in line.spreads.items():
        row |= {
            f"{metric} n": known.n,
            f"{metric} mean": _cell(known.mean),
            f"{metric} deviation": _cell(known.deviation),
            f"{metric} low": _cell(known.low),
            f"{metric} high": _cell(known.high),
            f"{metric} best": _cell(known.best(collection.smaller(metric))),
        }
    return row | {"p against best": _cell(line.p_against_best)}


def _cell(value: float) -> float | str:
    return "" if math.isnan(value) else value


def shown_metrics(collection: Collection) -> list[str]:
    """The metrics that a table shows: the monitored one and, where it was taken, its counterpart on the test set."""
    test = collection.monitor.replace("val/", "test/")
    return [collection.monitor, *([test] if test != collection.monitor and test in collection.metrics else [])]


def print_tables(collection: Collection, judged: Sequence[Judged], console: Console) -> None:
    """Print a row a run, a row a group where there are several seeds, a row a claim, and the causes of failures."""
    print_unfolded(_runs_table(collection), console)
    if any(len(group.records) > 1 for group in collection.groups):
        console.print()
        titles, rows = summary_cells(collection, summary_lines(collection))
        print_unfolded(_table(titles, rows, len(label_keys(collection))), console)
    for one in judged:
        console.print()
        console.print(f"{one.claim.id}  {one.claim.text}")
        verdict = Text(f"  {one.verdict}", style=_VERDICT_COLORS[one.verdict]).append(f": {one.ours}", style="default")
        console.print(verdict)
        console.print(f"  {one.why}")
    for text in [*causes(collection), *collection.notes]:
        console.print(text)


def causes(collection: Collection) -> list[str]:
    """Why runs are not done, a text each: the error and, of a run that began, the log."""
    return [
        f"{record.state}: {record.status.error or 'its process died'}"
        + (f"\n  {shown(record.run.log_path)}" if record.run.log_path.is_file() else "")
        for record in collection.records
        if record.state in ("failed", "interrupted")
    ]


def _runs_table(collection: Collection) -> Table:
    metrics = shown_metrics(collection)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in short_titles(collection.labels):
        table.add_column(title, no_wrap=True)
    for title in (*metrics, "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for record in collection.records:
        seconds = record.result.get("seconds")
        old = " (older code)" if record.state == "done" and code_age(record) == "older" else ""
        table.add_row(
            *(Text(record.labels.get(name, "")) for name in collection.labels),
            *(_number(name, record.metrics.get(name)) for name in metrics),
            f"{seconds:.1f}" if seconds is not None else "",
            Text(record.state + old, style=STATE_COLORS[record.state]),
        )
    return table


def summary_cells(collection: Collection, lines: Iterable[Line]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of the summary: labels, then of each shown metric mean, deviation and interval."""
    keys = label_keys(collection)
    metrics = shown_metrics(collection)
    titles = [*short_titles(keys), "n"]
    for metric in metrics:
        titles += [metric, "95 % interval", "best"]
    rows = []
    for line in lines:
        first = line.spreads.get(metrics[0])
        row = [*(line.group.labels.get(key, "") for key in keys), str(first.n if first else 0)]
        for metric in metrics:
            row += _spread_cells(metric, line.spreads.get(metric), collection.smaller(metric))
        rows.append([*row, "" if math.isnan(line.p_against_best) else f"{line.p_against_best:.2g}"])
    return [*titles, "p against best"], rows


def label_keys(collection: Collection) -> list[str]:
    """What tells groups apart: the first columns of the summary."""
    return list(dict.fromkeys(key for group in collection.groups for key in group.labels))


def _spread_cells(metric: str, known: Spread | None, smaller: bool) -> list[str]:
    if known is None or known.n == 0:
        return ["", "", ""]
    best = _number(metric, known.best(smaller))
    if known.n == 1:
        return [_number(metric, known.mean), "", best]
    interval = f"{_number(metric, known.low)} to {_number(metric, known.high)}"
    return [f"{_number(metric, known.mean)} ± {_number(metric, known.deviation)}", interval, best]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], labels: int) -> Table:
    """A table whose first columns are labels, and the others numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < labels else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _markdown(collection: Collection, lines: Sequence[Line], judged: Sequence[Judged]) -> str:
    parts = [f"# {collection.title}", markdown_table(*summary_cells(collection, lines))]
    if judged:
        parts += ["## Claims", claims_markdown(judged)]
    if troubles := [*causes(collection), *collection.notes]:
        parts += ["## Not done", "\n".join(f"- {' '.join(text.split())}" for text in troubles)]
    return "\n\n".join([*parts, LEGEND]) + "\n"


def claims_markdown(judged: Sequence[Judged]) -> str:
    """A row a claim."""
    return markdown_table(CLAIM_TITLES, [list(row.values()) for row in claim_rows(judged)])


def claim_rows(judged: Sequence[Judged]) -> list[dict[str, str]]:
    """Title -> cell of each claim."""
    cells = ((one.claim.id, one.claim.text, one.claim.reported, one.ours, one.verdict, one.why) for one in judged)
    return [dict(zip(CLAIM_TITLES, row, strict=True)) for row in cells]


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, a bar within a cell escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(name: str, value: float | None) -> str:
    return "" if value is None else metric_text(name, value)
