"""The performance goals: ratios, measured side by side in one run on this machine.

    python scripts/benchmark.py                                    # every row, 5 rounds
    python scripts/benchmark.py cifar10_a start --rounds 9 --output benchmark.json
    python scripts/benchmark.py --quick                            # does it run? Its figures mean nothing

The contestants of a row take turns (A B C A B C ...), so that a busy minute hits all of them; a first turn
of each is not counted. A ratio is the median of the rounds' ratios. Steps are timed in this process, all with
the same threads (OMP_NUM_THREADS), on the GPU where there is one: two short epochs a turn, without validation
and the first steps; what lies between two epochs counts with its share of a full one. Starts are whole
processes; those to the first step end themselves with it. The data must be there: RECEPTIVE_DATA_DIR or
data/. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table

from receptive.console import new_console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout, whose scripts/ these are

from scripts.contestants.rows import ROWS, Row, has_amx

from receptive import provenance
from receptive.trainer import has_fast_bf16_cpu


def measure(row: Row, rounds: int) -> dict[str, list[float]]:
    """Return each contestant's seconds, a value a round."""
    times: dict[str, list[float]] = {name: [] for name in row.contestants}
    for number in range(rounds + 1):
        for name, turn in row.contestants.items():
            seconds = turn()
            if number > 0:  # the first turns fill caches
                times[name].append(seconds)
    return times


def record(name: str, row: Row, times: dict[str, list[float]], quick: bool) -> dict[str, Any]:
    """Return a measured row as plain containers; a quick one is not judged."""
    goals = []
    for goal in row.goals:
        figures = goal.figures(times)
        figure = statistics.median(figures)
        goals.append(
            {
                "against": goal.against,
                "kind": goal.kind,
                "goal": str(goal),
                "rounds": figures,
                "median": figure,
                "verdict": "not judged: quick" if quick else goal.verdict(figure),
            }
        )
    return {"row": name, "batch": row.batch, "seconds": times, "goals": goals}


def header(rounds: int, quick: bool) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cpu": provenance.cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))),
        "amx": has_amx(),
        "bf16": has_fast_bf16_cpu(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 2),
        "versions": provenance.versions(),
        "commit": provenance.code()["commit"],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "rounds": rounds,
        "quick": quick,
        "command": " ".join(["python", *sys.argv]),
    }


def table(records: list[dict[str, Any]]) -> Table:
    """Return the table, which is Markdown as it stands."""
    shown = Table(*("row", "contestant", "median", "rounds", "ratio", "goal", "verdict"), box=box.MARKDOWN)
    for line in records:
        goals = {goal["against"]: goal for goal in line["goals"]}
        for name, seconds in line["seconds"].items():
            middle = statistics.median(seconds)
            batch = line["batch"]
            median = f"{1000 * middle:.2f} ms, {batch / middle:,.0f} images/s" if batch else f"{middle:.3g} s"
            unit, scale = ("ms", 1000) if batch else ("s", 1)
            spread = f"{scale * min(seconds):.2f} to {scale * max(seconds):.2f} {unit}"
            goal = goals.get(name)
            ratio = "" if goal is None or goal["kind"] == "seconds" else f"{goal['median']:.2f}x"
            shown.add_row(
                line["row"],
                name,
                median,
                spread,
                ratio,
                *((goal["goal"], goal["verdict"]) if goal else ("", "")),
            )
    return shown


def main() -> int:
    """Measure the rows that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], epilog="See the head of the file.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of a few steps: does it run?")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"unknown rows: {', '.join(unknown)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    rounds = 1 if options.quick else options.rounds
    os.environ.setdefault("TERM", "xterm-256color")  # the bars draw
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    console, head = new_console(width=None if sys.stdout.isatty() else 200), header(rounds, options.quick)
    for key, value in head.items():
        console.print(f"- {key}: {value}")
    records = []
    for name in options.rows or ROWS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        row = ROWS[name](quick=options.quick)
        records.append(record(name, row, measure(row, rounds), options.quick))
        if options.output:  # after each row: an hour's figures survive what ends the next one
            text = json.dumps({"header": head, "rows": records}, indent=1)
            options.output.write_text(text + "\n", encoding="utf-8")
    console.print(table(records), soft_wrap=False)
    missed = any(goal["verdict"] == "missed" for line in records for goal in line["goals"])
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
