"""The pictures that runs have drawn, made small for the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from receptive.report.collection import Collection, Record
from receptive.report.figures import FIGURES
from receptive.report.series import best_record, ranked

MOST_ALBUMS = 12
_SIDE = 900  # pixels
_QUALITY = 75
# The end of a name -> what is seen; what is not listed is shown after these, by its name.
_TITLES = {
    "worst": "test images with the smallest F1",
    "best": "test images with the largest F1",
    "examples": "the first test images",
    "history": "loss and score, epoch by epoch",
    "activations": "activations and gradients of the layers",
    "confusion_matrix": "confusion matrix",
}


@dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Args:
        title: what is seen.
        uri: the picture itself, as WebP.
        width: pixels.
        height: pixels.
    """

    title: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Album:
    """The pictures of a run.

    Args:
        name: of the run.
        pictures: one at least.
    """

    name: str
    pictures: tuple[Picture, ...]


def albums(collection: Collection, budget: int, interactive: bool) -> tuple[list[Album], list[str]]:
    """The pictures of the best run of each group, the best groups first, and what was left out, a sentence each.

    Args:
        collection: the runs.
        budget: bytes that all pictures may take within the page.
        interactive: whether the page has the confusion matrices already.
    """
    chosen = [record for group in ranked(collection) if (record := best_record(collection, group)) is not None]
    own = collection.root / "figures"  # of the report, where the folder is that of a single run
    files = [(record, _files(record, interactive, record.run.figures == own)) for record in chosen]
    files = [(record, paths) for record, paths in files if paths]
    found, notes, left_out = [], [], 0
    names = {id(record): f"{group.name}, seed {record.seed}" for group in collection.groups for record in group.records}
    for record, paths in files[:MOST_ALBUMS]:
        pictures = []
        for path in paths:
            try:
                picture = _picture(path)
            except (OSError, SyntaxError, ValueError) as error:  # Pillow's words for damaged files
                notes.append(f"{record.run.folder.name}/figures/{path.name} cannot be shown ({error})")
                continue
            if len(picture.uri) > budget:
                left_out += 1
                continue
            budget -= len(picture.uri)
            pictures.append(picture)
        if pictures:
            found.append(Album(names[id(record)], tuple(pictures)))
    if left_out:
        notes.append(f"{left_out} more pictures would make the page too large: they lie in the runs' figures/")
    if beyond := sum(len(paths) for _, paths in files[MOST_ALBUMS:]):
        notes.append(f"{beyond} pictures of runs beyond the best {MOST_ALBUMS} lie in the runs' figures/")
    return found, notes


def _files(record: Record, interactive: bool, own: bool) -> list[Path]:
    order = list(_TITLES)
    paths = sorted(record.run.figures.glob("*.png"))
    left_out = {*(["confusion_matrix"] if interactive else []), *(FIGURES if own else [])}
    kept = [path for path in paths if path.stem not in left_out]
    return sorted(kept, key=lambda path: order.index(path.stem) if path.stem in _TITLES else len(order))


def _picture(path: Path) -> Picture:
    from PIL import Image  # heavy

    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=2)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(_TITLES.get(path.stem, path.stem.replace("_", " ")), uri, small.width, small.height)
