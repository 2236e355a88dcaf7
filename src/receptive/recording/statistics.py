"""Statistics of a layer's activations over any number of images, batch by batch, in memory that does not grow."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from receptive.errors import InputError
from receptive.recording.histogram import Histogram
from receptive.recording.layers import by_channel, is_nonnegative

NEAR_ZERO = 0.01  # of the largest absolute activation of the layer for the same image
DARK = 0.1  # the lowest part of a map's own range, from its smallest to its largest value

_PART, _PART_OF_GPU = 2**19, 2**26  # values that are looked at together
_MOST_KEPT = 64  # images
_FAR = 30  # deviations

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerSummary:
    """The statistics of a layer with C channels over all images.

    Args:
        images: that were seen.
        shape: of the output for one image, channels first; of images of different sizes the largest.
        mean: (C,).
        std: (C,), with the number of activations as divisor.
        mean_absolute: (C,).
        zeros: (C,), share of the activations that are exactly 0.
        sampled: images of which the following are.
        near_zeros: (C,), share with |x| <= 0.01 of the largest |x| of the layer for the same image.
        dark: (C,), share of the pixels in the lowest tenth of their map's own range: what looks dark where each map is
            drawn from its smallest to its largest value. NaN where a map is one value.
        blank: (C,), share of the maps whose pixels are all equal. NaN where a map is one value.
        histogram: (C, bins) counts; bin i has the values from edges[i] up to, without it, edges[i + 1].
        edges: (bins + 1,).
        mean_map: *shape, the mean over the images; None where these have several sizes.
        mean_absolute_map: the same of the absolute values.
    """

    images: int
    shape: tuple[int, ...]
    mean: Array
    std: Array
    mean_absolute: Array
    zeros: Array
    sampled: int
    near_zeros: Array
    dark: Array
    blank: Array
    histogram: NDArray[np.int64]
    edges: Array
    mean_map: Array | None
    mean_absolute_map: Array | None

    @property
    def overall_std(self) -> float:
        """The deviation of all activations of the layer."""
        # of equally many a channel: the variance within channels and that of their means
        return float(((self.std**2).mean() + self.mean.var()) ** 0.5)


def device_of_sums(device: torch.device) -> torch.device:
    """Where float64 sums of a device's values are kept: there, but for Apple's GPUs, which have no float64."""
    return torch.device("cpu") if device.type == "mps" else device


class NetworkStatistics:
    """The statistics of several layers, each begun when it first runs; `visit` is what `watching` calls.

    Args:
        layers: that may run, by name.
        every: see LayerStatistics.
    """

    def __init__(self, layers: Mapping[str, nn.Module], every: int | None) -> None:
        self._layers = layers
        self._every = every
        self._gathered: dict[str, LayerStatistics] = {}

    def visit(self, name: str, output: Tensor) -> None:
        """Add a batch of a layer's outputs."""
        if name not in self._gathered:
            nonnegative = is_nonnegative(self._layers[name.partition("#")[0]])
            self._gathered[name] = LayerStatistics(name, self._every, nonnegative)
        self._gathered[name].update(output)

    def summaries(self) -> dict[str, LayerSummary]:
        """What was gathered so far, in the order in which the layers run."""
        return {name: gathered.summary() for name, gathered in self._gathered.items()}


