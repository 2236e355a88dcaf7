"""Learning-rate schedules, counted in epochs and stepped every batch, on torch's own schedulers.

Each takes the optimizer, the batches an epoch and the epochs of the run, and gives a scheduler to be stepped after
every batch, or None for a rate that stays.
"""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR


def constant(optimizer: Optimizer, *, steps_per_epoch: int, max_epochs: int) -> None:
    """The learning rate stays."""


def step(
    optimizer: Optimizer,
    *,
    steps_per_epoch: int,
    max_epochs: int,
    epochs: Annotated[int, Ge(1)],
    gamma: Annotated[float, Gt(0), Le(1)],
) -> LRScheduler:
    """The learning rate times `gamma` after every `epochs` epochs."""
    return StepLR(optimizer, step_size=epochs * steps_per_epoch, gamma=gamma)


def cosine(
    optimizer: Optimizer,
    *,
    steps_per_epoch: int,
    max_epochs: int,
    warmup_epochs: Annotated[float, Ge(0)],
    final_ratio: Annotated[float, Ge(0), Le(1)],
) -> LRScheduler:
    """Linear warm-up over `warmup_epochs`, then half a cosine to `final_ratio` of the rate (Loshchilov & Hutter 2017).

    Raises:
        ValueError: the warm-up is as long as the run.
    """
    total = steps_per_epoch * max_epochs
    warmup = round(warmup_epochs * steps_per_epoch)
    if warmup >= total:
        raise ValueError(f"warmup_epochs={warmup_epochs} must be shorter than the run's {max_epochs} epochs")

    def ratio(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / (total - warmup))
        return final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, ratio)


def one_cycle(
    optimizer: Optimizer,
    *,
    steps_per_epoch: int,
    max_epochs: int,
    warmup_fraction: Annotated[float, Gt(0), Lt(1)],
    start_divisor: Annotated[float, Ge(1)],
    final_divisor: Annotated[float, Ge(1)],
    cycle_momentum: bool,
) -> LRScheduler:
    """The 1cycle policy (Smith & Topin 2018); each group's own rate is its peak.

    From rate / `start_divisor` up to the rate in `warmup_fraction` of the steps, down to the start / `final_divisor`.
    """
    total = steps_per_epoch * max_epochs
    if warmup_fraction * total == 1:  # a first phase of no length, by which torch would divide
        warmup_fraction *= 1 - 1e-9
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total,
        pct_start=warmup_fraction,
        div_factor=start_divisor,
        final_div_factor=final_divisor,
        cycle_momentum=cycle_momentum,
    )
