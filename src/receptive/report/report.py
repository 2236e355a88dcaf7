"""The report of a folder of runs: tables on the console and as files, figures, one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from receptive.errors import InputError
from receptive.report.attempts import trying
from receptive.report.collection import Collection, collect
from receptive.report.selections import note_disagreements
from receptive.report.tables import print_tables, write_tables
from receptive.report.verdicts import Judged, judge
from receptive.runs import shown


def write_report(root: Path, console: Console) -> None:
    """Write runs.csv, summary.csv, summary.md, figures/ and report.html into the folder and print what they say.

    What is damaged, and a figure that cannot be drawn, is told there and on the console.

    Raises:
        InputError: there is no run in the folder.
        OSError: the tables cannot be written.
    """
    collection = collect(root)
    notes: list[str] = []
    judged: Sequence[Judged] = ()
    try:
        with trying("claims", notes):
            judged = judge(collection)
        with trying("mask_disagreements.csv", notes):
            note_disagreements(collection, (one.claim.agree for one in judged if one.claim.agree))
    except InputError as error:
        notes.append(f"the claims cannot be judged: {error}")
    write_tables(collection, judged)
    print_tables(collection, judged, console)
    page = _illustrate(collection, judged, notes)
    for text in notes:
        console.print(text)
    for path in (root / "summary.md", page):
        if path is not None:
            console.print(shown(path))


def _illustrate(collection: Collection, judged: Sequence[Judged], notes: list[str]) -> Path | None:
    """Draw the figures and write the page; gives the page, None where that does not work, and adds to the notes."""
    from receptive.report.figures import figures_of, remove_others, save_figure  # heavy

    folder = collection.root / "figures"
    for name, draw in figures_of(collection).items():
        with trying(f"figures/{name}.png", notes):
            save_figure(draw, collection, folder / f"{name}.png")
    with trying("figures of an earlier report", notes):
        remove_others(collection, folder)
    page = None
    with trying("report.html", notes):
        from receptive.report.page import write_page  # heavy

        page, troubles = write_page(collection, judged, notes)
        notes += troubles
    return page
