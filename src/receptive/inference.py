"""A trained network on images, outside of Lightning's loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from receptive.data.sizes import Stack, by_size
from receptive.tasks.base import Task
from receptive.trainer import TrainerOptions

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Predictor:
    """Gives the probabilities of the classes, on the device and in the precision that the run was tested with.

    Args:
        task: with trained weights; is put into evaluation mode, on the device.
        options: of the run's trainer.
        batch_size: images that the network gets at once.
    """

    def __init__(self, task: Task, options: TrainerOptions, batch_size: int) -> None:
        self.device = torch.device(options.device())
        self.task = task.to(self.device).eval()
        self.batch_size = batch_size
        self._dtype = _AUTOCAST.get(options.actual_precision())

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Within it the network computes in the run's precision, without gradients."""
        with torch.inference_mode(), torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not None):
            yield

    def outputs(self, inputs: Tensor) -> Tensor:
        """The network's own output for one batch of normalised images (N, C, H, W), float32, on its device."""
        with self.computing():
            output: Tensor = self.task(inputs.to(self.device))
        return output

    def __call__(self, inputs: Stack) -> Tensor:
        """From normalised images (N, C, H, W) to float32 (N, num_classes) or (N, num_classes, H, W), on the CPU.

        Images of several sizes, N times (C, H, W), are for a classifier; it gets those of one size together.
        """
        if not isinstance(inputs, Tensor):
            places, found = zip(*((places, self(images)) for places, images in by_size(inputs)), strict=True)
            return torch.cat(found)[torch.tensor([place for own in places for place in own]).argsort()]
        return torch.cat([self.outputs(part) for part in inputs.split(self.batch_size)]).softmax(dim=1).cpu()
