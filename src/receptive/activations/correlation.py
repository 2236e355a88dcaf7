"""Whether a layer's channels say the same: their correlations over all pixels of all images (R1.12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from receptive.activations.context import Context
from receptive.figures.activations import save_correlations
from receptive.inference import Predictor
from receptive.recording.layers import by_channel, spread, watching
from receptive.recording.statistics import device_of_sums

CORRELATION_COLUMNS = ("layer", "channels", "mean_absolute", "strong", "constant")
STRONG = 0.5
MOST_CHANNELS = 1024  # of a layer; of more so many are looked at, spread over all


@dataclass(frozen=True, eq=False)
class Correlation:
    """Of a layer with C channels, or so many of its channels.

    Args:
        matrix: (C, C) Pearson correlations; NaN for channels that never change.
    """

    matrix: NDArray[np.float64]

    @property
    def pairs(self) -> NDArray[np.float64]:
        """Absolute correlations of each pair of different channels that change."""
        values: NDArray[np.float64] = np.abs(self.matrix[np.triu_indices(len(self.matrix), 1)])
        return values[~np.isnan(values)]

    @property
    def mean_absolute(self) -> float:
        """Over the pairs; NaN without any."""
        return float(self.pairs.mean()) if len(self.pairs) else float("nan")

    @property
    def strong(self) -> float:
        """Share of the pairs with an absolute correlation above 0.5."""
        return float((self.pairs > STRONG).mean()) if len(self.pairs) else float("nan")

    @property
    def constant(self) -> int:
        """Channels that never change."""
        return int(np.isnan(self.matrix.diagonal()).sum())


def report(context: Context) -> None:
    """Write correlation.csv and its figure."""
    size = len(context.images)
    batches = context.progress(context.images.batches(context.batch_size), size, "correlations")
    found = channel_correlations(context.predictor, batches, context.layers)
    rows = [
        {
            "layer": name,
            "channels": len(own.matrix),
            "mean_absolute": own.mean_absolute,
            "strong": own.strong,
            "constant": own.constant,
        }
        for name, own in found.items()
    ]
    context.write("correlation.csv", rows, CORRELATION_COLUMNS)
    matrices = [(context.label(name), own.mean_absolute, own.matrix) for name, own in found.items()]
    save_correlations(matrices, f"{context.name}: {context.described}", context.output / "correlation.png")


def channel_correlations(
    predictor: Predictor, batches: Iterable[Tensor], layers: Mapping[str, nn.Module]
) -> dict[str, Correlation]:
    """The correlation of the channels of every layer, in one pass.

    Args:
        predictor: the trained network.
        batches: normalised images (B, C, H, W).
        layers: those that are looked at, by name.
    """
    moments: dict[str, _Moments] = {}

    def visit(name: str, output: Tensor) -> None:
        moments.setdefault(name, _Moments()).add(output)

    with watching(predictor.task.model, layers, visit):
        for inputs in batches:
            predictor.outputs(inputs)
    return {name: Correlation(found.correlation()) for name, found in moments.items()}


class _Moments:
    """Sums of the channels and of their products, seen from the first batch's means, which are near the whole's."""

    def __init__(self) -> None:
        self.size = 0

    def add(self, output: Tensor) -> None:
        values = spread(by_channel(output), MOST_CHANNELS).movedim(1, -1).flatten(0, -2).float()
        if not self.size:
            self.center = values.mean(0)
            channels = values.shape[1]
            self.products = torch.zeros(channels, channels, dtype=torch.float64, device=device_of_sums(values.device))
            self.sums = self.products.new_zeros(channels)
        values = values - self.center
        self.products += (values.T @ values).to(self.products)
        self.sums += values.sum(0).to(self.sums)
        self.size += len(values)

    def correlation(self) -> NDArray[np.float64]:
        means = self.sums / self.size
        covariance = self.products / self.size - means[:, None] * means
        deviations = covariance.diagonal().clamp_min(0).sqrt()
        deviations = torch.where(deviations > 1e-6 * deviations.max(), deviations, torch.nan)
        matrix: NDArray[np.float64] = (covariance / deviations[:, None] / deviations).cpu().numpy()
        return matrix.clip(-1, 1)
