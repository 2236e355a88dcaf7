"""Segmentation of images: a class for every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from receptive.tasks.base import ClassWeights, OptimizerFactory, ScheduleFactory, Task, class_weights_tensor
from receptive.tasks.segmentation_metrics import (
    SCORES,
    EmptyMask,
    SegmentationMetrics,
    pixel_counts,
    predicted_classes,
    scores_of,
)

Loss = Literal["cross_entropy", "dice", "cross_entropy_dice", "focal"]


class SegmentationTask(Task):
    """A loss on one class a pixel; F1, intersection over union, precision and recall image by image.

    Two classes, background and object, are two logits: their softmax is the sigmoid of the difference, and the
    cross-entropy is the binary cross-entropy of it.

    Args:
        model: from images (B, C, H, W) to logits (B, num_classes, H, W).
        optimizer: from parameters to an optimizer.
        schedule: from an optimizer to a scheduler or None.
        class_names: of the data, the background first.
        class_counts: gives the training pixels of each class (num_classes,); needed for balanced weights.
        channels_last: hand the network its images in torch.channels_last.
        loss: cross_entropy; dice: 1 - the soft Dice coefficient over the batch (Milletari et al. 2016,
            arXiv:1606.04797), averaged over the foreground classes, 0 of one that the batch's masks lack;
            cross_entropy_dice: their sum; focal (Lin et al. 2017, arXiv:1708.02002), with more than two classes of each
            against all others.
        focal_gamma: how much the focal loss leaves out what is right already.
        class_weights: of the cross-entropy: None, one a class, or "balanced" (as in classification, over pixels).
        empty_mask: what a class counts that neither an image's mask nor its prediction has: "one", "zero", or "ignore":
            it is left out of means (train/f1, which only follows the training, counts it 0).

    Raises:
        ValueError: a list of weights of another length than the classes, or weights for a loss that takes none.
    """

    class_weights: Tensor | None
    validation: SegmentationMetrics
    testing: SegmentationMetrics

    TARGET = "mask"
    METRICS = (
        *("val/loss", "val/f1_mean", "val/f1_std", "val/f1_min", "val/iou_mean", "val/precision_mean"),
        *("val/recall_mean", "train/loss", "train/f1"),
    )
    MONITOR = "val/f1_mean"
    SCORE = ("train/f1", "val/f1_mean")  # in training and validation, for the picture of the history

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        class_names: tuple[str, ...],
        class_counts: Callable[[], Tensor] | None = None,
        channels_last: bool = True,
        loss: Loss = "cross_entropy_dice",
        focal_gamma: Annotated[float, Ge(1)] = 2.0,
        class_weights: ClassWeights = None,
        empty_mask: EmptyMask = "one",
    ) -> None:
        super().__init__(model, optimizer=optimizer, schedule=schedule, channels_last=channels_last)
        if class_weights is not None and not loss.startswith("cross_entropy"):
            raise ValueError(f"class_weights with loss={loss}: only the cross-entropy takes weights")
        weights = class_weights_tensor(class_weights, len(class_names), class_counts)
        self.register_buffer("class_weights", weights, persistent=False)
        self.num_classes = len(class_names)
        self.loss = loss
        self._library_loss = _library_loss(loss, self.num_classes, focal_gamma)
        self.validation = SegmentationMetrics(class_names, empty_mask)
        self.testing = SegmentationMetrics(class_names, empty_mask)
        self._test_masks: list[Tensor] = []

    def loss_of(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The training loss () of logits (B, num_classes, H, W) against masks (B, H, W)."""
        masks = masks.long()
        loss = logits.new_zeros(())
        if self.loss.startswith("cross_entropy"):
            loss = loss + self._cross_entropy(logits, masks)
        if self._library_loss is not None:
            # two classes are one logit to the library: less to compute
            scores = logits if self.num_classes > 2 else logits[:, 1:] - logits[:, :1]
            loss = loss + self._library_loss(scores, masks)
        return loss

    def _cross_entropy(self, logits: Tensor, masks: Tensor) -> Tensor:
        if logits.is_cuda:  # the form for images has no deterministic kernel there; that for rows has
            logits, masks = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.flatten()
        return F.cross_entropy(logits, masks, weight=self.class_weights)

    def loss_and_score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss () and the sum over images of their F1 (), an empty mask counting as in validation."""
        return self.loss_of(output, targets), self.scores(predicted_classes(output.detach()), targets)[:, 0].nansum()

    def scores(self, predicted: Tensor, masks: Tensor) -> Tensor:
        """f1, iou, precision and recall (B, 4) float32 of each image, from predicted and true classes (B, H, W)."""
        counts = pixel_counts(predicted, masks, self.num_classes).float()
        return scores_of(counts, self.validation.empty_mask).nanmean(dim=1)

    def train_metrics(self) -> dict[str, float]:
        """train/loss and train/f1 of the epoch so far (the network changes under way)."""
        loss, score = self._steps.means()
        return {"train/loss": loss, "train/f1": score}

    def test_images(self) -> list[dict[str, float]]:
        """f1, iou, precision and recall of each image of the last test."""
        return [dict(zip(SCORES, row, strict=True)) for row in self.testing.compute().nanmean(dim=1).tolist()]

    def judge(self, metrics: SegmentationMetrics, batch: tuple[Tensor, Tensor]) -> None:
        """Add a batch: images (B, C, H, W) and masks (B, H, W)."""
        logits = self(batch[0])
        metrics.update(logits, batch[1], self.loss_of(logits, batch[1]))
        if metrics is self.testing:
            self._test_masks.append(predicted_classes(logits).to("cpu", torch.uint8))

    def on_test_epoch_start(self) -> None:
        """Begin a test."""
        super().on_test_epoch_start()
        self._test_masks = []

    def test_masks(self) -> Tensor | None:
        """The predicted classes (N, H, W) uint8 of the last test, in order."""
        return torch.cat(self._test_masks) if self._test_masks else None


def _library_loss(name: Loss, num_classes: int, focal_gamma: float) -> nn.Module | None:
    if name == "cross_entropy":
        return None
    from segmentation_models_pytorch import losses  # slow to load

    mode = "binary" if num_classes == 2 else "multiclass"
    if name == "focal":
        focal: nn.Module = losses.FocalLoss(mode, gamma=focal_gamma)
        return focal
    dice: nn.Module = losses.DiceLoss(mode, classes=None if mode == "binary" else list(range(1, num_classes)))
    return dice
