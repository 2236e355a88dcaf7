"""activations.csv: how the layers' activations and gradients go, epoch by epoch (R1.13, R1.14)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from torch import nn
from torch.optim import Optimizer

from receptive.callbacks.gradients import unscaled
from receptive.files import write_csv
from receptive.recording.layers import chosen_layers, kind_of, label_of, watching
from receptive.recording.statistics import NetworkStatistics

COLUMNS = ("epoch", "layer", "label", "kind", "mean", "std", "mean_absolute", "zeros", "gradient_norm")


class ActivationRecords(pl.Callback):
    """Keeps for each layer and epoch mean, deviation and zeros of its activations, and the norm of its gradient.

    The activations are those of the same held-out images at the end of every epoch, and once before the first (epoch
    0), in evaluation mode, with the weights that train (not their average, where trainer.ema_decay keeps one); on
    several devices those of the first device's share of them. The gradient norm (L2, over all weights of a layer) is
    the mean over the epoch's steps, without those where it is infinite or NaN: float16 skips them. The training itself
    goes as it would without.

    Args:
        path: of the table.
        images: the first so many held-out images; of the training set where none are held out.
        layers: names, kinds or patterns; None: all.

    Raises:
        InputError: (when training starts) a pattern fits no layer.
    """

    def __init__(self, path: Path, *, images: Annotated[int, Ge(1)] = 512, layers: list[str] | None = None) -> None:
        self.path = path
        self.images = images
        self.wanted = layers
        self.rows: list[dict[str, Any]] = []
        self._layers: dict[str, nn.Module] = {}
        self._sums = torch.zeros(2, 0)  # of each layer's norms, and of the steps that have one

    def state_dict(self) -> dict[str, Any]:
        """The rows so far and the sums of the epoch that runs, in plain containers."""
        return {"rows": self.rows, "sums": self._sums.cpu()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])
        self._sums = state_dict["sums"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the layers, and look at them before the first step."""
        model = pl_module.get_submodule("model")
        self._layers = chosen_layers(model, self.wanted)
        places = {layer: place for place, layer in enumerate(self._layers.values())}
        owners = [(weight, places[layer]) for layer in places for weight in layer.parameters(recurse=False)]
        self._weights = [weight for weight, _ in owners]
        self._owners = torch.tensor([place for _, place in owners], dtype=torch.long, device=pl_module.device)
        if self._sums.any():  # of a checkpoint within an epoch
            self._sums = self._sums.to(pl_module.device)
        else:
            self._begin(pl_module)
        if not self.rows:
            self._record(trainer, pl_module, 0)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the epoch's means."""
        self._begin(pl_module)

    def _begin(self, pl_module: pl.LightningModule) -> None:
        self._sums = torch.zeros(2, len(self._layers), device=pl_module.device)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Add the gradient norms of a step; nothing is waited for."""
        held = [place for place, weight in enumerate(self._weights) if weight.grad is not None]
        if not held:  # layers without weights, or frozen ones
            self._sums[1] += 1
            return
        norms = torch._foreach_norm([gradient for place in held if (gradient := self._weights[place].grad) is not None])
        squares = torch.stack(norms).square().float()
        owners = self._owners if len(held) == len(self._weights) else self._owners[held]
        layers = torch.zeros_like(self._sums[0]).index_add_(0, owners, squares).sqrt()
        self._sums += torch.stack(unscaled(layers, trainer, optimizer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's rows."""
        self._record(trainer, pl_module, trainer.current_epoch + 1)

    def _record(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        statistics = NetworkStatistics(self._layers, every=None)
        model = pl_module.get_submodule("model")
        training = pl_module.training
        pl_module.eval()
        with (
            torch.no_grad(),
            trainer.precision_plugin.forward_context(),
            watching(model, self._layers, statistics.visit),
        ):
            for images in self._batches(trainer):
                pl_module(images.to(pl_module.device))
        pl_module.train(training)
        norms = (self._sums[0] / self._sums[1]).tolist()  # NaN of an epoch whose steps have all been left out
        trained = {name for name, layer in self._layers.items() if [*layer.parameters(recurse=False)]}
        places = {name: place for place, name in enumerate(self._layers)}
        for name, found in statistics.summaries().items():
            first = name.partition("#")[0]
            values = {"mean": found.mean.mean(), "std": found.overall_std, "mean_absolute": found.mean_absolute.mean()}
            kind = kind_of(self._layers[first])
            row = {"epoch": epoch, "layer": name, "label": label_of(name, self._layers), "kind": kind}
            row |= {key: float(f"{value:.6g}") for key, value in (values | {"zeros": found.zeros.mean()}).items()}
            norm = norms[places[first]] if epoch and name in trained else math.nan
            self.rows.append(row | {"gradient_norm": None if math.isnan(norm) else float(f"{norm:.6g}")})
        if trainer.is_global_zero:  # of several devices each would replace the others' table
            write_csv(self.path, COLUMNS, self.rows)

    def _batches(self, trainer: pl.Trainer) -> Any:
        data = trainer.datamodule  # type: ignore[attr-defined]
        split = "val" if data.counts()["val"] else "train"
        places = range(min(self.images, data.counts()[split]))
        return (images for images, _ in data.ordered_loader(split, places))
