"""Whether batch normalisation's moving averages stand for the whole training set (R2.18).

S. Ioffe and C. Szegedy, Batch Normalization, 2015 (arXiv:1502.03167): in evaluation mean and variance are those moving
averages, of augmented batches and of weights that were still changing. The exact ones are those of a layer's inputs
over all training images, unaugmented, in the trained network.

What they change on validation: not those may be put into all layers at once, for they are of inputs that the moving
averages of the layers before have made; once these are replaced as well, every layer would mend the same shift again.
Statistics that stand together are of inputs that are normalised by their own batch: Y. Wu and J. Johnson, Rethinking
"Batch" in BatchNorm, 2021 (arXiv:2105.07576).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from receptive.activations.context import Context
from receptive.errors import InputError
from receptive.figures.activations import save_moving_averages
from receptive.inference import Predictor
from receptive.recording.layers import watching
from receptive.recording.statistics import LayerStatistics

BATCH_NORM_COLUMNS = (
    *("layer", "channel", "running_mean", "exact_mean", "mean_shift"),
    *("running_var", "exact_var", "variance_ratio"),
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MovingAverages:
    """Of a batch normalisation of C channels, beside the exact ones.

    Args:
        running_mean: (C,).
        running_var: (C,).
        exact_mean: (C,) over all activations of all images.
        exact_var: (C,).
    """

    running_mean: Array
    running_var: Array
    exact_mean: Array
    exact_var: Array

    @property
    def mean_shift(self) -> Array:
        """(C,) running minus exact mean, in exact standard deviations; NaN where a channel never changes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shift: Array = (self.running_mean - self.exact_mean) / np.sqrt(self.exact_var)
        return np.where(self.exact_var > 0, shift, np.nan)

    @property
    def variance_ratio(self) -> Array:
        """(C,) running over exact variance; NaN where a channel never changes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.exact_var > 0, self.running_var / self.exact_var, np.nan)


def is_moving(layer: nn.Module) -> TypeGuard[_BatchNorm]:
    """Whether a layer normalises by moving averages."""
    return isinstance(layer, _BatchNorm) and layer.running_mean is not None


def check(context: Context) -> None:
    """Raise InputError where no layer that is looked at keeps moving averages."""
    if not any(is_moving(layer) for layer in context.layers.values()):
        raise InputError("batch_norm=true: no layer that is looked at keeps moving averages")


def report(context: Context) -> None:
    """Write batch_norm.csv and its figure, and print what the exact statistics change on validation."""
    loader = context.experiment.data.ordered_loader("train", batch_size=context.batch_size)
    batches = context.progress((inputs for inputs, _ in loader), len(loader.indices), "exact statistics")
    found = moving_averages(context.predictor, batches, context.layers)
    context.write("batch_norm.csv", _rows(found), BATCH_NORM_COLUMNS)
    save_moving_averages(
        [context.label(name) for name in found],
        [own.mean_shift for own in found.values()],
        [own.variance_ratio for own in found.values()],
        f"{context.name}: moving averages against all {len(loader.indices):,} training images",
        context.output / "batch_norm.png",
    )
    _print_difference(context, found)


def _rows(found: Mapping[str, MovingAverages]) -> Iterator[dict[str, Any]]:
    for name, own in found.items():
        columns = {key: getattr(own, key) for key in BATCH_NORM_COLUMNS[2:]}
        for channel in range(len(own.exact_mean)):
            yield {"layer": name, "channel": channel, **{key: values[channel] for key, values in columns.items()}}


def _print_difference(context: Context, found: Mapping[str, MovingAverages]) -> None:
    """How the validation metrics change with the exact statistics; the weights are as before afterwards."""
    shifts, ratios = (
        np.concatenate([getattr(own, key) for own in found.values()]) for key in ("mean_shift", "variance_ratio")
    )
    if not np.isnan(ratios).all():
        context.console.print(
            f"moving averages: means off by {np.nanmean(np.abs(shifts)):.3f} standard deviations on average, "
            f"variances {np.nanmedian(ratios):.3f} of the exact ones (median)"
        )
    if not context.experiment.data.counts()["val"]:
        return
    kept = copy.deepcopy(context.experiment.task.model.state_dict())
    before = _validation(context)
    put_exact(context.layers, _consistent(context))
    after = _validation(context)
    context.experiment.task.model.load_state_dict(kept)
    for name, value in before.items():
        context.console.print(f"  {name:<22} {value:.6f} with moving averages, {after[name]:.6f} with exact ones")


def _consistent(context: Context) -> dict[str, MovingAverages]:
    """Exact statistics that stand together, over the training images in batches as large as in training, or larger."""
    data = context.experiment.data
    size = max(context.batch_size, data.batch_size)
    # data sets come sorted by class, and such batches stand for nothing
    count = len(data.ordered_loader("train").indices)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    loader = data.ordered_loader("train", order[: max(count - count % size, min(count, size))].tolist(), size)
    batches = context.progress((inputs for inputs, _ in loader), len(loader.indices), "statistics that stand together")
    with by_batch(context.layers):
        return moving_averages(context.predictor, batches, context.layers)


@contextmanager
def by_batch(layers: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within it batch normalisations normalise by each batch's own statistics; their moving averages stay."""
    kept = [(layer, layer.momentum) for layer in layers.values() if is_moving(layer)]
    for layer, _ in kept:
        layer.train()
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in kept:
            layer.eval()
            layer.momentum = momentum


def _validation(context: Context) -> dict[str, float]:
    task = context.experiment.task
    task.validation.reset()
    with context.predictor.computing():
        for batch in context.experiment.data.ordered_loader("val"):
            task.judge(task.validation, batch)
    found = {f"val/{name}": float(value) for name, value in task.validation.scalars().items()}
    task.validation.reset()
    return found


def moving_averages(
    predictor: Predictor, batches: Iterable[Tensor], layers: Mapping[str, nn.Module]
) -> dict[str, MovingAverages]:
    """The moving averages of every batch normalisation beside the exact statistics, in one pass.

    Args:
        predictor: the trained network.
        batches: all training images, normalised (B, C, H, W).
        layers: those that are looked at, by name; others than batch normalisations are passed over.
    """
    norms = {name: layer for name, layer in layers.items() if is_moving(layer)}
    statistics: dict[str, LayerStatistics] = {name: LayerStatistics(name, every=None) for name in norms}

    def visit(name: str, given: Tensor) -> None:
        statistics[name.partition("#")[0]].update(given)  # further calls of a shared layer share its averages

    with watching(predictor.task.model, norms, visit, inputs=True):
        for inputs in batches:
            predictor.outputs(inputs)
    found = {}
    for name, layer in norms.items():
        exact = statistics[name].summary()
        assert layer.running_mean is not None and layer.running_var is not None
        running = torch.stack([layer.running_mean, layer.running_var]).double().cpu().numpy()
        found[name] = MovingAverages(running[0], running[1], exact.mean, exact.std**2)
    return found


def put_exact(layers: Mapping[str, nn.Module], averages: Mapping[str, MovingAverages]) -> None:
    """Put the exact statistics in the place of the moving averages."""
    for name, found in averages.items():
        layer = layers[name]
        assert is_moving(layer) and layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.copy_(torch.from_numpy(found.exact_mean))
        layer.running_var.copy_(torch.from_numpy(found.exact_var))
