"""Means over ragged batches against numpy, and the batch in which a loss stopped being a number."""

import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from receptive.errors import NonFiniteLoss
from receptive.tasks.steps import EpochSteps

SIZES = [8, 8, 8, 5, 1, 8, 3]
LOSSES = np.random.default_rng(0).gamma(2.0, size=len(SIZES)).astype(np.float32)
RIGHT = np.array([8, 0, 3, 5, 1, 2, 0])


def add_all(steps: EpochSteps, losses: np.ndarray = LOSSES) -> None:
    for loss, right, size in zip(losses, RIGHT, SIZES, strict=True):
        steps.add(torch.tensor(loss), torch.tensor(right), size)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 50])
def test_means_weigh_batches_by_their_size(block: int) -> None:
    steps = EpochSteps(block)
    add_all(steps)
    wanted = np.average(LOSSES.astype(np.float64), weights=SIZES), RIGHT.sum() / sum(SIZES)
    assert steps.means() == pytest.approx(wanted, rel=1e-12)
    assert steps.means() == pytest.approx(wanted, rel=1e-12)  # looking changes nothing


def test_means_of_the_epoch_so_far_include_the_open_block() -> None:
    steps = EpochSteps(block=3)
    steps.add(torch.tensor(2.0), torch.tensor(1), 4)
    assert steps.means() == (2.0, 0.25)
    steps.add(torch.tensor(5.0), torch.tensor(6), 8)
    assert steps.means() == (4.0, 7 / 12)


def test_an_epoch_without_steps_has_means() -> None:
    assert EpochSteps().means() == (0.0, 0.0)


def test_reset_forgets_the_epoch_before() -> None:
    steps = EpochSteps(block=2)
    add_all(steps)
    steps.reset(1)
    steps.add(torch.tensor(1.5), torch.tensor(2.0), 4)
    assert steps.means() == (1.5, 0.5)


def test_no_step_keeps_its_graph() -> None:
    """The graphs of a whole block would be a block's activations in memory."""

    class Activations:
        pass

    class Keep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, loss: Tensor, activations: Activations) -> Tensor:
            ctx.activations = activations
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
            return gradients[0], None

    activations = Activations()
    alive = weakref.ref(activations)
    loss = Keep.apply(torch.ones((), requires_grad=True), activations)
    steps = EpochSteps()
    steps.add(loss, loss, 1)
    del activations, loss
    assert alive() is None
    assert steps.means() == (1.0, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("batch", range(len(SIZES)))
def test_a_loss_that_is_no_number_is_found_with_its_batch(batch: int, value: float) -> None:
    losses = LOSSES.copy()
    losses[batch] = value
    told = rf"the training loss is {value} in epoch 5, batch {batch + 1}: try a smaller optimizer.lr"
    steps = EpochSteps(block=3)
    steps.reset(4)
    with pytest.raises(NonFiniteLoss, match=told):
        add_all(steps, losses)
        steps.flush()


def test_the_first_of_several_is_named() -> None:
    steps = EpochSteps(block=3)
    steps.reset()
    with pytest.raises(NonFiniteLoss, match=r"nan in epoch 1, batch 2:"):
        for loss in (1.0, math.nan, math.inf):
            steps.add(torch.tensor(loss), torch.tensor(0), 1)


def test_values_are_looked_at_when_a_block_is_full_or_asked_for() -> None:
    steps = EpochSteps(block=3)
    steps.add(torch.tensor(math.nan), torch.tensor(0), 1)
    steps.add(torch.tensor(1.0), torch.tensor(0), 1)
    with pytest.raises(NonFiniteLoss):
        steps.means()
    with pytest.raises(NonFiniteLoss):
        steps.flush()
    with pytest.raises(NonFiniteLoss):
        steps.add(torch.tensor(1.0), torch.tensor(0), 1)
    steps.reset()
    steps.flush()
