"""Schedules, step by step, against closed formulas and torch's own schedulers."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from receptive.optimizers import schedules

STEPS_PER_EPOCH, EPOCHS = 7, 10
TOTAL = STEPS_PER_EPOCH * EPOCHS
RUN: dict[str, Any] = {"steps_per_epoch": STEPS_PER_EPOCH, "max_epochs": EPOCHS}
ONE_CYCLE: dict[str, Any] = {
    "warmup_fraction": 0.3,
    "start_divisor": 20.0,
    "final_divisor": 1000.0,
    "cycle_momentum": False,
}


@pytest.fixture
def optimizer() -> Optimizer:
    """Two groups with rates of their own."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.4, 0.01)]
    return SGD(groups, momentum=0.9)


def rates(optimizer: Optimizer, scheduler: LRScheduler | None, key: str = "lr") -> list[tuple[float, float]]:
    """What each group's step is taken with, and what is left after the last."""
    assert scheduler is not None
    found = []
    for _ in range(TOTAL):
        found.append((optimizer.param_groups[0][key], optimizer.param_groups[1][key]))
        optimizer.step()
        scheduler.step()
    return [*found, (optimizer.param_groups[0][key], optimizer.param_groups[1][key])]


def assert_ratios(found: list[tuple[float, float]], ratio: Callable[[int], float]) -> None:
    for step, (one, other) in enumerate(found):
        assert (one, other) == pytest.approx((0.4 * ratio(step), 0.01 * ratio(step)), rel=1e-9, abs=1e-12), step


def test_constant_is_no_schedule(optimizer: Optimizer) -> None:
    assert schedules.constant(optimizer, **RUN) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(("epochs", "gamma"), [(1, 0.5), (3, 0.1), (20, 0.1)])
def test_step_falls_at_the_end_of_an_epoch(optimizer: Optimizer, epochs: int, gamma: float) -> None:
    scheduler = schedules.step(optimizer, **RUN, epochs=epochs, gamma=gamma)
    assert_ratios(rates(optimizer, scheduler), lambda step: gamma ** (step // STEPS_PER_EPOCH // epochs))


@pytest.mark.parametrize("final_ratio", [0.0, 0.1])
@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5, 2.0])
def test_cosine_warms_up_and_falls_to_its_share(optimizer: Optimizer, warmup_epochs: float, final_ratio: float) -> None:
    warmup = {0.0: 0, 0.5: 4, 2.0: 14}[warmup_epochs]

    def ratio(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        falling = math.cos(math.pi * (step - warmup) / (TOTAL - warmup))
        return final_ratio + (1 - final_ratio) * (1 + falling) / 2

    scheduler = schedules.cosine(optimizer, **RUN, warmup_epochs=warmup_epochs, final_ratio=final_ratio)
    found = rates(optimizer, scheduler)
    assert_ratios(found, ratio)
    assert found[warmup] == pytest.approx((0.4, 0.01))
    assert found[-1] == pytest.approx((0.4 * final_ratio, 0.01 * final_ratio))


def test_cosine_without_warm_up_is_torchs(optimizer: Optimizer) -> None:
    ours = rates(optimizer, schedules.cosine(optimizer, **RUN, warmup_epochs=0.0, final_ratio=0.0))
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    theirs = rates(optimizer, CosineAnnealingLR(optimizer, TOTAL))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-5, atol=1e-7)


def test_cosine_stays_down_where_a_run_goes_on_longer(optimizer: Optimizer) -> None:
    scheduler = schedules.cosine(optimizer, **RUN, warmup_epochs=1.0, final_ratio=0.2)
    rates(optimizer, scheduler)
    assert rates(optimizer, scheduler)[-1] == pytest.approx((0.08, 0.002))


@pytest.mark.parametrize("warmup_epochs", [10.0, 11.0])
def test_a_warm_up_as_long_as_the_run_is_refused(optimizer: Optimizer, warmup_epochs: float) -> None:
    with pytest.raises(ValueError, match=rf"warmup_epochs={warmup_epochs} must be shorter than .* 10 epochs"):
        schedules.cosine(optimizer, **RUN, warmup_epochs=warmup_epochs, final_ratio=0.0)


def test_one_cycle_is_torchs_with_each_groups_rate_as_its_peak(optimizer: Optimizer) -> None:
    ours = rates(optimizer, schedules.one_cycle(optimizer, **RUN, **ONE_CYCLE))
    groups = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    reference = SGD(groups, lr=1.0, momentum=0.9)
    scheduler = OneCycleLR(
        reference,
        [0.4, 0.01],
        TOTAL,
        pct_start=0.3,
        div_factor=20.0,
        final_div_factor=1000.0,
        cycle_momentum=False,
    )
    assert ours == rates(reference, scheduler)
    peak = round(0.3 * TOTAL) - 1
    assert ours[0] == pytest.approx((0.02, 0.0005))
    assert max(ours) == ours[peak] == pytest.approx((0.4, 0.01))
    assert ours[TOTAL - 1] == pytest.approx((0.02 / 1000, 0.0005 / 1000))


@pytest.mark.parametrize("cycle_momentum", [True, False])
def test_one_cycle_moves_the_momentum_if_asked(optimizer: Optimizer, cycle_momentum: bool) -> None:
    arguments = ONE_CYCLE | {"cycle_momentum": cycle_momentum}
    found = rates(optimizer, schedules.one_cycle(optimizer, **RUN, **arguments), key="momentum")
    assert (min(found) < max(found)) == cycle_momentum


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 100])
@pytest.mark.parametrize("warmup_fraction", [0.01, 0.1, 0.2, 0.25, 0.3, 0.5, 0.9])
def test_one_cycle_serves_runs_of_any_length(optimizer: Optimizer, steps: int, warmup_fraction: float) -> None:
    arguments = ONE_CYCLE | {"warmup_fraction": warmup_fraction}
    scheduler = schedules.one_cycle(optimizer, steps_per_epoch=steps, max_epochs=1, **arguments)
    for _ in range(steps):
        assert all(0 < group["lr"] <= peak for group, peak in zip(optimizer.param_groups, (0.4, 0.01), strict=True))
        optimizer.step()
        scheduler.step()


def test_schedules_bind_like_the_factories_of_a_config(optimizer: Optimizer) -> None:
    """A config gives the values, the task the run's length, both by name."""
    for schedule in (
        partial(schedules.step, epochs=1, gamma=0.1),
        partial(schedules.cosine, warmup_epochs=0.0, final_ratio=0.0),
        partial(schedules.one_cycle, **ONE_CYCLE),
    ):
        assert isinstance(schedule(optimizer, **RUN), LRScheduler)
