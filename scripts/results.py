"""The committed results of the studies, and the pages and figures that are made from them.

    python scripts/results.py restore [STUDY ...]    # committed runs into outputs/studies, where they count as done
    python scripts/results.py collect [STUDY ...]    # finished runs of outputs/studies into results/
    python scripts/results.py check                  # claims that no study judges: operators, shapes, what layers give
    python scripts/results.py write                  # figures of layers, tables of README.md and docs/reports

Without a STUDY all that are there; STUDY_full is one with the reports' epochs. scripts/reproduce.sh calls all four.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from receptive.console import new_console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout, whose scripts/ these are

from scripts.edition import figures, pages, store

from receptive.errors import InputError
from receptive.report.places import STUDIES

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Do what the arguments say; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("restore", "collect", "check", "write"))
    parser.add_argument("studies", nargs="*", metavar="STUDY")
    parser.add_argument("--quiet", action="store_true", help="without the studies' tables")
    arguments = parser.parse_intermixed_args()
    os.chdir(ROOT)
    known = sorted(path.stem for path in Path("conf/study").glob("*.yaml"))
    known += [f"{study}_full" for study in known]
    if unknown := set(arguments.studies) - set(known):
        parser.error(f"no study: {', '.join(sorted(unknown))}; the studies are {', '.join(known)}")
    if arguments.studies and arguments.what in ("check", "write"):
        parser.error(f"{arguments.what} takes no study: it speaks of all")
    console = new_console(quiet=arguments.quiet)
    try:
        if arguments.what == "write":
            for path in [*figures.write(store.RESULTS), *pages.write(Path())]:
                print(path)
        elif arguments.what == "check":
            from scripts.edition import checks  # torch

            checks.write(console)
        else:
            _move(arguments.what, arguments.studies, known, console)
    except InputError as error:
        print(f"results: {error}", file=sys.stderr)
        return 1
    return 0


def _move(what: str, asked: list[str], known: list[str], console: Console) -> None:
    place = store.RESULTS if what == "restore" else STUDIES
    for study in asked or [study for study in known if (place / study).is_dir()]:
        if what == "restore":
            print(f"{study}: {store.restore(study)} runs restored")
        else:
            print(f"{study}: {store.collect(study, console)} runs in {store.RESULTS / study}")


if __name__ == "__main__":
    sys.exit(main())