class LayerStatistics:
    """Gathers the statistics of one layer. Sums over a part of a batch are float32, the sums of these float64.

    Args:
        name: of the layer, for messages.
        every: histogram, near-zero values, dark pixels and blank maps are of every so many-th image; None: of none.
        nonnegative: no value is below 0, as behind a ReLU: each is its own absolute value.
    """

    def __init__(self, name: str, every: int | None = 1, nonnegative: bool = False) -> None:
        self.name = name
        self.nonnegative = nonnegative
        self.every = every
        self.images = 0
        self._activations = 0  # of a channel
        self._sampled = 0
        self._sampled_activations = 0
        self._kept: list[Tensor] = []
        # (2, values) float64: sums over the images of x and |x|, by shape and by whether the channels lie last
        self._maps: dict[tuple[tuple[int, ...], bool], Tensor] = {}

    def update(self, output: Tensor) -> None:
        """Add a batch of outputs (B, C), (B, C, *positions) or tokens (B, T, D).

        Raises:
            InputError: an activation is NaN or infinite.
        """
        values = by_channel(output)
        if not self.images:
            self._begin(values)
        self._add(values)
        if self.every is not None:
            self._keep(values[-self.images % self.every :: self.every])
        self.images += len(values)
        self._activations += values.numel() // values.shape[1]

    def _begin(self, values: Tensor) -> None:
        device = device_of_sums(values.device)
        self._shape, channels = tuple(values.shape[1:]), values.shape[1]
        self._origin = _origin(values.reshape(len(values), channels, -1).float())
        self._sums = torch.zeros(4, channels, dtype=torch.float64, device=device)
        self._sample_sums = torch.zeros(3, channels, dtype=torch.float64, device=device)
        self._histogram = Histogram(channels, values.device)

    def _add(self, values: Tensor) -> None:
        """Add images (B, C, *positions) to the sums that are over every image."""
        shape = tuple(values.shape[1:])
        self._shape = max(self._shape, shape, key=math.prod)
        last = values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)
        order = values.movedim(1, -1) if last else values  # as they lie in memory
        origin = self._origin
        if origin is not None:
            origin = origin if last else origin.view(-1, *[1] * (values.ndim - 2))
            origin = origin.expand(order.shape[1:]).reshape(-1)
        totals = _totals(order.reshape(len(values), -1), origin, self.nonnegative).to(self._sums.device)
        places = totals.view(4, -1, values.shape[1]) if last else totals.view(4, values.shape[1], -1)
        self._sums += places.sum(1 if last else 2, dtype=torch.float64)
        key = (shape, last)
        if key not in self._maps:
            self._maps[key] = torch.zeros_like(totals[:2], dtype=torch.float64)
        self._maps[key] += totals[:2]

    def _mean_maps(self) -> Tensor | None:
        """(2, C, *positions): means over the images of x and |x|; None of images of several sizes."""
        if len({shape for shape, _ in self._maps}) > 1:
            return None
        channels, *sides = self._shape
        return sum(
            (
                maps.view(2, *sides, channels).movedim(-1, 1) if last else maps.view(2, channels, *sides)
                for (_, last), maps in self._maps.items()
            ),
            start=torch.zeros((), dtype=torch.float64, device=self._sums.device),
        ).div(self.images)

    def _keep(self, values: Tensor) -> None:
        """Lay images (b, C, *positions) aside until it pays to look at them: few at a time cost as much as many."""
        if len(values):
            # (b, C, positions), contiguous: extrema along the last dimension are then several times faster
            self._kept.append(values.reshape(len(values), values.shape[1], -1).float().contiguous().clone())
        if sum(kept.numel() for kept in self._kept) >= _PART or sum(map(len, self._kept)) >= _MOST_KEPT:
            self._sample()

    def _sample(self) -> None:
        """Look closer at the images that were laid aside."""
        parts, self._kept = self._kept, []
        for same in {part.shape[1:]: None for part in parts}:
            self._look(torch.cat([part for part in parts if part.shape[1:] == same]))

    def _look(self, values: Tensor) -> None:
        """Add images (b, C, positions) to what costs more to look at."""
        low, high = values.amin(2, keepdim=True), values.amax(2, keepdim=True)
        largest = torch.maximum(-low, high)
        if not bool(largest.isfinite().all()):
            raise InputError(f"layer {self.name}: an activation is NaN or infinite")
        self._histogram.add(values)
        near = values.abs().le_(NEAR_ZERO * largest.amax(1, keepdim=True)).sum((0, 2))
        dark = values.sub(low).le_(DARK * (high - low)).sum((0, 2))
        blank = (low == high).sum((0, 2))
        self._sample_sums += torch.stack([near, dark, blank]).to(self._sample_sums)
        self._sampled += len(values)
        self._sampled_activations += len(values) * values.shape[2]

    def summary(self) -> LayerSummary:
        """What was gathered so far.

        Raises:
            InputError: an activation was NaN or infinite.
        """
        if not bool(self._sums.isfinite().all()):
            raise InputError(f"layer {self.name}: an activation is NaN or infinite")
        with torch.inference_mode():
            self._sample()
        total, absolute, squares, zeros = (self._sums / self._activations).cpu().numpy()
        near, dark, blank = self._sample_sums.cpu().numpy()
        shift = total if self._origin is None else total - self._origin.double().cpu().numpy()
        single = math.prod(self._shape[1:]) == 1
        nothing = np.full(len(total), np.nan)
        maps = None if single or (found := self._mean_maps()) is None else found.cpu().numpy()
        return LayerSummary(
            images=self.images,
            shape=self._shape,
            mean=total,
            std=np.sqrt(np.maximum(squares - shift**2, 0)),
            mean_absolute=absolute,
            zeros=zeros,
            sampled=self._sampled,
            near_zeros=near / self._sampled_activations if self._sampled else nothing,
            dark=dark / self._sampled_activations if self._sampled and not single else nothing,
            blank=blank / self._sampled if self._sampled and not single else nothing,
            histogram=self._histogram.counts.cpu().numpy(),
            edges=self._histogram.edges().numpy(),
            mean_map=None if maps is None else maps[0],
            mean_absolute_map=None if maps is None else maps[1],
        )


def _origin(values: Tensor) -> Tensor | None:
    """What deviations are seen from, (C,): each channel's first value, where some channel lies far from zero for its
    spread, since few digits would be left of it; None where none does. From the first batch (B, C, positions).
    """
    means, deviations = values.mean((0, 2)), values.std((0, 2), correction=0)
    far = bool((means.abs() > _FAR * deviations).any())
    return values[0, :, 0].clone() if far else None


def _totals(values: Tensor, origin: Tensor | None, nonnegative: bool) -> Tensor:
    """Over the rows x of (B, n): sums of x, |x| and (x - origin)**2 and the number of zeros, float32 (4, n).

    Part by part in memory that stays in the CPU's cache and is used again, and the sums as products with ones: written
    the usual way this takes several times as long.
    """
    columns, on_cpu = values.shape[1], values.device.type == "cpu"
    rows = max(1, min(len(values), (_PART if on_cpu else _PART_OF_GPU) // columns))
    totals = torch.zeros(4, columns, device=values.device)
    # a GPU's allocator hands the same memory out again, and between two calls to others
    memory = _kept(max(rows * columns, _PART)) if on_cpu else torch.empty(2, rows * columns, device=values.device)
    ones = torch.ones(1, rows, device=values.device)
    for part in values.split(rows):
        own, work = memory[:, : part.numel()].view(2, -1, columns)
        own.copy_(part)
        one = ones[:, : len(part)]
        totals[0:1].addmm_(one, own)
        seen = own if origin is None else torch.sub(own, origin, out=work)
        totals[2:3].addmm_(one, torch.mul(seen, seen, out=work))
        if not nonnegative:
            totals[1:2].addmm_(one, own.abs_())
        totals[3:4].addmm_(one, own.eq_(0))
    if nonnegative:
        totals[1] = totals[0]
    return totals


@functools.lru_cache(maxsize=1)
def _kept(size: int) -> Tensor:
    """(2, size) float32 of any values, on the CPU."""
    with torch.inference_mode(False):  # outside of it too it may be written to
        return torch.empty(2, size)
