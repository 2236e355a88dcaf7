"""What happened in the steps of an epoch, read from the device in blocks.

A logged value a step costs more than the step of a small net (Lightning's `self.log`: 0.6 ms). Here a step costs two
list appends; every `block` steps, and at the end of the epoch, one transfer brings the values over.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from receptive.errors import NonFiniteLoss
from receptive.ranks.collectives import gathered, summed


class EpochSteps:
    """Running means over an epoch's training batches, weighted by batch size, and the watch for NaN.

    Several processes add their batches in step; what is found and told is that of all.

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

    def open_losses(self) -> Tensor:
        """The losses (n,) of the open block, float64, on the CPU.

        Raises:
            NonFiniteLoss: one is NaN or infinite; the text gives the batch.
        """
        losses = _together(self._losses).double().cpu() if self._losses else torch.zeros(0, dtype=torch.float64)
        finite, fault = losses.isfinite(), None
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            where = f"epoch {self._epoch + 1}, batch {self._steps + first + 1}"
            remedy = "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
            fault = first, f"the training loss is {losses[first].item()} in {where}: {remedy}"
        # the others' losses follow one batch later, by the weights
        if faults := [found for found in gathered(fault) if found is not None]:
            raise NonFiniteLoss(min(faults)[1])
        return losses

    def flush(self) -> None:
        """Bring the open block over from the device; raises NonFiniteLoss."""
        losses = self.open_losses()
        if not self._losses:
            return
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        self._loss_sum += float(losses @ sizes)
        self._score_sum += float(_together(self._scores).double().sum())
        self._images += sum(self._sizes)
        self._steps += len(self._sizes)
        self._losses, self._scores, self._sizes = [], [], []

    def state_dict(self) -> dict[str, Any]:
        """All of it in plain containers; the open block stays open, so that sums are rounded as without."""
        return {
            "epoch": self._epoch,
            "losses": [loss.cpu() for loss in self._losses],
            "scores": [score.cpu() for score in self._scores],
            "sizes": list(self._sizes),
            "sums": [self._loss_sum, self._score_sum],
            "counts": [self._images, self._steps],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.reset(state["epoch"])
        self._losses, self._scores, self._sizes = (list(state[key]) for key in ("losses", "scores", "sizes"))
        self._loss_sum, self._score_sum = state["sums"]
        self._images, self._steps = state["counts"]

    def means(self) -> tuple[float, float]:
        """Mean loss and mean score an image, of the epoch so far."""
        self.flush()
        loss, score, images = summed(self._loss_sum, self._score_sum, self._images)
        return loss / max(images, 1), score / max(images, 1)


def _together(values: list[Tensor]) -> Tensor:
    """(n,) on the device of the last: the first may be of a checkpoint."""
    return torch.stack([value.to(values[-1].device) for value in values])
