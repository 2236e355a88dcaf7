"""A histogram of values that come bit by bit and whose range nobody knows beforehand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINS = 128  # of a histogram, on both sides of zero together


class Histogram:
    """Counts by channel in bins around zero whose width doubles whenever a value lies outside.

    The width is always a power of two, and two neighbours are put together exactly: the counts are those that the final
    bins would have had from the start.

    Args:
        channels: number of rows.
        device: of the counts.
    """

    def __init__(self, channels: int, device: torch.device) -> None:
        self.counts = torch.zeros(channels, BINS, dtype=torch.int64, device=device)
        self.width = 0.0

    def add(self, values: Tensor) -> None:
        """Count finite values (N, C) or (N, C, *positions)."""
        largest = float(values.abs().max()) if values.numel() else 0.0
        if not self.width:
            self.width = 2.0 ** math.floor(math.log2(2 * max(largest, 2.0**-60) / BINS))
        while largest >= self.width * BINS / 2:
            self._double()
        rows = torch.arange(len(self.counts), device=values.device, dtype=torch.int32).mul_(BINS).add_(BINS // 2)
        bins = values.mul(1 / self.width).floor_().to(torch.int32).add_(rows.view(-1, *[1] * (values.ndim - 2)))
        self.counts += torch.bincount(bins.flatten(), minlength=self.counts.numel()).view_as(self.counts)

    def edges(self) -> Tensor:
        """(BINS + 1,) float64."""
        return torch.arange(-BINS // 2, BINS // 2 + 1, dtype=torch.float64) * self.width

    def _double(self) -> None:
        pairs = self.counts.view(len(self.counts), -1, 2).sum(2)  # BINS / 2 is even: no pair holds zero within
        self.counts.zero_()
        self.counts[:, BINS // 4 : -BINS // 4] = pairs
        self.width *= 2
