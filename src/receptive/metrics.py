"""What a metric's name tells: how it is shown, whether less of it is better, where it can be."""

from __future__ import annotations

import math

UNBOUNDED = (-math.inf, math.inf)


def metric_text(name: str, value: float) -> str:
    """A metric as it is shown: accuracies in percent, the rest with four digits."""
    return f"{100 * value:.2f} %" if is_share(name) else f"{value:.4f}"


def is_share(metric: str) -> bool:
    """Whether a metric is shown in percent."""
    return "accuracy" in metric


def smaller_is_better(metric: str) -> bool:
    """Whether less of a metric is better: of losses, and of the deviation of a score."""
    return "loss" in metric or metric.endswith("_std")


def bounds(metric: str) -> tuple[float, float]:
    """From where to where a metric can be: accuracies and scores of overlap 0 to 1, losses and deviations from 0 on."""
    if smaller_is_better(metric):
        return 0.0, math.inf
    score = metric.rpartition("/")[2].partition("_")[0] in ("f1", "iou", "precision", "recall")
    return (0.0, 1.0) if is_share(metric) or score else UNBOUNDED
