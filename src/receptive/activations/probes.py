"""How much of the class and of the picture each layer still tells: linear probes (R1.12).

G. Alain and Y. Bengio, Understanding intermediate layers using linear classifier probes, 2016 (arXiv:1610.01644). Ours
are ridge regressions, on the classes (one-hot; the largest wins) and on the picture made small: exact in one pass over
the training images, without a learning rate to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from receptive.activations.context import Context
from receptive.errors import InputError
from receptive.figures.activations import save_probes
from receptive.inference import Predictor
from receptive.recording.layers import by_channel, spread, watching
from receptive.recording.statistics import device_of_sums

MOST_FEATURES = 1024  # of a layer: maps are averaged over the cells of a grid, so that no more are left
MOST_CHANNELS = 2048  # of a layer that has more features for want of positions: so many are read, spread over all
PICTURE_SIDE = 8  # pixels; the picture that is asked for
PROBE_COLUMNS = ("layer", "features", "class_accuracy", "picture_r2")
RIDGE = 1e-3  # on features of unit variance, as a share of the number of images

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Probe:
    """What a linear map can read from a layer, on images that it was not fitted to.

    Args:
        features: that it reads.
        class_accuracy: share of the images whose class is right; None where images have no one class.
        picture_r2: share of the variance of the 8x8 picture that is told; 1: all.
    """

    features: int
    class_accuracy: float | None
    picture_r2: float


def check(context: Context) -> None:
    """Raise InputError where the run has held out no images."""
    if not context.experiment.data.counts()["val"]:
        raise InputError("probe=true: the run has held out no images (data.validation) to judge the probes on")


def report(context: Context, limit: int | None) -> None:
    """Write probe.csv and its figure: probes of the training images, judged on the held-out ones.

    Args:
        context: network and layers.
        limit: fit to the first so many training images; None: all.
    """
    data, size = context.experiment.data, context.batch_size
    fitted = data.ordered_loader("train", data.training_positions()[:limit], size)
    held_out = data.ordered_loader("val", batch_size=size)
    batches = context.progress(fitted, len(fitted.indices), "linear probes")
    classes = data.facts.num_classes if data.facts.target == "label" else None
    found = probe_layers(context.predictor, batches, held_out, context.layers, classes)
    context.write("probe.csv", [{"layer": name, **asdict(probe)} for name, probe in found.items()], PROBE_COLUMNS)
    curves = {"variance of the picture that is told": [probe.picture_r2 for probe in found.values()]}
    if classes:
        curves |= {"classes that are right": [probe.class_accuracy or 0.0 for probe in found.values()]}
    title = (
        f"{context.name}: linear probes of {len(fitted.indices):,} training images, judged on "
        f"{len(held_out.indices):,} others"
    )
    save_probes([context.label(name) for name in found], curves, title, context.output / "probe.png")


def probe_layers(
    predictor: Predictor, fitted: Batches, held_out: Batches, layers: Mapping[str, nn.Module], num_classes: int | None
) -> dict[str, Probe]:
    """Fit a probe to every layer and judge it.

    Args:
        predictor: the trained network.
        fitted: batches of normalised images (B, C, H, W) and labels (B,), once through.
        held_out: others, once through.
        layers: those that are probed, by name.
        num_classes: None: the targets are no labels; the picture alone is asked for.
    """
    fits: dict[str, _Fit] = {}

    def each(batches: Batches, use: Callable[[_Fit, Tensor, Tensor], None]) -> None:
        targets = torch.empty(0)

        def visit(name: str, output: Tensor) -> None:
            if name not in fits:
                fits[name] = _Fit(num_classes or 0, _grid(output))
            use(fits[name], _features(output, fits[name].grid), targets)

        with watching(predictor.task.model, layers, visit):
            for inputs, labels in batches:
                targets = _wanted(inputs.to(predictor.device), labels.to(predictor.device), num_classes)
                predictor.outputs(inputs)

    each(fitted, _Fit.add)
    for fit in fits.values():
        fit.solve()
    each(held_out, _Fit.judge)
    return {name: fit.probe() for name, fit in fits.items()}


def _wanted(inputs: Tensor, labels: Tensor, num_classes: int | None) -> Tensor:
    """(B, num_classes + pixels): the classes one-hot, the small picture."""
    side = min(PICTURE_SIDE, *inputs.shape[2:])
    picture = F.adaptive_avg_pool2d(inputs.float(), side).flatten(1)
    return picture if num_classes is None else torch.cat([F.one_hot(labels, num_classes).float(), picture], dim=1)


def _grid(output: Tensor) -> tuple[int, ...]:
    """The cells over which maps are averaged, (down, across): with all channels at most MOST_FEATURES."""
    channels, *sides = by_channel(output).shape[1:]
    most = max(1, math.isqrt(MOST_FEATURES // channels))
    return tuple(min(most, side) for side in sides)


def _features(output: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(B, D), D at most MOST_FEATURES; of more channels at most MOST_CHANNELS."""
    values = by_channel(output).float()
    if values.ndim == 4:  # of maps smaller than the first ones the cells share pixels
        values = F.adaptive_avg_pool2d(values, (grid[0], grid[1]))
    elif values.ndim > 2:
        values = values.flatten(2).mean(2, keepdim=True)
    return spread(values.flatten(1), MOST_CHANNELS)


class _Fit:
    """The ridge regression of one layer: sums over the fitted images, then scores over the others.

    Its grid is that of the first images, also for images of other sizes.
    """

    def __init__(self, num_classes: int, grid: tuple[int, ...]) -> None:
        self.num_classes = num_classes
        self.grid = grid
        self.size = 0
        self.right = 0
        self.judged = 0

    def add(self, features: Tensor, wanted: Tensor) -> None:
        both = torch.cat([features, wanted], dim=1)
        if not self.size:
            device = device_of_sums(both.device)
            self.moments = torch.zeros(features.shape[1], both.shape[1], dtype=torch.float64, device=device)
            self.sums = self.moments.new_zeros(both.shape[1])
        self.moments += (features.T @ both).to(self.moments)
        self.sums += both.sum(0).to(self.sums)
        self.size += len(features)

    def solve(self) -> None:
        width = len(self.moments)
        means = self.sums / self.size
        covariance = self.moments / self.size - means[:width, None] * means
        scales = covariance.diagonal().clamp_min(0).sqrt()
        scales = torch.where(scales > 1e-6 * scales.max(), scales, torch.inf)  # a constant feature tells nothing
        within = covariance[:, :width] / scales[:, None] / scales + RIDGE * torch.eye(width, device=means.device)
        weights = torch.linalg.solve(within, covariance[:, width:] / scales[:, None])
        self.weights = (weights / scales[:, None]).float()
        self.center, self.means = means[:width].float(), means[width:].float()
        self.squares = torch.zeros(2, dtype=torch.float64, device=means.device)  # left over, of the picture itself

    def judge(self, features: Tensor, wanted: Tensor) -> None:
        features, wanted = features.to(self.center), wanted.to(self.center)
        told = (features - self.center) @ self.weights + self.means
        classes = self.num_classes
        if classes:
            self.right += int((told[:, :classes].argmax(1) == wanted[:, :classes].argmax(1)).sum())
        picture = wanted[:, classes:]
        left = (picture - told[:, classes:]).square().sum()
        self.squares += torch.stack([left, (picture - self.means[classes:]).square().sum()])
        self.judged += len(features)

    def probe(self) -> Probe:
        left, whole = self.squares.tolist()
        accuracy = self.right / self.judged if self.num_classes else None
        return Probe(len(self.weights), accuracy, 1 - left / whole)
