"""Mean, deviation and interval over seeds, and tests between groups of runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

from receptive.metrics import UNBOUNDED

CONFIDENCE = 0.95
ALPHA = 0.05  # after Holm's correction


@dataclass(frozen=True)
class Spread:
    """A metric over the runs of a group.

    Args:
        values: one a run.
        mean: NaN of no run.
        deviation: with ddof 1; NaN of fewer than two runs, or where one of them has no finite value.
        low: of the 95 % interval of the mean (Student's t), which ends where the metric does; NaN as the deviation is.
        high: of it.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    low: float
    high: float

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.values)

    def best(self, smaller: bool = False) -> float:
        """The best run's value, of those that are finite; NaN of none."""
        finite = (value for value in self.values if math.isfinite(value))
        return (min if smaller else max)(finite, default=math.nan)


@dataclass(frozen=True)
class Difference:
    """Mean of one group minus mean of another.

    Args:
        value: the difference; NaN where a group has no run.
        low: of its 95 % interval (Welch-Satterthwaite); NaN where a group has fewer than two runs.
        high: of it.
        p: two-sided, of Welch's test; NaN where a group has fewer than two runs, or one that is not finite, and where
            neither group scatters but they differ: say, whole epochs of few runs.
    """

    value: float
    low: float
    high: float
    p: float


def spread(values: Sequence[float], bounds: tuple[float, float] = UNBOUNDED) -> Spread:
    """Mean, deviation and 95 % interval of values that scatter; what is beyond `bounds` is cut off the interval."""
    kept = tuple(float(value) for value in values)
    mean = fmean(kept) if kept else math.nan
    if len(kept) < 2 or not all(math.isfinite(value) for value in kept):
        return Spread(kept, mean, math.nan, math.nan, math.nan)
    deviation = stdev(kept)
    half = deviation / math.sqrt(len(kept)) * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(kept) - 1))
    low, high = max(mean - half, min(bounds[0], mean)), min(mean + half, max(bounds[1], mean))
    return Spread(kept, mean, deviation, low, high)


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """How far the mean of `first` lies above that of `second`, by Welch's test (Welch 1947)."""
    value = spread(first).mean - spread(second).mean
    if min(len(first), len(second)) < 2:
        return Difference(value, math.nan, math.nan, math.nan)
    if len(set(first)) == len(set(second)) == 1:  # no scatter: few equal values do not prove that there is none
        return Difference(value, math.nan, math.nan, 1.0 if value == 0 else math.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)  # values that are nearly the same
        result = stats.ttest_ind(first, second, equal_var=False)
    interval = result.confidence_interval(CONFIDENCE)
    return Difference(value, float(interval.low), float(interval.high), float(result.pvalue))


def spread_ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Deviation of `first` over that of `second`, and p of the Brown-Forsythe test (1974) that they are one.

    NaN where a group has fewer than two runs or neither scatters, infinity where `second` alone does not; p is NaN of
    fewer than three: their distances to the median say nothing.
    """
    one, other = spread(first).deviation, spread(second).deviation
    ratio = one / other if other else math.inf if one else math.nan
    if min(len(first), len(second)) < 3 or not (one or other):
        return ratio, math.nan
    return ratio, float(stats.levene(first, second, center="median").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979); NaN stays NaN and does not count."""
    from statsmodels.stats.multitest import multipletests  # heavy

    known = [p for p in p_values if not math.isnan(p)]
    corrected = iter(multipletests(known, method="holm")[1].tolist() if known else ())
    return [p if math.isnan(p) else next(corrected) for p in p_values]
