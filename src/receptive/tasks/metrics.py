"""Metrics of a classifier over a whole validation or test set, from torchmetrics."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix


class ClassificationMetrics(nn.Module):
    """Mean cross-entropy, accuracy (top-1, and macro: the mean over classes), accuracy by class, confusion matrix.

    The loss is the plain cross-entropy whatever the training loss is, so that runs can be compared.

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        options: dict[str, Any] = {"num_classes": num_classes, "validate_args": False}
        self.scores = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(average="micro", **options),
                "accuracy_macro": MulticlassAccuracy(average="macro", **options),
                "by_class": MulticlassAccuracy(average="none", **options),
                "confusion": MulticlassConfusionMatrix(**options),
            }
        )
        # not MeanMetric: it drops its weights when it is told to let NaN pass
        self.loss = SumMetric(nan_strategy="disable")
        self.images = SumMetric(nan_strategy="disable")

    def reset(self) -> None:
        """Forget all batches."""
        self.scores.reset()
        self.loss.reset()
        self.images.reset()

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: logits float (B, num_classes), targets int64 (B,)."""
        self.scores.update(logits.argmax(dim=1), targets)
        self.loss.update(F.cross_entropy(logits, targets, reduction="sum"))
        self.images.update(len(targets))

    def scalars(self) -> dict[str, Tensor]:
        """loss, accuracy and accuracy_macro so far, each ()."""
        values = self.scores.compute()
        return {
            "loss": self.loss.compute() / self.images.compute(),
            "accuracy": values["accuracy"],
            "accuracy_macro": values["accuracy_macro"],
        }

    def details(self) -> dict[str, Any]:
        """accuracy_by_class: a list; confusion_matrix: rows are the true classes, columns the predicted."""
        values = self.scores.compute()
        return {
            "accuracy_by_class": [round(value, 6) for value in values["by_class"].tolist()],
            "confusion_matrix": values["confusion"].tolist(),
        }
