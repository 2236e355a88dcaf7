"""Which groups of runs a claim speaks of."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from receptive.errors import InputError
from receptive.files import read_csv, write_csv
from receptive.report.collection import Collection, Group, Record
from receptive.report.curves import Measure
from receptive.runs import Run

NOTED = "mask_disagreements.csv"
_MOST_NAMED = 3  # groups that a selection mixes
Selection = str | dict[str, str | int | float | bool]  # a variant's name, or labels


def select(collection: Collection, selection: Selection) -> list[Group]:
    """The groups whose labels are those of the selection, in their order; numbers are compared as numbers."""
    wanted = {"variant": selection} if isinstance(selection, str) else selection
    return [group for group in collection.groups if matches(group.labels, wanted)]


def finished(groups: Sequence[Group]) -> list[Group]:
    """Those groups that have a finished run; all where none has."""
    return [group for group in groups if any(record.state == "done" for record in group.records)] or list(groups)


def selection_name(selection: Selection) -> str:
    """A selection in a word or two: as its group is named."""
    return selection if isinstance(selection, str) else Group({k: str(v) for k, v in selection.items()}, ()).name


def matches(labels: Mapping[str, str], wanted: Mapping[str, object]) -> bool:
    """Whether labels have all that is wanted."""
    return all(key in labels and _same(labels[key], value) for key, value in wanted.items())


def figures(collection: Collection, selection: Selection, measure: Measure) -> list[float]:
    """The measure of every finished run of a selection.

    Raises:
        InputError: the selection is several groups: runs of several configs are no seeds of one.
    """
    return [value for record in _runs_of(collection, selection) if (value := measure.of(record)) is not None]


def never(collection: Collection, selection: Selection, measure: Measure) -> int:
    """How many finished runs of a selection never reached what an `epochs_to` asks for; raises as `figures`."""
    return sum(measure.missed(record) for record in _runs_of(collection, selection))


def figures_over(collection: Collection, selection: Selection, measure: Measure, key: str) -> list[float]:
    """Largest minus smallest of the measure over the values of `key`, for each seed that has all of them.

    Raises:
        InputError: the groups differ in more than `key`.
    """
    groups = select(collection, selection)
    if len({group.labels.get(key, "") for group in groups}) < len(groups):
        raise InputError(
            f"{selection_name(selection)}: its groups differ in more than {key}: name the other labels too"
        )
    by_seed: dict[str, dict[str, float]] = {}
    for group in groups:
        for record in group.records:
            if (value := measure.of(record)) is not None:
                by_seed.setdefault(record.seed, {})[group.labels.get(key, "")] = value
    values = {group.labels.get(key, "") for group in groups}
    complete = [known for known in by_seed.values() if len(known) == len(values) > 1]
    return [max(known.values()) - min(known.values()) for known in complete]


def disagreements(collection: Collection, one: Selection, other: Selection) -> dict[tuple[Run, Run], float]:
    """The share of test pixels that two runs of one seed predict differently, for each seed that both have.

    Of masks that are no longer there what an earlier report has noted, see `note_disagreements`.

    Raises:
        InputError: a selection has several groups, or masks cannot be compared.
    """
    runs = [
        {record.seed: record.run for record in _runs_of(collection, each) if record.state == "done"}
        for each in (one, other)
    ]
    shares = {}
    for first, second in ((runs[0][seed], runs[1][seed]) for seed in runs[0] if seed in runs[1]):
        if first.test_masks_path.is_file() and second.test_masks_path.is_file():
            shares[first, second] = _share(first.test_masks_path, second.test_masks_path)
        elif (noted := _noted(collection.root).get((first.folder.name, second.folder.name))) is not None:
            shares[first, second] = noted
    return shares


def note_disagreements(collection: Collection, pairs: Iterable[tuple[Selection, ...]]) -> None:
    """Write into the folder what its masks say: they may be deleted, or stay behind when results are handed on.

    Pairs that cannot be compared are left out: the verdicts tell of them.

    Raises:
        OSError: the folder cannot be written.
    """
    shares = _noted(collection.root)
    for one, other in pairs:
        with contextlib.suppress(InputError):
            found = disagreements(collection, one, other)
            shares |= {(run.folder.name, rival.folder.name): share for (run, rival), share in found.items()}
    if shares:
        rows = [{"run": run, "other": other, "share": share} for (run, other), share in shares.items()]
        write_csv(collection.root / NOTED, ("run", "other", "share"), rows)


def _noted(root: Path) -> dict[tuple[str, str], float]:
    """Names of two runs -> their share; a damaged file counts as none."""
    try:
        return {(row["run"], row["other"]): float(row["share"]) for row in read_csv(root / NOTED)}
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _runs_of(collection: Collection, selection: Selection) -> tuple[Record, ...]:
    """The runs of the one group that a selection is; () of none; raises InputError for several with finished runs."""
    groups = finished(select(collection, selection))
    if len(groups) > 1:
        names = "; ".join([*(group.name for group in groups[:_MOST_NAMED]), *["…"] * (len(groups) > _MOST_NAMED)])
        raise InputError(
            f"{selection_name(selection)}: is several groups of runs ({names}): name their other labels too"
        )
    return groups[0].records if groups else ()


def _share(first: Path, second: Path) -> float:
    """Raises InputError for files that cannot be compared."""
    try:
        with open(first, "rb") as file, open(second, "rb") as other_file:  # np.load leaves a damaged one open
            one, other = np.load(file), np.load(other_file)
            return float((one["masks"] != other["masks"]).mean())
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise InputError(f"{first} and {second} cannot be compared ({error}): run one of them again") from None


def _same(label: str, value: object) -> bool:
    try:
        return math.isclose(float(label), float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return label == str(value)
