"""Which groups of runs a claim speaks of."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from receptive.errors import InputError
from receptive.report.collection import Collection, Group, Record
from receptive.report.curves import Measure

Selection = str | dict[str, str | int | float | bool]  # a variant's name, or labels


def select(collection: Collection, selection: Selection) -> list[Group]:
    """The groups whose labels are those of the selection, in their order; numbers are compared as numbers."""
    wanted = {"variant": selection} if isinstance(selection, str) else selection
    return [group for group in collection.groups if matches(group.labels, wanted)]


def shown(selection: Selection) -> str:
    """A selection in a word or two: as its group is named."""
    return selection if isinstance(selection, str) else Group({k: str(v) for k, v in selection.items()}, ()).name


def matches(labels: Mapping[str, str], wanted: Mapping[str, object]) -> bool:
    """Whether labels have all that is wanted."""
    return all(key in labels and _same(labels[key], value) for key, value in wanted.items())


def figures(collection: Collection, selection: Selection, measure: Measure) -> list[float]:
    """The measure of every finished run of a selection."""
    records = [record for group in select(collection, selection) for record in group.records]
    return [value for record in records if (value := measure.of(record)) is not None]


def figures_over(collection: Collection, selection: Selection, measure: Measure, key: str) -> list[float]:
    """Largest minus smallest of the measure over the values of `key`, for each seed that has all of them.

    Raises:
        InputError: the groups differ in more than `key`.
    """
    groups = select(collection, selection)
    if len({group.labels.get(key, "") for group in groups}) < len(groups):
        raise InputError(f"{shown(selection)}: its groups differ in more than {key}: name the other labels too")
    by_seed: dict[str, dict[str, float]] = {}
    for group in groups:
        for record in group.records:
            if (value := measure.of(record)) is not None:
                by_seed.setdefault(record.seed, {})[group.labels.get(key, "")] = value
    values = {group.labels.get(key, "") for group in groups}
    complete = [known for known in by_seed.values() if len(known) == len(values) > 1]
    return [max(known.values()) - min(known.values()) for known in complete]


def disagreements(collection: Collection, one: Selection, other: Selection) -> list[float]:
    """The share of test pixels that two runs of one seed predict differently, for each seed that both have.

    Raises:
        InputError: a selection has several groups, or masks cannot be compared.
    """
    for each in (one, other):
        if len(select(collection, each)) > 1:
            raise InputError(f"{shown(each)}: is several groups of runs: name their other labels too")
    masks = [{record.seed: record.run.test_masks_path for record in _done(collection, each)} for each in (one, other)]
    pairs = [(masks[0][seed], masks[1][seed]) for seed in masks[0] if seed in masks[1]]
    return [_share(first, second) for first, second in pairs if first.is_file() and second.is_file()]


def _done(collection: Collection, selection: Selection) -> list[Record]:
    records = [record for group in select(collection, selection) for record in group.records]
    return [record for record in records if record.state == "done"]


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
