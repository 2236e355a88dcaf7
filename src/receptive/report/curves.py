"""Figures of a run that are read off its files, named by a small expression.

val/accuracy                      the metric itself, of the best epoch
seconds_per_epoch                 and the other numbers that result.json holds beside the metrics
last(val/loss)                    of the last epoch
mean(train/loss, 3)               mean of the first three epochs; without a number of all
epochs_to(val/accuracy, 0.7)      the first epoch that reaches 0.7 (of a loss: falls to it); never: one more than all
roughness(val/loss)               mean absolute step from an epoch to the next
drop(train/loss, 3)               first epoch minus third: how far a curve moves at the start
gradient_norm(Conv2d, 11)         mean over the layers of this kind and the epochs from the 11th on (without a number:
                                  all) of a run with record=activations
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from receptive.errors import InputError
from receptive.files import read_csv
from receptive.report.collection import Collection, Record

_EXPRESSION = re.compile(
    r"(?P<function>\w+)\(\s*(?P<argument>[\w/]+)\s*(?:,\s*(?P<number>[\d.eE+-]+)\s*)?\)|(?P<metric>[\w/]+)"
)
_SMALLER_IS_BETTER = {"epochs_to": True, "roughness": True, "drop": False, "gradient_norm": False}
_WITH_NUMBER = ("mean", "epochs_to", "drop", "gradient_norm")


@dataclass(frozen=True)
class Measure:
    """What is measured of a run.

    Args:
        metric: name of a metric; of gradient_norm the kind of layer.
        function: of its curve; "" for the figure of `result.json`.
        number: the function's second argument; None where it has none.
    """

    metric: str
    function: str = ""
    number: float | None = None

    @staticmethod
    def parse(text: str) -> Measure:
        """The measure of an expression.

        Raises:
            InputError: it is none.
        """
        match = _EXPRESSION.fullmatch(text.strip())
        function = match["function"] if match else None
        known = ", ".join((*CURVES, "gradient_norm"))
        if match is None or (function and function not in (*CURVES, "gradient_norm")):
            raise InputError(f"metric={text}: give a metric, or one of {known} of it, as in mean(train/loss, 3)")
        try:
            number = float(match["number"]) if match["number"] else None
        except ValueError:
            raise InputError(f"metric={text}: {match['number']} is no number") from None
        if function == "epochs_to" and number is None:
            raise InputError(f"metric={text}: give the value to be reached, as in epochs_to(val/accuracy, 0.7)")
        if number is not None and function not in _WITH_NUMBER:
            raise InputError(f"metric={text}: {function} takes no number ({', '.join(_WITH_NUMBER)} do)")
        return Measure(match["argument"] or match["metric"], function or "", number)

    def __str__(self) -> str:
        number = "" if self.number is None else f", {self.number:g}"
        return f"{self.function}({self.metric}{number})" if self.function else self.metric

    def smaller(self, collection: Collection) -> bool:
        """Whether less of it is better in the runs of a collection."""
        if self.function in _SMALLER_IS_BETTER:
            return _SMALLER_IS_BETTER[self.function]
        effort = self.metric.startswith("seconds") or self.metric in ("epochs", "best_epoch")
        return effort or collection.smaller(self.metric)

    def of(self, record: Record) -> float | None:
        """Its value; None where the run is not done or its files do not tell.

        Raises:
            InputError: activations.csv is damaged.
        """
        if record.state != "done":
            return None
        if not self.function:
            return record.metrics.get(self.metric, _number(record.result.get(self.metric)))
        if self.function == "gradient_norm":
            return _gradient_norm(record, self.metric, self.number or 0)
        curve = [(row["epoch"], row[self.metric]) for row in record.history if {"epoch", self.metric} <= row.keys()]
        return CURVES[self.function](curve, self, record.smaller(self.metric)) if curve else None

    def missed(self, record: Record) -> bool:
        """Whether it is an epoch that the finished run did not come to, which counts as one more than it has."""
        epochs = [row["epoch"] for row in record.history if "epoch" in row]
        reached = self.of(record) if self.function == "epochs_to" and epochs else None
        return reached is not None and reached > max(epochs)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _gradient_norm(record: Record, kind: str, since: float) -> float | None:
    """Raises InputError for a file that cannot be read."""
    if not record.run.activations_path.is_file():
        return None
    path = record.run.activations_path
    try:
        rows = [row for row in read_csv(path) if row["kind"] == kind and row["gradient_norm"]]
        norms = [float(row["gradient_norm"]) for row in rows if float(row["epoch"]) >= since]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): run it again, or delete it") from None
    return math.fsum(norms) / len(norms) if norms else None


Curve = Sequence[tuple[float, float]]  # epoch, value


def _last(curve: Curve, measure: Measure, smaller: bool) -> float:
    return curve[-1][1]


def _mean(curve: Curve, measure: Measure, smaller: bool) -> float:
    part = curve[: _count(measure, len(curve))]
    return math.fsum(value for _, value in part) / len(part)


def _epochs_to(curve: Curve, measure: Measure, smaller: bool) -> float:
    assert measure.number is not None
    sign = -1 if smaller else 1
    return next((epoch for epoch, value in curve if sign * value >= sign * measure.number), curve[-1][0] + 1)


def _roughness(curve: Curve, measure: Measure, smaller: bool) -> float | None:
    steps = [abs(after - before) for (_, before), (_, after) in itertools.pairwise(curve)]
    return math.fsum(steps) / len(steps) if steps else None


def _drop(curve: Curve, measure: Measure, smaller: bool) -> float | None:
    count = _count(measure, len(curve))
    return curve[0][1] - curve[count - 1][1] if count > 1 else None


def _count(measure: Measure, epochs: int) -> int:
    return max(1, min(int(measure.number or epochs), epochs))


# Of a curve, the expression, and whether less of the metric is better.
CURVES: dict[str, Callable[[Curve, Measure, bool], float | None]] = {
    "last": _last,
    "mean": _mean,
    "epochs_to": _epochs_to,
    "roughness": _roughness,
    "drop": _drop,
}
