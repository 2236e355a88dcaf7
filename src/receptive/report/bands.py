"""Lines with a band as plain numbers: learning curves, and a metric over the values of a parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from receptive.metrics import smaller_is_better
from receptive.report.collection import Collection, Group, Record
from receptive.report.series import LOG_RANGE, Factor, factors, finite, ranked

FEWEST_VALUES = 3  # of a parameter over which a metric is drawn
_ALONE = 1.5  # single epochs are cut off where they make the range so many times larger


@dataclass(frozen=True)
class Band:
    """The mean of some runs at each place, and the smallest and the largest of them.

    Args:
        group: of the runs; of a metric over a parameter the best one.
        name: of the line.
        runs: how many there are; of a metric over a parameter at the place that has most.
        places: epochs, or values of a parameter, the smallest first.
        mean: one a place.
        low: smallest.
        high: largest.
    """

    group: Group
    name: str
    runs: int
    places: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """How the axis of a metric is cut out.

    Args:
        logarithmic: whether it is.
        ends: from where to where it goes; None: as far as the lines.
    """

    logarithmic: bool
    ends: tuple[float, float] | None = None


def curve_metrics(collection: Collection) -> list[str]:
    """The metrics that have learning curves: the monitored one first, then those of validation, then of training."""
    known = dict.fromkeys(
        key for record in collection.records for row in record.history[:1] + record.history[-1:] for key in row
    )
    order = {collection.monitor: 0, "val/loss": 1}
    names = [key for key in known if "/" in key]
    return sorted(names, key=lambda key: (order.get(key, 2), not key.startswith("val/")))


def curves(collection: Collection, metric: str) -> list[Band]:
    """The learning curves of all groups that have the metric, the best groups first.

    They are of the done runs of a group, where none is done of all.
    """
    found = []
    for group in ranked(collection):
        done = [record for record in group.records if record.state == "done"]
        known = [curve for record in done or group.records if (curve := _curve(record, metric))]
        by_epoch: dict[float, list[float]] = {}
        for epoch, value in (point for curve in known for point in curve):
            by_epoch.setdefault(epoch, []).append(value)
        if by_epoch:
            found.append(_band(group, group.name + ("" if done else " (not done)"), len(known), by_epoch))
    return found


def _curve(record: Record, metric: str) -> list[tuple[float, float]]:
    rows = [(row["epoch"], row[metric]) for row in record.history if "epoch" in row and metric in row]
    return [(epoch, value) for epoch, value in rows if math.isfinite(value)]


def over(collection: Collection, factor: Factor, metric: str) -> list[Band]:
    """A metric of the done runs over the values of a number that was swept, the best lines first.

    A line holds the groups that differ in nothing else. [] where none of them has three values.
    """
    if factor.numbers is None or len(factor.values) < FEWEST_VALUES:
        return []
    lines: dict[tuple[tuple[str, str], ...], tuple[Group, dict[float, list[float]]]] = {}
    for group in ranked(collection):
        values = [value for _, value in finite(group.records, metric)]
        if values and factor.key in group.labels:
            others = tuple((key, value) for key, value in group.labels.items() if key != factor.key)
            _, line = lines.setdefault(others, (group, {}))
            line.setdefault(float(group.labels[factor.key]), []).extend(values)
    known = [
        _band(group, Group(dict(others), ()).name, max(map(len, line.values())), line)
        for others, (group, line) in lines.items()
        if len(line) > 1
    ]
    return known if any(len(band.places) >= FEWEST_VALUES for band in known) else []


def numeric_factors(collection: Collection) -> list[Factor]:
    """The numbers that were swept over which the monitored metric can be drawn."""
    return [factor for factor in factors(collection) if over(collection, factor, collection.monitor)]


def _band(group: Group, name: str, runs: int, by_place: dict[float, list[float]]) -> Band:
    places = tuple(sorted(by_place))
    columns = [by_place[place] for place in places]
    means = tuple(math.fsum(column) / len(column) for column in columns)
    return Band(group, name, runs, places, means, tuple(map(min, columns)), tuple(map(max, columns)))


def frame(metric: str, bands: Sequence[Band]) -> Frame:
    """The axis of a metric for these lines.

    It is logarithmic for a loss whose means span a factor of ten. Otherwise single places that lie far from both of
    their neighbours are cut off, where they would take a good part of the height.
    """
    means = [value for band in bands for value in band.mean]
    positive = min((value for band in bands for value in band.low), default=0.0) > 0
    if smaller_is_better(metric) and positive and max(means) / min(means) >= LOG_RANGE:
        return Frame(True)
    sides = [side for band in bands for side in (band.low, band.high)]
    known = [value for side in sides for value in side]
    steady = [value for side in sides for value in _without_dips(side)]
    if not known or max(known) - min(known) <= _ALONE * (max(steady) - min(steady)) or len(set(steady)) < 2:
        return Frame(False)
    low, high = min(steady), max(steady)
    margin = 0.05 * (high - low)
    return Frame(False, (low - margin, high + margin))


def _without_dips(values: Sequence[float]) -> list[float]:
    """Each value but the first and the last as the median of itself and its neighbours."""
    inner = (sorted(values[place - 1 : place + 2])[1] for place in range(1, len(values) - 1))
    return [values[0], *inner, *values[-1:]]
