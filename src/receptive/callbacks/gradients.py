"""How long the gradient is, over an epoch: the column gradient_norm of metrics.csv."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn
from torch.optim import Optimizer


def unscaled(norms: Tensor, trainer: pl.Trainer, optimizer: Optimizer) -> tuple[Tensor, Tensor]:
    """Norms of gradients without float16's scale, 0 of infinite and NaN ones, and which are finite (1 or 0).

    Args:
        norms: (N,) or (), as they are before the optimizer's step.
        trainer: that trains.
        optimizer: a fused one takes the scale off within its step; others are handed gradients without it.
    """
    precision = trainer.precision_plugin
    scaler = precision.scaler if isinstance(precision, MixedPrecision) else None
    if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):  # torch.amp asks for the same
        scale = scaler._get_scale_async()
        assert scale is not None  # there has been a loss
        norms = norms / scale
    finite = norms.isfinite()
    return torch.where(finite, norms, 0.0), finite.float()


class GradientNorm(pl.Callback):
    """The mean over an epoch's steps of the L2 norm of all gradients together, before they are clipped.

    Of several devices it is the norm of the averaged gradient, and the same on all. Steps whose gradient is infinite or
    NaN are left out: float16 skips them until it has found its scale. The training itself goes as it would without.
    """

    def __init__(self) -> None:
        self._weights: list[nn.Parameter] = []
        self._sums = torch.zeros(2)  # of the norms, and of the steps that have one

    def state_dict(self) -> dict[str, Any]:
        """The sums of the epoch that runs."""
        return {"sums": self._sums.cpu()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the sums of a checkpoint."""
        self._sums = state_dict["sums"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the weights; the sums may be those of a checkpoint within an epoch."""
        self._weights = [weight for weight in pl_module.parameters() if weight.requires_grad]
        self._sums = self._sums.to(pl_module.device)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the epoch's mean."""
        self._sums = torch.zeros_like(self._sums)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Add the norm of a step; nothing is waited for."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)).float())
        self._sums += torch.stack(unscaled(norm, trainer, optimizer))

    def mean(self) -> float | None:
        """Of the epoch so far; None where no step has a norm."""
        total, steps = self._sums.tolist()
        return float(f"{total / steps:.6g}") if steps else None
