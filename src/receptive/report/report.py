"""The report of a folder of runs: tables on the console and as files, figures, one HTML page."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from receptive.report.collection import collect
from receptive.report.tables import print_tables, write_tables
from receptive.report.verdicts import judge
from receptive.runs import shown


def write_report(root: Path, console: Console) -> None:
    """Write runs.csv, summary.csv and summary.md into the folder and print what they say.

    Raises:
        InputError: there is no run in the folder, or a claim says nothing.
        OSError: the folder cannot be written.
    """
    collection = collect(root)
    judged = judge(collection)
    write_tables(collection, judged)
    print_tables(collection, judged, console)
    console.print(shown(root / "summary.md"), highlight=False, soft_wrap=True)
