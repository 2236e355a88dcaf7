"""Which of the swept parameters a metric depends on, by what a random forest loses without them."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass

from receptive.report.collection import Collection
from receptive.report.series import Factor, factors

FEWEST_RUNS = 8
_MOST_RUNS = 500  # that the forest sees: more would cost seconds and say the same
_TREES = 100
_REPEATS = 5


@dataclass(frozen=True)
class Importance:
    """Permutation importance (Breiman 2001) of the factors.

    Args:
        factors: the most important first.
        means: by how much the forest's R2 falls when the factor's values are shuffled among the runs.
        deviations: of that over the shuffles.
        score: R2 of the forest on runs that its trees have not seen (out of bag); at most 1, and below 0 where it
            says less than the mean of all runs.
        runs: how many it was fitted to.
    """

    factors: tuple[Factor, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    score: float
    runs: int

    @property
    def explains(self) -> bool:
        """Whether the forest says more than the mean of all runs: else its importances mean nothing."""
        return self.score > 0

    @property
    def caption(self) -> str:
        """What it is, and how good the forest is."""
        return (
            f"By how much a random forest's R² falls when a parameter is shuffled among the {self.runs} runs. "
            f"R² out of bag: {self.score:.2f}; other seeds of the same point may have been seen"
        )


@functools.lru_cache(maxsize=1)  # the file and the page show the same
def importance(collection: Collection, metric: str) -> Importance | None:
    """The importance of each factor for a metric.

    None of fewer than 8 done runs or two factors, and where all runs give the same.
    """
    axes = factors(collection)
    runs = [
        (group.labels, record.metrics[metric])
        for group in collection.groups
        for record in group.records
        if record.state == "done" and math.isfinite(record.metrics.get(metric, math.nan))
    ]
    if len(axes) < 2 or len(runs) < FEWEST_RUNS or len({value for _, value in runs}) == 1:
        return None
    if len(runs) > _MOST_RUNS:
        runs = random.Random(0).sample(runs, _MOST_RUNS)

    import numpy as np
    from sklearn.ensemble import RandomForestRegressor  # heavy
    from sklearn.inspection import permutation_importance

    features = np.array([[axis.place(labels.get(axis.key, "")) for axis in axes] for labels, _ in runs])
    targets = np.array([value for _, value in runs])
    forest = RandomForestRegressor(_TREES, oob_score=True, random_state=0).fit(features, targets)
    found = permutation_importance(forest, features, targets, n_repeats=_REPEATS, random_state=0)
    order = np.argsort(-found.importances_mean, kind="stable")
    return Importance(
        tuple(axes[place] for place in order),
        tuple(found.importances_mean[order].tolist()),
        tuple(found.importances_std[order].tolist()),
        float(forest.oob_score_),
        len(runs),
    )
