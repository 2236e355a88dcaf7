"""Scores of every image against scikit-learn, torchmetrics and segmentation_models_pytorch, image by image."""

import functools
import json
import math
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from sklearn import metrics as sklearn
from torch import Tensor
from torchmetrics.classification import BinaryF1Score

from receptive.tasks.segmentation_metrics import SCORES, SegmentationMetrics, pixel_counts, predicted_classes, scores_of

ORACLES = {
    "f1": sklearn.f1_score,
    "iou": sklearn.jaccard_score,
    "precision": sklearn.precision_score,
    "recall": sklearn.recall_score,
}
NAMES = {2: ("background", "lungs"), 3: ("background", "lungs", "heart"), 4: tuple("abcd")}
IMAGES = 12


def make_masks(num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Predicted and true classes (12, 9, 7) in blocks; some images lack a class in one of them or in both."""
    random = torch.Generator().manual_seed(seed)
    true = torch.randint(num_classes, (IMAGES, 9, 7), generator=random)
    predicted = torch.where(
        torch.rand(true.shape, generator=random) < 0.7, true, torch.randint(num_classes, true.shape, generator=random)
    )
    true[0], predicted[0] = 0, 0  # an empty mask predicted empty
    true[1] = 0  # an empty mask with false alarms
    predicted[2] = 0  # all missed
    predicted[3] = true[3]  # all right
    true[4], predicted[4] = num_classes - 1, num_classes - 1  # full
    return predicted, true


def logits_of(predicted: Tensor, num_classes: int) -> Tensor:
    """Logits (B, C, H, W) whose largest is that of the predicted class."""
    random = torch.Generator().manual_seed(1)
    noise = torch.rand((*predicted.shape, num_classes), generator=random)
    return (noise + 2 * torch.nn.functional.one_hot(predicted, num_classes)).permute(0, 3, 1, 2)


@functools.cache
def scikit_learns(num_classes: int) -> np.ndarray:
    """(N, num_classes - 1, 4) scores of make_masks; NaN where a class is in neither mask nor prediction."""
    predicted, true = make_masks(num_classes)
    scores = np.full((IMAGES, num_classes - 1, 4), np.nan)
    for row, label in np.ndindex(scores.shape[:2]):
        pair = (true[row] == label + 1).flatten().numpy(), (predicted[row] == label + 1).flatten().numpy()
        if pair[0].any() or pair[1].any():
            scores[row, label] = [function(*pair, zero_division=0) for function in ORACLES.values()]
    return scores


def oracle(num_classes: int, empty: float) -> np.ndarray:
    """The same with `empty` instead of NaN."""
    return np.nan_to_num(scikit_learns(num_classes), nan=empty)


def filled(predicted: Tensor, true: Tensor, num_classes: int, empty_mask: Any = "one", size: int = 5) -> Any:
    metrics = SegmentationMetrics(NAMES[num_classes], empty_mask)
    logits = logits_of(predicted, num_classes)
    for number, batch in enumerate(zip(logits.split(size), true.split(size), strict=True)):
        metrics.update(*batch, torch.tensor(1.0 + number))
    return metrics


RULES = [("one", 1.0), ("zero", 0.0), ("ignore", np.nan)]


@pytest.mark.parametrize("num_classes", NAMES)
@pytest.mark.parametrize(("empty_mask", "empty"), RULES)
@pytest.mark.parametrize("size", [1, 5, 12])
def test_scores_of_every_image_are_scikit_learns(num_classes: int, empty_mask: Any, empty: float, size: int) -> None:
    predicted, true = make_masks(num_classes)
    scores = filled(predicted, true, num_classes, empty_mask, size).compute()
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores, oracle(num_classes, empty), rtol=1e-12)


@pytest.mark.parametrize(("empty_mask", "zero_division"), [("one", 1.0), ("zero", 0.0)])
def test_two_classes_are_torchmetrics_and_smps(empty_mask: Any, zero_division: float) -> None:
    predicted, true = make_masks(2)
    f1, iou, precision, recall = filled(predicted, true, 2, empty_mask).compute()[:, 0].T
    theirs = BinaryF1Score(multidim_average="samplewise", zero_division=zero_division)(predicted, true)
    np.testing.assert_allclose(f1, theirs, rtol=1e-6)
    stats = smp.metrics.get_stats(predicted.unsqueeze(1), true.unsqueeze(1), mode="binary")
    for ours, function in ((f1, smp.metrics.f1_score), (iou, smp.metrics.iou_score)):
        np.testing.assert_allclose(ours, function(*stats, zero_division=zero_division)[:, 0], rtol=1e-6)
    for ours, function in ((precision, smp.metrics.precision), (recall, smp.metrics.recall)):
        # where only one of mask and prediction is empty, ours are 0 whatever the rule
        expected = function(*stats, zero_division=0.0)[:, 0]
        expected[0] = zero_division
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("num_classes", NAMES)
@pytest.mark.parametrize(("empty_mask", "empty"), RULES)
def test_scalars_are_over_images_of_the_mean_over_classes(num_classes: int, empty_mask: Any, empty: float) -> None:
    predicted, true = make_masks(num_classes)
    by_class = oracle(num_classes, empty)
    images = np.array([np.nanmean(row, axis=0) for row in by_class if not np.isnan(row).all()])
    assert len(images) == (11 if empty_mask == "ignore" else 12)
    expected = {f"{name}_mean": images[:, column].mean() for column, name in enumerate(SCORES)}
    expected |= {
        "f1_min": images[:, 0].min(),
        "f1_std": np.std(images[:, 0], ddof=1),
        "loss": (5 * 1 + 5 * 2 + 2 * 3) / 12,
    }
    assert filled(predicted, true, num_classes, empty_mask).scalars() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("num_classes", NAMES)
@pytest.mark.parametrize(("empty_mask", "empty"), RULES)
def test_details_tell_each_class_and_both_ends(num_classes: int, empty_mask: Any, empty: float) -> None:
    predicted, true = make_masks(num_classes)
    details = filled(predicted, true, num_classes, empty_mask).details(ends=3)
    scores = oracle(num_classes, empty)
    for label, name in enumerate(NAMES[num_classes][1:]):
        kept = scores[:, label][~np.isnan(scores[:, label, 0])]
        expected = {f"{score}_mean": kept[:, column].mean() for column, score in enumerate(SCORES)}
        expected |= {"f1_min": kept[:, 0].min(), "empty": int((true != label + 1).flatten(1).all(1).sum())}
        assert details["by_class"][name] == pytest.approx(expected, abs=1e-6)
    f1 = {row: np.nanmean(values[:, 0]) for row, values in enumerate(scores) if not np.isnan(values[:, 0]).all()}
    ranked = sorted(f1.items(), key=lambda item: item[1])
    assert [image["f1"] for image in details["worst"]] == pytest.approx([value for _, value in ranked[:3]], abs=1e-6)
    assert [image["f1"] for image in details["best"]] == pytest.approx(
        [value for _, value in ranked[::-1][:3]], abs=1e-6
    )
    for image in (*details["worst"], *details["best"]):
        assert image["f1"] == pytest.approx(f1[image["index"]], abs=1e-6)
    assert "empty mask" in details["empty_mask"]
    json.dumps(details, allow_nan=False)


def test_each_rule_for_empty_masks_has_its_words() -> None:
    words = [SegmentationMetrics(NAMES[2], rule).empty_mask for rule in ("one", "zero", "ignore")]
    assert words == ["one", "zero", "ignore"]
    told = {filled(*make_masks(2), 2, rule).details()["empty_mask"] for rule in words}
    assert len(told) == 3


def test_a_single_image_has_no_deviation() -> None:
    predicted, true = make_masks(2)
    scalars = filled(predicted[5:6], true[5:6], 2).scalars()
    assert "f1_std" not in scalars
    assert scalars["f1_mean"] == scalars["f1_min"] > 0
    assert all(math.isfinite(value) for value in scalars.values())


@pytest.mark.parametrize("count", [1, 3])
def test_where_every_image_is_left_out_nothing_is_no_number(count: int) -> None:
    empty = torch.zeros(count, 4, 4, dtype=torch.int64)
    metrics = filled(empty, empty, 2, "ignore")
    assert metrics.scalars() == {"loss": 1.0}
    details = metrics.details()
    assert details["by_class"] == {"lungs": {"empty": count}}
    assert details["worst"] == details["best"] == []
    json.dumps(details, allow_nan=False)


def test_counts_are_of_pixels() -> None:
    predicted, true = torch.tensor([[[0, 1, 2, 2]]]), torch.tensor([[[1, 1, 2, 0]]])
    assert pixel_counts(predicted, true, 3).tolist() == [[[1, 2, 1], [1, 1, 2]]]
    assert pixel_counts(predicted, true.byte(), 3).tolist() == [[[1, 2, 1], [1, 1, 2]]]


def test_a_tie_goes_to_the_first_class() -> None:
    for num_classes in (2, 3):
        assert predicted_classes(torch.zeros(1, num_classes, 1, 2)).tolist() == [[[0, 0]]]
    logits = torch.randn(2, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predicted_classes(logits), logits.argmax(1))
    assert predicted_classes(logits).dtype == torch.int64


def test_scores_in_float32_are_those_of_whole_numbers() -> None:
    counts = torch.tensor([[3, 5, 4], [0, 0, 0], [0, 2, 0], [0, 0, 9]])
    np.testing.assert_allclose(scores_of(counts.float()), scores_of(counts), rtol=1e-6)
    np.testing.assert_allclose(scores_of(counts), [[6 / 9, 3 / 6, 3 / 4, 3 / 5], [1] * 4, [0] * 4, [0] * 4])


def test_reset_forgets_all_and_a_checkpoint_holds_nothing() -> None:
    predicted, true = make_masks(2)
    metrics = filled(predicted, true, 2)
    metrics.reset()
    metrics.update(logits_of(predicted[:2], 2), true[:2], torch.tensor(4.0))
    assert metrics.compute().shape == (2, 1, 4)
    assert metrics.scalars()["loss"] == 4.0
    assert not metrics.state_dict()
