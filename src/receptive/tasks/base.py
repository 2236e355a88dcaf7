"""What all tasks share: optimizer and schedule, the watch over the training loss, where metrics go."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from receptive.errors import NonFiniteLoss
from receptive.ranks.collectives import copy_from_first, own, per_rank
from receptive.tasks.steps import EpochSteps

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
ScheduleFactory = Callable[..., LRScheduler | None]
ClassWeights = Literal["balanced"] | list[Annotated[float, Ge(0)]] | None


class Scores(Protocol):
    """Metrics over a whole validation or test set, a module of the task."""

    def reset(self) -> None:
        """Forget all batches."""

    def scalars(self) -> Mapping[str, Tensor | float]:
        """Name -> value so far; with "val/" or "test/" before it, the metric's name."""

    def details(self) -> dict[str, Any]:
        """What scalars leave out, as plain containers."""


class Task(pl.LightningModule, abc.ABC):
    """A network with its loss, metrics and optimizer.

    Nothing is logged in a step: values wait on the device and are logged at the end of an epoch. A subclass sets
    `validation` and `testing`.

    Args:
        model: the network.
        optimizer: from parameters to an optimizer.
        schedule: from an optimizer, `steps_per_epoch` and `max_epochs` to a scheduler stepped every batch, or None.
        channels_last: hand the network its images in torch.channels_last.
    """

    TARGET: ClassVar[Literal["label", "mask"]]  # what it learns to predict of an image
    METRICS: ClassVar[tuple[str, ...]]  # of training and validation: what `trainer.monitor` may name
    MONITOR: ClassVar[str]  # the one that chooses the best checkpoint by default

    validation: Scores
    testing: Scores

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

    def __setattr__(self, name: str, value: Any) -> None:
        """Past nn.Module's search for tensors and modules where Lightning notes the hook that runs: 44 times a step."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @abc.abstractmethod
    def loss_and_score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The training loss () and the sum of the training score over the batch (), for accuracy: the number right."""

    @abc.abstractmethod
    def train_metrics(self) -> dict[str, float]:
        """The epoch's training metrics so far."""

    @abc.abstractmethod
    def judge(self, metrics: Any, batch: tuple[Tensor, Tensor]) -> None:
        """Add a batch of images (B, C, H, W) and their targets to `self.validation` or `self.testing`."""

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add a batch to the validation metrics."""
        self.judge(self.validation, batch)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics as val/..."""
        self.log_dict({f"val/{name}": value for name, value in self.validation.scalars().items()})
        self.validation.reset()

    def on_test_epoch_start(self) -> None:
        """Begin a test."""
        self.testing.reset()

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add a batch to the test metrics."""
        self.judge(self.testing, batch)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics as test/...; they are kept for `test_details`."""
        self.log_dict({f"test/{name}": value for name, value in self.testing.scalars().items()})

    def test_details(self) -> dict[str, Any]:
        """What the last test gave beyond scalars, as plain containers, e.g. the confusion matrix."""
        return self.testing.details()

    def test_images(self) -> list[dict[str, float]]:
        """A row of scores for each image of the last test, in order; empty where the task keeps none."""
        return []

    def test_masks(self) -> Tensor | None:
        """The predicted classes (N, H, W) uint8 of the last test, in order; None where the task predicts no masks."""
        return None

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

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer is told; where nothing is to be clipped, Lightning's checks are not made every step."""
        if gradient_clip_val is not None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_validation_start(self) -> None:
        """Note which epoch the validation metrics are of: Lightning keeps them through epochs without validation."""
        self._validated_epoch = self.current_epoch

    def on_validation_epoch_start(self) -> None:
        """Let several processes judge the same network: each has normalised by its own batch since the last step."""
        copy_from_first(self.model.buffers())

    @property
    def validated(self) -> bool:
        """Whether this epoch has been validated."""
        return self._validated_epoch == self.current_epoch

    def epoch_metrics(self) -> dict[str, float]:
        """What Lightning knows of this epoch so far: a validation of an epoch before is left out."""
        known = {key: float(value) for key, value in self.trainer.callback_metrics.items()}
        return {key: value for key, value in known.items() if self.validated or not key.startswith("val/")}

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's means."""
        self._steps.reset(self.current_epoch)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch of images (B, C, H, W) and their targets."""
        images, targets = batch
        loss, score = self.loss_and_score(self(images), targets)
        self._steps.add(loss, score, len(images))
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the epoch's means so far, of several processes each one's."""
        checkpoint["epoch_steps"] = per_rank(self._steps.state_dict())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the epoch's means; of a checkpoint that is not for going on there are none."""
        if "epoch_steps" in checkpoint:
            self._steps.load_state_dict(own(checkpoint["epoch_steps"]))

    def check_finite(self) -> None:
        """Look at the losses that still wait on the device, and at the weights; raises NonFiniteLoss."""
        self._steps.open_losses()
        norms = torch.stack(torch._foreach_norm(list(self.parameters())))
        if not bool(norms.isfinite().all()):
            raise NonFiniteLoss(
                f"the last step of epoch {self.current_epoch + 1} made the weights infinite or NaN: "
                "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
            )


# Lightning asks for the step's signature every step; inspect finds it here before it computes it anew.
Task.training_step.__signature__ = inspect.signature(Task.training_step)  # type: ignore[attr-defined]


def class_weights_tensor(
    wanted: ClassWeights, num_classes: int, class_counts: Callable[[], Tensor] | None
) -> Tensor | None:
    """The weights of the classes in the loss: (num_classes,) float32, or None.

    Args:
        wanted: None, one a class, or "balanced": all / (classes * those of the class), as scikit-learn has it.
        num_classes: number of classes.
        class_counts: gives the training images (of masks: pixels) of each class; asked only for balanced weights.

    Raises:
        ValueError: a list of another length than the classes.
    """
    if wanted is None:
        return None
    if wanted == "balanced":
        counts = torch.ones(num_classes) if class_counts is None else class_counts().float()
        return counts.sum() / (num_classes * counts.clamp(min=1))
    if len(wanted) != num_classes:
        raise ValueError(f"class_weights has {len(wanted)} values, the data have {num_classes} classes")
    return torch.tensor(wanted, dtype=torch.float32)
