"""Figures of a run that are read off its learning curves, named by a small expression.

val/accuracy                      the metric itself, of the best epoch
last(val/loss)                    of the last epoch
mean(train/loss, 3)               mean of the first three epochs; without a number of all
epochs_to(val/accuracy, 0.7)      the first epoch that reaches 0.7 (of a loss: falls to it); never: one more than all
roughness(val/loss)               mean absolute step from an epoch to the next
drop(train/loss, 3)               first epoch minus third: how far a curve moves at the start
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from receptive.errors import InputError
from receptive.report.collection import Record, smaller_is_better

_EXPRESSION = re.compile(
    r"(?:(?P<function>\w+)\()?\s*(?P<metric>[\w/]+)\s*(?:,\s*(?P<number>[\d.eE+-]+)\s*)?(?P<end>\))?"
)


@dataclass(frozen=True)
class Measure:
    """What is measured of a run.

    Args:
        metric: name of a metric.
        function: of its curve; "" for the metric of `result.json`.
        number: its argument; None where it has none.
    """

    metric: str
    function: str = ""
    number: float | None = None

    @staticmethod
    def parse(text: str) -> Measure:
        """The measure of an expression; raises InputError."""
        match = _EXPRESSION.fullmatch(text.strip())
        if match is None or bool(match["function"]) != bool(match["end"]) or (match["number"] and not match["end"]):
            raise InputError(
                f"metric={text}: give a metric, or one of {', '.join(FUNCTIONS)} of it, as mean(train/loss, 3)"
            )
        if match["function"] and match["function"] not in FUNCTIONS:
            raise InputError(f"metric={text}: {match['function']} is none of {', '.join(FUNCTIONS)}")
        if match["function"] == "epochs_to" and not match["number"]:
            raise InputError(f"metric={text}: give the value to be reached, as epochs_to(val/accuracy, 0.7)")
        return Measure(match["metric"], match["function"] or "", float(match["number"]) if match["number"] else None)

    def __str__(self) -> str:
        number = "" if self.number is None else f", {self.number:g}"
        return f"{self.function}({self.metric}{number})" if self.function else self.metric

    @property
    def smaller(self) -> bool:
        """Whether less of it is better."""
        return self.function in ("epochs_to", "roughness") or (
            self.function != "drop" and smaller_is_better(self.metric)
        )

    def of(self, record: Record) -> float | None:
        """Its value; None where the run is not done or its files do not tell."""
        if record.state != "done":
            return None
        if not self.function:
            return record.metrics.get(self.metric)
        curve = [(row["epoch"], row[self.metric]) for row in record.history if self.metric in row]
        return FUNCTIONS[self.function](curve, self) if curve else None


Curve = Sequence[tuple[float, float]]  # epoch, value


def _last(curve: Curve, measure: Measure) -> float:
    return curve[-1][1]


def _mean(curve: Curve, measure: Measure) -> float:
    part = curve[: _count(measure, len(curve))]
    return math.fsum(value for _, value in part) / len(part)


def _epochs_to(curve: Curve, measure: Measure) -> float:
    assert measure.number is not None
    sign = -1 if smaller_is_better(measure.metric) else 1
    return next((epoch for epoch, value in curve if sign * value >= sign * measure.number), curve[-1][0] + 1)


def _roughness(curve: Curve, measure: Measure) -> float | None:
    steps = [abs(after - before) for (_, before), (_, after) in itertools.pairwise(curve)]
    return math.fsum(steps) / len(steps) if steps else None


def _drop(curve: Curve, measure: Measure) -> float | None:
    count = _count(measure, len(curve))
    return curve[0][1] - curve[count - 1][1] if count > 1 else None


def _count(measure: Measure, epochs: int) -> int:
    return max(1, min(int(measure.number or epochs), epochs))


FUNCTIONS: dict[str, Callable[[Curve, Measure], float | None]] = {
    "last": _last,
    "mean": _mean,
    "epochs_to": _epochs_to,
    "roughness": _roughness,
    "drop": _drop,
}
