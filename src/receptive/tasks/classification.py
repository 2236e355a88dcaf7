"""Classification of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Lt
from torch import Tensor, nn

from receptive.tasks.base import ClassWeights, OptimizerFactory, ScheduleFactory, Task, class_weights_tensor
from receptive.tasks.metrics import ClassificationMetrics


class ClassificationTask(Task):
    """Cross-entropy on one class an image; accuracy top-1, macro and by class.

    Args:
        model: from images (B, C, H, W) to logits (B, num_classes).
        optimizer: from parameters to an optimizer.
        schedule: from an optimizer to a scheduler or None.
        class_names: of the data.
        class_counts: gives the training images of each class (num_classes,); needed for balanced weights.
        channels_last: hand the network its images in torch.channels_last.
        label_smoothing: share of the target's weight that is spread over all classes (Szegedy et al. 2016).
        class_weights: of the training loss: None, one a class, or "balanced" (all images / (classes * images of the
            class), as scikit-learn has it).

    Raises:
        ValueError: a list of weights of another length than the classes.
    """

    class_weights: Tensor | None

    TARGET = "label"
    METRICS = ("val/loss", "val/accuracy", "val/accuracy_macro", "train/loss", "train/accuracy")
    MONITOR = "val/accuracy"

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        class_names: tuple[str, ...],
        class_counts: Callable[[], Tensor] | None = None,
        channels_last: bool = True,
        label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, schedule=schedule, channels_last=channels_last)
        self.label_smoothing = label_smoothing
        weights = class_weights_tensor(class_weights, len(class_names), class_counts)
        self.register_buffer("class_weights", weights, persistent=False)
        self.validation = ClassificationMetrics(len(class_names))
        self.testing = ClassificationMetrics(len(class_names))

    def loss_and_score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy () and the number of images whose class is right ()."""
        loss = F.cross_entropy(output, targets, weight=self.class_weights, label_smoothing=self.label_smoothing)
        return loss, (output.detach().argmax(dim=1) == targets).sum()

    def train_metrics(self) -> dict[str, float]:
        """train/loss and train/accuracy of the epoch so far (the network changes under way)."""
        loss, accuracy = self._steps.means()
        return {"train/loss": loss, "train/accuracy": accuracy}

    def judge(self, metrics: ClassificationMetrics, batch: tuple[Tensor, Tensor]) -> None:
        """Add a batch: images (B, C, H, W) and labels (B,)."""
        metrics.update(self(batch[0]), batch[1])
