"""What all tasks share: optimizer and schedule, the watch over the training loss, where metrics go."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from receptive.tasks.steps import EpochSteps, NonFiniteLoss

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
ScheduleFactory = Callable[..., LRScheduler | None]


class Task(pl.LightningModule, abc.ABC):
    """A network with its loss, metrics and optimizer.

    Nothing is logged in a step: values wait on the device and are logged at the end of an epoch.

    Args:
        model: the network.
        optimizer: from parameters to an optimizer.
        schedule: from an optimizer, `steps_per_epoch` and `max_epochs` to a scheduler stepped every batch, or None.
        channels_last: hand the network its images in torch.channels_last.
    """

    METRICS: ClassVar[tuple[str, ...]]  # what validation logs: what `trainer.monitor` may name
    MONITOR: ClassVar[str]  # the one that chooses the best checkpoint by default

    def __init__(
        self, model: nn.Module, *, optimizer: OptimizerFactory, schedule: ScheduleFactory, channels_last: bool
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last) if channels_last else model
        self._optimizer = optimizer
        self._schedule = schedule
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._steps = EpochSteps()
        self._validated_epoch = -1

    def forward(self, images: Tensor) -> Tensor:
        """The network's output for images (B, C, H, W), in float32."""
        output: Tensor = self.model(images.contiguous(memory_format=self._memory_format))
        return output.float()

    @abc.abstractmethod
    def loss_and_score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The training loss () and the sum of the training score over the batch (), for accuracy: the number right."""

    @abc.abstractmethod
    def train_metrics(self) -> dict[str, float]:
        """The epoch's training metrics so far."""

    @abc.abstractmethod
    def test_details(self) -> dict[str, Any]:
        """What the test gave beyond scalars, as plain containers, e.g. the confusion matrix."""

    def configure_optimizers(self) -> Any:
        """Optimizer, and a schedule stepped every batch."""
        optimizer = self._optimizer([parameter for parameter in self.parameters() if parameter.requires_grad])
        epochs = self.trainer.max_epochs
        assert epochs is not None
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self._schedule(optimizer, steps_per_epoch=max(steps // epochs, 1), max_epochs=epochs)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_validation_start(self) -> None:
        """Note which epoch the validation metrics are of: Lightning keeps them through epochs without validation."""
        self._validated_epoch = self.current_epoch

    def epoch_metrics(self) -> dict[str, float]:
        """What Lightning knows of this epoch so far: a validation of an epoch before is left out."""
        known = {key: float(value) for key, value in self.trainer.callback_metrics.items()}
        fresh = self._validated_epoch == self.current_epoch
        return {key: value for key, value in known.items() if fresh or not key.startswith("val/")}

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's means."""
        self._steps.reset(self.current_epoch)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch of images (B, C, H, W) and their targets."""
        images, targets = batch
        loss, score = self.loss_and_score(self(images), targets)
        self._steps.add(loss, score, len(images))
        return loss

    def check_finite(self) -> None:
        """Look at the losses that still wait on the device, and at the weights; raises NonFiniteLoss."""
        self._steps.flush()
        norms = torch.stack(torch._foreach_norm(list(self.parameters())))
        if not bool(norms.isfinite().all()):
            raise NonFiniteLoss(
                f"the last step of epoch {self.current_epoch + 1} made the weights infinite or NaN: "
                "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
            )
