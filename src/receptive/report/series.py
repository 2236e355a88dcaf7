"""What the figures of a report show, as plain numbers: for matplotlib and for Plotly alike."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from receptive.console import short_titles
from receptive.metrics import bounds, is_share
from receptive.report.collection import Collection, Group, Record
from receptive.report.statistics import Spread, spread

MOST_LINES = 200  # runs in parallel coordinates
FEWEST_LINES = 4
_FINE = 0.05  # means that are closer together have one decimal more
_MOST_WORDS = 12  # values of a factor that stand beside its axis
LOG_RANGE = 9.99  # positive numbers that span this much stand on a logarithmic axis


@dataclass(frozen=True)
class Factor:
    """A key that tells groups apart.

    Args:
        key: dotted.
        title: the last part of the key where that is enough.
        values: those that occur, numbers by size.
        numbers: the same as numbers; None where one of them is none.
    """

    key: str
    title: str
    values: tuple[str, ...]
    numbers: tuple[float, ...] | None

    @property
    def logarithmic(self) -> bool:
        """Whether the values spread over orders of magnitude, as those of a learning rate."""
        found = self.numbers
        return found is not None and found[0] > 0 and found[-1] / found[0] >= LOG_RANGE

    def place(self, value: str) -> float:
        """Where a value stands between the smallest, 0, and the largest, 1; texts stand at equal distances."""
        position = self.values.index(value)
        if self.numbers is None:
            return position / max(len(self.values) - 1, 1)
        scale = math.log if self.logarithmic else float
        low, high = scale(self.numbers[0]), scale(self.numbers[-1])
        return (scale(self.numbers[position]) - low) / ((high - low) or 1.0)

    @property
    def words(self) -> tuple[str, ...]:
        """The values that stand beside an axis: all, or of many numbers each second, third ..., with both ends where
        that comes out even.
        """
        count = len(self.values)
        if count <= _MOST_WORDS or self.numbers is None:
            return self.values
        least = -(-count // _MOST_WORDS)
        return self.values[:: next((step for step in range(least, 2 * least) if (count - 1) % step == 0), least)]


@dataclass(frozen=True)
class Points:
    """A metric of the done runs of a group.

    Args:
        group: the runs.
        runs: (seed, value) of each.
        bounds: from where to where the metric can be.
    """

    group: Group
    runs: tuple[tuple[str, float], ...]
    bounds: tuple[float, float]

    @functools.cached_property
    def spread(self) -> Spread:
        """Their mean and its interval."""
        return spread([value for _, value in self.runs], self.bounds)


@dataclass(frozen=True)
class Grid:
    """The mean of a metric for every pair of values of two factors.

    Args:
        rows: a factor.
        columns: another.
        means: rows x columns; NaN where there is no done run.
        counts: of done runs.
    """

    rows: Factor
    columns: Factor
    means: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[int, ...], ...]

    def digits(self, metric: str) -> int:
        """So many decimals tell the cells apart: of a share in percent, of others as they are."""
        known = [value for row in self.means for value in row if not math.isnan(value)]
        return (3 if max(known) - min(known) >= _FINE else 4) - 2 * is_share(metric)


@dataclass(frozen=True)
class Lines:
    """Runs as lines over the factors.

    Args:
        factors: the axes.
        names: of the runs: what they share with their group, and the seed.
        places: of each run, for each factor, between 0 and 1; runs of one value lie side by side.
        values: the metric of each run; the worst first, so that the best are drawn last.
        left_out: so many runs have no line: the worst.
    """

    factors: tuple[Factor, ...]
    names: tuple[str, ...]
    places: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]
    left_out: int


def factors(collection: Collection) -> list[Factor]:
    """The keys in which groups differ."""
    keys = list(dict.fromkeys(key for group in collection.groups for key in group.labels))
    found = []
    for key, title in zip(keys, short_titles(keys), strict=True):
        values = list(dict.fromkeys(group.labels.get(key, "") for group in collection.groups))
        if len(values) > 1:
            numbers = _numbers(values)
            if numbers is not None:
                values = [value for _, value in sorted(zip(numbers, values, strict=True))]
                numbers = tuple(sorted(numbers))
            found.append(Factor(key, title, tuple(values), numbers))
    return found


def ranked(collection: Collection) -> list[Group]:
    """The groups, those with the best mean of the monitored metric first, those without it last."""
    sign = 1 if collection.smaller(collection.monitor) else -1

    def place(group: Group) -> float:
        found = [value for value in group.values(collection.monitor) if math.isfinite(value)]
        return sign * math.fsum(found) / len(found) if found else math.inf

    return sorted(collection.groups, key=place)


def points(collection: Collection, metric: str) -> list[Points]:
    """The done runs of each group that have the metric, the best groups first."""
    found = []
    for group in ranked(collection):
        runs = tuple((record.seed, value) for record, value in finite(group.records, metric))
        if runs:
            found.append(Points(group, runs, bounds(metric)))
    return found


def grid(collection: Collection, metric: str) -> Grid | None:
    """The metric over two factors; None where there are not exactly two, or nothing is done."""
    found = factors(collection)
    if len(found) != 2:
        return None
    rows, columns = found
    cells: dict[tuple[str, str], list[float]] = {}
    for group in collection.groups:
        key = (group.labels.get(rows.key, ""), group.labels.get(columns.key, ""))
        cells.setdefault(key, []).extend(value for _, value in finite(group.records, metric))
    if not any(cells.values()):
        return None
    table = [[cells.get((row, column), []) for column in columns.values] for row in rows.values]
    means = tuple(tuple(math.fsum(cell) / len(cell) if cell else math.nan for cell in row) for row in table)
    return Grid(rows, columns, means, tuple(tuple(len(cell) for cell in row) for row in table))


def lines(collection: Collection, metric: str) -> Lines | None:
    """The done runs over the factors; None of fewer than two factors, or of few runs."""
    axes = factors(collection)
    labelled = [
        (value, group.labels, f"{group.name}, seed {record.seed}")
        for group in collection.groups
        for record, value in finite(group.records, metric)
    ]
    if len(axes) < 2 or len(labelled) < FEWEST_LINES:
        return None
    labelled.sort(key=lambda one: one[0], reverse=collection.smaller(metric))
    kept = labelled[-MOST_LINES:]
    columns = [_side_by_side(axis, [labels.get(axis.key, "") for _, labels, _ in kept]) for axis in axes]
    return Lines(
        tuple(axes),
        tuple(name for _, _, name in kept),
        tuple(zip(*columns, strict=True)),
        tuple(value for value, _, _ in kept),
        len(labelled) - len(kept),
    )


def _side_by_side(factor: Factor, values: Sequence[str]) -> list[float]:
    """The place of each value; equal ones are spread a little, in their order."""
    room = 0.06 / max(len(factor.values) / 4, 1)
    places: list[float] = []
    for number, value in enumerate(values):
        same, before = values.count(value), values[:number].count(value)
        places.append(factor.place(value) + room * ((before + 0.5) / same - 0.5))
    return places


def finite(records: Sequence[Record], metric: str) -> list[tuple[Record, float]]:
    """The done runs with a finite metric, and it."""
    done = [(record, record.metrics.get(metric)) for record in records if record.state == "done"]
    return [(record, value) for record, value in done if value is not None and math.isfinite(value)]


def _numbers(values: Sequence[str]) -> tuple[float, ...] | None:
    try:
        found = tuple(float(value) for value in values)
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None


def best_record(collection: Collection, group: Group) -> Record | None:
    """The done run of a group with the best monitored metric; without that metric the first one; None of none."""
    done = [record for record in group.records if record.state == "done"]
    best = (min if collection.smaller(collection.monitor) else max)(
        finite(group.records, collection.monitor), key=lambda one: one[1], default=None
    )
    return best[0] if best else done[0] if done else None
