"""What happened in the steps of an epoch, read from the device in blocks.

A logged value a step costs more than the step of a small net (Lightning's `self.log`: 0.6 ms). Here a step costs two
list appends; every `block` steps, and at the end of the epoch, one transfer brings the values over.
"""

from __future__ import annotations

import torch
from torch import Tensor


class NonFiniteLoss(RuntimeError):
    """The training loss became NaN or infinite."""


class EpochSteps:
    """Running means over an epoch's training batches, weighted by batch size, and the watch for NaN.

    Args:
        block: steps between two looks at the values.
    """

    def __init__(self, block: int = 50) -> None:
        self.block = block
        self.reset()

    def reset(self, epoch: int = 0) -> None:
        """Begin an epoch (counted from 0)."""
        self._epoch = epoch
        self._losses: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._sizes: list[int] = []
        self._loss_sum = self._score_sum = 0.0
        self._images = self._steps = 0

    def add(self, loss: Tensor, score: Tensor, size: int) -> None:
        """Note a step: its mean loss (), the sum of its score over the images (), the number of images.

        Raises:
            NonFiniteLoss: a loss of this block was NaN or infinite; the text gives the batch.
        """
        self._losses.append(loss.detach())
        self._scores.append(score.detach())
        self._sizes.append(size)
        if len(self._losses) >= self.block:
            self.flush()

    def flush(self) -> None:
        """Bring the open block over from the device; raises NonFiniteLoss."""
        if not self._losses:
            return
        losses = torch.stack(self._losses).double().cpu()
        finite = losses.isfinite()
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            where = f"epoch {self._epoch + 1}, batch {self._steps + first + 1}"
            raise NonFiniteLoss(
                f"the training loss is {losses[first].item()} in {where}: "
                "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
            )
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        self._loss_sum += float(losses @ sizes)
        self._score_sum += float(torch.stack(self._scores).double().sum())
        self._images += sum(self._sizes)
        self._steps += len(self._sizes)
        self._losses, self._scores, self._sizes = [], [], []

    def means(self) -> tuple[float, float]:
        """Mean loss and mean score an image, of the epoch so far."""
        self.flush()
        images = max(self._images, 1)
        return self._loss_sum / images, self._score_sum / images
