"""What a metric's name tells: how it is shown, and whether less of it is better. Imports nothing."""

from __future__ import annotations


def metric_text(name: str, value: float) -> str:
    """A metric as it is shown: accuracies in percent, the rest with four digits."""
    return f"{100 * value:.2f} %" if is_share(name) else f"{value:.4f}"


def is_share(metric: str) -> bool:
    """Whether a metric is shown in percent."""
    return "accuracy" in metric


def smaller_is_better(metric: str) -> bool:
    """Whether less of a metric is better: of losses, and of the deviation of a score."""
    return "loss" in metric or metric.endswith("_std")
