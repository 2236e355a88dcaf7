"""Probabilities outside of Lightning's loops against the network itself."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from receptive.inference import Predictor
from receptive.models.mnist_net import MnistNet
from receptive.models.unet import UNet
from receptive.optimizers import schedules
from receptive.tasks.base import Task
from receptive.tasks.classification import ClassificationTask
from receptive.tasks.segmentation import SegmentationTask
from receptive.trainer import TrainerOptions

NAMES = ("background", "lungs", "heart")
OPTIONS: dict[str, Any] = {
    "optimizer": partial(torch.optim.SGD, lr=0.1),
    "schedule": schedules.constant,
    "class_names": NAMES,
}


def make(kind: str) -> tuple[Task, torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randn(7, 1, 12, 10)
    if kind == "mask":
        return SegmentationTask(UNet(in_channels=1, num_classes=3, base_channels=4, depth=2), **OPTIONS), images
    net = MnistNet(in_channels=1, num_classes=3, image_size=(12, 10), channels=(4, 4), norm="batch")
    return ClassificationTask(net, **OPTIONS), images


def options(precision: Any = "32-true") -> TrainerOptions:
    return TrainerOptions(max_epochs=1, accelerator="cpu", precision=precision)


@pytest.mark.parametrize("kind", ["label", "mask"])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_probabilities_are_the_softmax_of_the_nets_logits(kind: str, batch_size: int) -> None:
    task, images = make(kind)
    task.train()
    shares = Predictor(task, options(), batch_size)(images)
    assert not task.training
    with torch.no_grad():
        scores = np.exp(task.model(images).double().numpy())
    assert shares.shape == ((7, 3, 12, 10) if kind == "mask" else (7, 3))
    assert shares.dtype == torch.float32 and not shares.requires_grad
    np.testing.assert_allclose(shares, scores / scores.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_images_of_several_sizes_are_each_judged_as_alone() -> None:
    torch.manual_seed(0)
    net = MnistNet(in_channels=1, num_classes=3, channels=(4, 4), head="global_avg")
    sides = (12, 8, 12, 20, 8, 8, 12)
    images = tuple(torch.randn(1, side, side + 2) for side in sides)
    batches = []
    net.register_forward_hook(lambda _, given, output: batches.append(len(given[0])))
    predictor = Predictor(ClassificationTask(net, **OPTIONS), options(), 2)
    shares = predictor(images)
    assert batches == [2, 1, 2, 1, 1]
    for image, row in zip(images, shares, strict=True):
        torch.testing.assert_close(row, predictor(image.unsqueeze(0))[0], rtol=1e-5, atol=1e-6)


def test_the_net_gets_no_more_images_at_once() -> None:
    task, images = make("label")
    sizes = []
    task.model.register_forward_hook(lambda _, given, output: sizes.append(len(given[0])))
    Predictor(task, options(), 3)(images)
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_net_computes_in_the_runs_precision(precision: str, dtype: torch.dtype) -> None:
    task, images = make("mask")
    dtypes = set()
    task.model.register_forward_hook(lambda _, given, output: dtypes.add(output.dtype))
    shares = Predictor(task, options(precision), 4)(images)
    assert dtypes == {dtype}
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(1), torch.ones(7, 12, 10))
