"""The table that every sweep ends in: overrides, metrics, seconds, state, cause."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from receptive.config import code_hash
from receptive.console import print_unfolded
from receptive.runs import Run, metric_text, shown, write_csv

Row = tuple[dict[str, str], Run]

_COLORS = {"done": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "waiting": "dim"}


def write_summary(rows: Sequence[Row], path: Path) -> None:
    """Write summary.csv: a row a job with its swept values, state, seconds, all metrics, folder and cause."""
    records = [_record(labels, run) for labels, run in rows]
    columns = list(dict.fromkeys(key for record in records for key in record))
    last = ["error", "folder"]
    write_csv(path, [key for key in columns if key not in last] + last, records)


def _record(labels: dict[str, str], run: Run) -> dict[str, Any]:
    status, result = run.status(), run.result()
    return {
        **labels,
        "state": run.state(),
        "code": _code(run),
        **result.get("metrics", {}),
        "best_epoch": result.get("best_epoch"),
        "seconds": result.get("seconds"),
        "attempts": status.attempts,
        "error": status.error,
        "folder": run.folder.name,
    }


def _code(run: Run) -> str:
    code = run.status().code
    return "" if not code else "current" if code == code_hash() else "older"


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Print a row a job (swept values, metrics on validation and test, seconds, state), then the causes of failures."""
    labels = list(dict.fromkeys(key for row, _ in rows for key in row))
    monitor = next((run.result()["monitor"] for _, run in rows if run.result()), "val/accuracy")
    metrics = [monitor, monitor.replace("val/", "test/")]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in _short(labels):
        table.add_column(title, no_wrap=True)
    for title in (*metrics, "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    causes = []
    for row, run in rows:
        state, result = run.state(), run.result()
        values = [_number(name, result.get("metrics", {}).get(name)) for name in metrics]
        seconds = f"{result['seconds']:.1f}" if result else ""
        old = " (older code)" if state == "done" and _code(run) == "older" else ""
        cells = [Text(row.get(name, "")) for name in labels]
        table.add_row(*cells, *values, seconds, Text(state + old, style=_COLORS[state]))
        if state in ("failed", "interrupted"):
            causes.append(f"{state}: {run.status().error or 'its process died'}\n  {shown(run.log_path)}")
    print_unfolded(table, console)
    for cause in causes:
        console.print(cause, highlight=False, markup=False, soft_wrap=True)


def _short(keys: Sequence[str]) -> list[str]:
    """The last part of each key where that is enough to tell them apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for short, key in zip(last, keys, strict=True)]


def _number(name: str, value: float | None) -> str:
    return "" if value is None else metric_text(name, value)
