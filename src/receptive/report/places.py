"""Where the runs lie that a word on the command line means."""

from __future__ import annotations

from pathlib import Path

from receptive.config import conf_dir, did_you_mean
from receptive.errors import InputError
from receptive.manifest import NAME

STUDIES = Path("outputs/studies")


def studies_run() -> list[str]:
    """Names of the folders below outputs/studies."""
    return sorted(path.name for path in STUDIES.glob("*/") if path.is_dir())


def find_folder(word: str) -> Path:
    """The folder of a sweep, a study or a run: given as it is, or as the name of a study below outputs/studies.

    Raises:
        InputError: there is no such folder; the text says what was probably meant.
    """
    places = [place for place in (Path(word), STUDIES / word) if place.is_dir()]
    if places:  # a study comes before a folder of its name in which nothing was run
        return next((place for place in places if _holds_runs(place)), places[0])
    known = {path.stem for path in (conf_dir() / "study").glob("*.yaml")}
    if word in known:
        text = f"the study {word} has not been run here (there is no {STUDIES / word}): receptive train study={word}"
        raise InputError(f"{text}; if it lies elsewhere, give its folder")
    known |= set(studies_run())
    named = f"; the studies are {', '.join(sorted(known))}" if known else ""
    raise InputError(f"{word} is no folder and no study{did_you_mean(word, known)}{named}")


def _holds_runs(folder: Path) -> bool:
    return (folder / NAME).is_file() or (folder / "config.yaml").is_file() or any(folder.glob("*/config.yaml"))
