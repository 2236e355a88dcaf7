"""Metrics of a segmentation, image by image."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

EmptyMask = Literal["one", "zero", "ignore"]
SCORES = ("f1", "iou", "precision", "recall")
EMPTY_MASK_RULE = {
    "one": "an empty mask that is predicted empty counts 1",
    "zero": "an empty mask counts 0 even if it is predicted empty",
    "ignore": "an empty mask that is predicted empty is left out",
}
_EMPTY = {"one": 1.0, "zero": 0.0, "ignore": float("nan")}


def predicted_classes(logits: Tensor) -> Tensor:
    """The class of the largest logit, the first of equals: from (B, C, H, W) to (B, H, W) int64."""
    if logits.shape[1] == 2:  # argmax over so few is slow
        return (logits[:, 1] > logits[:, 0]).long()
    return logits.argmax(dim=1)


def pixel_counts(predicted: Tensor, masks: Tensor, num_classes: int) -> Tensor:
    """Pixels of each foreground class in both, in the mask, and in the prediction, image by image.

    Args:
        predicted: (B, H, W) integer classes.
        masks: (B, H, W) integer classes.
        num_classes: background included.

    Returns:
        (B, num_classes - 1, 3) int64.
    """
    by_class = []
    for label in range(1, num_classes):  # no bincount: it makes a GPU wait at every step
        found, true = predicted == label, masks == label
        by_class.append(torch.stack([part.flatten(1).sum(1) for part in (found & true, true, found)], dim=1))
    return torch.stack(by_class, dim=1)


def scores_of(counts: Tensor, empty_mask: EmptyMask = "one") -> Tensor:
    """F1 (Dice), intersection over union, precision and recall.

    A class that neither mask nor prediction has is an empty mask rightly predicted empty: its scores are 1, 0 or NaN
    (left out of means), as `empty_mask` says. Any other score that would divide by nothing is 0.

    Args:
        counts: (..., 3) of pixel_counts.
        empty_mask: "one", "zero" or "ignore".

    Returns:
        (..., 4) floating point, in the order of SCORES.
    """
    pixels = counts if counts.is_floating_point() else counts.double()
    hits, true, found = pixels.unbind(-1)
    ratios = [
        2 * hits / (true + found).clamp(min=1),
        hits / (true + found - hits).clamp(min=1),
        hits / found.clamp(min=1),
        hits / true.clamp(min=1),
    ]
    return torch.stack(ratios, dim=-1).masked_fill((true + found == 0).unsqueeze(-1), _EMPTY[empty_mask])


class SegmentationMetrics(Metric):
    """Scores of every image of a validation or test set, and the mean loss.

    Args:
        class_names: one a class; the first is the background, which is not scored.
        empty_mask: what an empty mask that is predicted empty counts: "one", "zero", or "ignore": it is left out.
    """

    full_state_update = False
    counts: list[Tensor]
    losses: list[Tensor]

    def __init__(self, class_names: tuple[str, ...], empty_mask: EmptyMask = "one") -> None:
        super().__init__()
        self.class_names = class_names
        self.empty_mask: EmptyMask = empty_mask
        self.add_state("counts", [], dist_reduce_fx="cat")
        self.add_state("losses", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, masks: Tensor, loss: Tensor) -> None:
        """Add a batch: logits (B, C, H, W), masks (B, H, W), the mean loss () of its pixels."""
        self.counts.append(pixel_counts(predicted_classes(logits), masks, len(self.class_names)))
        self.losses.append(loss.detach().expand(len(masks)))

    def compute(self) -> Tensor:
        """The scores of all images in the order of the data (of several processes: in that of each, one after the
        other): (N, C - 1, 4) float64, on the CPU.
        """
        return scores_of(dim_zero_cat(self.counts).cpu(), self.empty_mask)

    def scalars(self) -> dict[str, float]:
        """loss, and over images f1_mean, f1_std (ddof 1), f1_min, iou_mean, precision_mean, recall_mean.

        An image's score is the mean over its foreground classes. A deviation needs two images.
        """
        images = self.compute().nanmean(dim=1)
        images = images[~images[:, 0].isnan()]
        with self.sync_context():
            values = {"loss": float(dim_zero_cat(self.losses).double().mean())}
        if len(images):
            values |= {f"{name}_mean": float(images[:, column].mean()) for column, name in enumerate(SCORES)}
            values["f1_min"] = float(images[:, 0].min())
        if len(images) > 1:
            values["f1_std"] = float(images[:, 0].std(correction=1))
        return values

    def details(self, ends: int = 10) -> dict[str, Any]:
        """What a few scalars leave out, as plain containers.

        Args:
            ends: how many images are named at either end.

        Returns:
            by_class: class -> its scores over the images, and `empty`: the number of images without it;
            worst, best: the images with the smallest and the largest F1, that end first, by index;
            empty_mask: the rule in words.
        """
        scores, true = self.compute(), dim_zero_cat(self.counts).cpu()[..., 1]
        means = scores.nanmean(dim=1)[:, 0]
        order = [row for row in means.argsort(stable=True).tolist() if not means[row].isnan()]
        ranked = [{"index": row, "f1": round(float(means[row]), 6)} for row in order]
        return {
            "by_class": {
                name: _by_class(scores[:, label]) | {"empty": int((true[:, label] == 0).sum())}
                for label, name in enumerate(self.class_names[1:])
            },
            "worst": ranked[:ends],
            "best": ranked[::-1][:ends],
            "empty_mask": EMPTY_MASK_RULE[self.empty_mask],
        }


def _by_class(scores: Tensor) -> dict[str, float]:
    kept = scores[~scores[:, 0].isnan()]
    if not len(kept):
        return {}
    values = {f"{name}_mean": float(kept[:, column].mean()) for column, name in enumerate(SCORES)}
    values["f1_min"] = float(kept[:, 0].min())
    return {name: round(value, 6) for name, value in values.items()}
