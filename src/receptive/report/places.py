"""Which folder a word of the command line means."""

from __future__ import annotations

from pathlib import Path

from receptive.config import did_you_mean
from receptive.errors import InputError
from receptive.manifest import NAME

STUDIES = Path("outputs/studies")  # conf/study/*.yaml put their sweeps there


def place_of(word: str, studies: Path = STUDIES) -> Path:
    """The folder of a sweep, of a study by its name, or of a run.

    A study comes before a folder of the same name in which nothing was run.

    Raises:
        InputError: there is neither.
    """
    folder, study = Path(word), studies / word
    if folder.is_dir() and (_holds_runs(folder) or not study.is_dir()):
        return folder
    if study.is_dir():
        return study
    known = [path.name for path in sorted(studies.glob("*")) if path.is_dir()]
    listed = f" (there are {', '.join(known)})" if known else ""
    raise InputError(f"{word}: there is no such folder, nor a study {study}{did_you_mean(word, known)}{listed}")


def _holds_runs(folder: Path) -> bool:
    return (folder / NAME).is_file() or (folder / "config.yaml").is_file() or any(folder.glob("*/config.yaml"))
