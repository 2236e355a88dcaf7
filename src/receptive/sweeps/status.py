"""`receptive status`: a sweep as it stands, from another terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from receptive.console import STATE_COLORS, short_titles, unfolded
from receptive.errors import InputError
from receptive.metrics import metric_text
from receptive.runs import State, shown
from receptive.sweeps.endings import tally
from receptive.sweeps.estimate import duration
from receptive.sweeps.observation import Observer
from receptive.sweeps.snapshot import Progress, Snapshot

_REFRESH = 1.0  # seconds
_FRAME = 5  # lines beside the jobs' and the notes': title, bar, blank, heading, and the one that says what was left out
_LEAST = 5  # characters that are left of a title, or of a label, in a narrow terminal
_LEAST_OF_LAST = 11  # of the last column: a time, or as much of an error's cause
_PLAIN_ROWS = 40  # where there is no terminal


def watch(root: Path, console: Console, *, once: bool = False) -> None:
    """Show a sweep or run until nothing runs any more, anew every second; where there is no terminal once.

    Args:
        root: of the sweep or run.
        console: made with soft_wrap=False, as a live page cannot ask for it when it is drawn anew.
        once: on a terminal too.

    Raises:
        InputError: there is nothing to show.
    """
    observer = Observer(root)
    snapshot = observer.look()
    if not snapshot.jobs and not snapshot.driven:
        raise InputError("\n".join([f"{shown(root)} holds no run", *snapshot.notes]))
    if once or not console.is_terminal or console.is_dumb_terminal:
        with unfolded(console):
            console.print(page(snapshot, _PLAIN_ROWS, console.width), soft_wrap=False)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(page(snapshot, console.height - _FRAME, console.width), refresh=True)
            if not snapshot.alive:
                return
            time.sleep(_REFRESH)
            snapshot = observer.look()


def page(snapshot: Snapshot, rows: int, width: int) -> RenderableType:
    """What is shown of a moment, with at most so many jobs."""
    notes = list(snapshot.notes)
    if not snapshot.alive and snapshot.counts["interrupted"] + snapshot.counts["waiting"]:
        notes.append("nothing runs it any more: the same command goes on")
    heading = f"{snapshot.title}: {_told(snapshot.counts)}"
    if snapshot.queued:
        heading += f"; {snapshot.queued:,} in Slurm's queue"
    if snapshot.alive:
        left = snapshot.left
        heading += f"; {'time left unknown' if left is None else f'about {duration(left)} left'}"
    chosen = _chosen(snapshot.jobs, max(1, rows - len(notes)))
    rest = Counter(job.state for job in snapshot.jobs) - Counter(job.state for job in chosen)
    bar = ProgressBar(1.0, snapshot.share, width=min(60, max(10, width - 8)))
    line = Table.grid(padding=(0, 1))
    line.add_row(bar, Text(f"{100 * snapshot.share:.0f} %"))
    parts: list[RenderableType] = [Text(heading), line, Text(), _table(snapshot, chosen, width)]
    if rest:
        parts.append(Text(f"... and {_told(rest)}", style="dim"))
    return Group(*parts, *(Text(note, style="yellow", no_wrap=True, overflow="ellipsis") for note in notes))


def _told(counts: Counter[State]) -> str:
    return tally(counts.elements()) or "no job yet"


def _chosen(jobs: Sequence[Progress], rows: int) -> list[Progress]:
    """The jobs that are shown: what runs, what failed, what was done last, what waits."""
    rank = {"running": 0, "failed": 1, "interrupted": 2, "done": 3, "pruned": 3, "waiting": 4}
    return sorted(jobs, key=lambda job: (rank[job.state], -job.ended if rank[job.state] == 3 else 0.0))[:rows]


def _table(snapshot: Snapshot, jobs: Sequence[Progress], width: int) -> Table:
    """A row a job; where the width does not suffice titles are cut off first, and labels before what is measured."""
    keys = list(dict.fromkeys(key for job in jobs for key in job.labels))
    metrics = {job.metric for job in jobs if job.metric}
    metric = metrics.pop() if len(metrics) == 1 else ""  # the same of all: named once
    titles = [*short_titles(keys), "state", "epoch", metric or "metric", ""]
    rows = [_cells(job, keys, metric, snapshot) for job in jobs]
    values = [max(cell_len(row[place]) for row in rows) if rows else 0 for place in range(len(titles))]
    sides = fitted([cell_len(title) for title in titles], values, len(keys), width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, side in zip(titles, sides, strict=True):
        table.add_column(title, no_wrap=True, overflow="ellipsis", width=side)
    for job, row in zip(jobs, rows, strict=True):
        styles = [STATE_COLORS[job.state] if place == len(keys) else "" for place in range(len(row))]
        table.add_row(*(Text(cell, style) for cell, style in zip(row, styles, strict=True)))
    return table


def _cells(job: Progress, keys: Sequence[str], metric: str, snapshot: Snapshot) -> list[str]:
    """A row of the table; the metric is named where it is not that of all."""
    name = "" if job.metric == metric else f"{job.metric} "
    value = f"{name}{metric_text(job.metric, job.value)}" if job.metric else ""
    now, typical = snapshot.now, snapshot.typical
    labels = [job.labels.get(key, "") for key in keys]
    return [*labels, job.state, _epoch(job, now, typical), value, _last(job, now, typical)]


def fitted(titles: Sequence[int], values: Sequence[int], labels: int, width: int) -> list[int]:
    """Widths of the columns of a table that is to fit.

    Args:
        titles: the columns' natural widths by their titles.
        values: by their values.
        labels: so many columns come first that may lose values too; the last one takes what is left.
        width: of the terminal.
    """
    sides = [max(pair) for pair in zip(titles, values, strict=True)]
    room = width - 2 * (len(sides) - 1)
    least_of_last = min(values[-1], _LEAST_OF_LAST)
    for least in (
        [max(value, min(title, _LEAST)) for title, value in zip(titles, values, strict=True)],
        [min(side, _LEAST) for side in sides[:labels]],
    ):
        while sum(sides[:-1]) + least_of_last > room:
            slack, place = max((sides[place] - one, place) for place, one in enumerate(least[: len(sides) - 1]))
            if slack <= 0:
                break
            sides[place] -= 1
    return [*sides[:-1], max(1, min(sides[-1], room - sum(sides[:-1])))]


def _epoch(job: Progress, now: float, typical: float | None) -> str:
    if job.state == "waiting" or (not job.seconds and job.state != "running"):
        return ""
    of = f" of {job.epochs}" if job.epochs is not None else ""
    done = job.epoch(now, typical)
    return f"{done:.1f}{of}" if job.state == "running" else f"{done:.0f}{of}"


def _last(job: Progress, now: float, typical: float | None) -> str:
    """The time that is left, or was needed, or the cause of the end."""
    if job.state == "running":
        left = job.left(now, typical)
        testing = job.epochs is not None and len(job.seconds) >= job.epochs
        return "testing" if testing else f"{duration(left)} left" if left is not None else ""
    return job.error or (f"took {duration(job.took)}" if job.took else "")
