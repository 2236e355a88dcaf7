"""Which groups of runs a claim speaks of."""

from __future__ import annotations

import math
from collections.abc import Mapping

from receptive.report.collection import Collection, Group
from receptive.report.curves import Measure

Selection = str | dict[str, str | int | float | bool]  # a variant's name, or labels


def select(collection: Collection, selection: Selection) -> list[Group]:
    """The groups whose labels are those of the selection, in their order; numbers are compared as numbers."""
    wanted = {"variant": selection} if isinstance(selection, str) else selection
    return [group for group in collection.groups if matches(group.labels, wanted)]


def matches(labels: Mapping[str, str], wanted: Mapping[str, object]) -> bool:
    """Whether labels have all that is wanted."""
    return all(key in labels and _same(labels[key], value) for key, value in wanted.items())


def figures(collection: Collection, selection: Selection, measure: Measure) -> list[float]:
    """The measure of every finished run of a selection."""
    records = [record for group in select(collection, selection) for record in group.records]
    return [value for record in records if (value := measure.of(record)) is not None]


def figures_over(collection: Collection, selection: Selection, measure: Measure, key: str) -> list[float]:
    """Largest minus smallest of the measure over the values of `key`, for each seed that has all of them."""
    groups = select(collection, selection)
    by_seed: dict[str, dict[str, float]] = {}
    for group in groups:
        for record in group.records:
            if (value := measure.of(record)) is not None:
                by_seed.setdefault(record.seed, {})[group.labels.get(key, "")] = value
    values = {group.labels.get(key, "") for group in groups}
    complete = [known for known in by_seed.values() if len(known) == len(values) > 1]
    return [max(known.values()) - min(known.values()) for known in complete]


def _same(label: str, value: object) -> bool:
    try:
        return math.isclose(float(label), float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return label == str(value)
