"""How jobs end: what they could not write themselves, and the lines that tell of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import get_args

from rich.console import Console

from receptive.errors import InputError
from receptive.metrics import metric_text
from receptive.runs import Run, State


def record_death(run: Run, cause: str) -> None:
    """Write what a job could not write itself; a folder that cannot be written keeps what it says."""
    status = run.status()
    if status.state in ("running", "waiting", "interrupted") and not run.locked():
        status.state = "interrupted" if status.state == "running" else "failed"
        status.error = cause
        with contextlib.suppress(OSError):
            run.write_status(status)


def tally(states: Iterable[State]) -> str:
    """`12 done, 1 failed`: how many runs are in each state, in the order of `State`; "" of none."""
    counts = Counter(states)
    return ", ".join(f"{counts[state]:,} {state}" for state in get_args(State) if counts[state])


def say_end(console: Console, number: int, total: int, run: Run) -> None:
    """Say how the number-th of so many jobs has ended."""
    state, metric = run.state(), ""
    with contextlib.suppress(InputError, OSError, KeyError, TypeError, ValueError):  # of a damaged result.json
        result = run.result()
        if monitor := result.get("monitor"):
            metric = f"  {monitor} {metric_text(monitor, result['metrics'][monitor])}  {result['seconds']:.1f} s"
    console.print(f"{number:>{len(str(total))}}/{total} {state:<11} {run.folder.name}{metric}")
