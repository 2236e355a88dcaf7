"""The losses against formulas in float64, and what a real fit logs and saves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from receptive.callbacks.records import EpochRecords
from receptive.data.jsrt import JSRT
from receptive.data.module import ImageData
from receptive.models.unet import UNet
from receptive.optimizers import schedules
from receptive.tasks.segmentation import SegmentationTask
from receptive.tasks.segmentation_metrics import SCORES

LOSSES = ("cross_entropy", "dice", "cross_entropy_dice", "focal")
NAMES = ("background", "lungs", "heart", "clavicles")
WEIGHTS = [0.5, 2.0, 0.0, 3.0]


def make_task(num_classes: int = 2, **options: Any) -> SegmentationTask:
    """A task over a small net whose weights are the same every time."""
    torch.manual_seed(0)
    net = UNet(in_channels=1, num_classes=num_classes, base_channels=4, depth=2)
    defaults: dict[str, Any] = {
        "optimizer": partial(torch.optim.SGD, lr=0.1),
        "schedule": schedules.constant,
        "class_names": NAMES[:num_classes],
    }
    return SegmentationTask(net, **(defaults | options))


@pytest.fixture
def data(jsrt_root: Path) -> ImageData:
    return ImageData(
        JSRT(str(jsrt_root), image_size=32), batch_size=2, eval_batch_size=4, validation=2, split_seed=0
    )  # fmt: skip


def batch(num_classes: int, seed: int = 0, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits (3, C, 6, 5) and masks (3, 6, 5); the last class is in no mask where there are four."""
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(3, num_classes, 6, 5, generator=random)
    return logits, torch.randint(min(num_classes, 3), (3, 6, 5), generator=random)


def cross_entropy(logits: Tensor, masks: Tensor, weights: np.ndarray | None = None) -> float:
    scores = logits.double().numpy()
    log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    true = masks.numpy()
    surprise = -np.take_along_axis(log_shares, true[:, None], axis=1)[:, 0]
    by_pixel = np.ones_like(surprise) if weights is None else weights[true]
    return float((by_pixel * surprise).sum() / by_pixel.sum())


def dice(logits: Tensor, masks: Tensor) -> float:
    """1 - 2 |A B| / (|A| + |B|) over the batch, 0 for a class that it lacks; the mean over foreground classes."""
    scores = np.exp(logits.double().numpy())
    shares = scores / scores.sum(axis=1, keepdims=True)
    losses = []
    for label in range(1, logits.shape[1]):
        true = masks.numpy() == label
        overlap = 2 * (shares[:, label] * true).sum() / (shares[:, label].sum() + true.sum())
        losses.append(1 - overlap if true.any() else 0.0)
    return float(np.mean(losses))


def focal(logits: Tensor, masks: Tensor, gamma: float) -> float:
    """Two classes: of the difference of the logits; more: of each class against all others, averaged."""
    scores = logits.double().numpy()
    if logits.shape[1] == 2:
        against_others, true = scores[:, 1:] - scores[:, :1], (masks.numpy() == 1)[:, None]
    else:
        against_others, true = scores, np.arange(logits.shape[1])[:, None, None] == masks.numpy()[:, None]
    shares = 1 / (1 + np.exp(-against_others))
    right = np.where(true, shares, 1 - shares)
    return float(-((1 - right) ** gamma * np.log(right)).mean())


FORMULAS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "cross_entropy_dice": lambda logits, masks: cross_entropy(logits, masks) + dice(logits, masks),
    "focal": partial(focal, gamma=2.0),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_classes", [2, 3, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_loss_is_its_formula(loss: Any, num_classes: int, layout: torch.memory_format) -> None:
    logits, masks = batch(num_classes)
    logits = logits.contiguous(memory_format=layout)
    found = make_task(num_classes, loss=loss).loss_of(logits, masks.byte())
    assert found.shape == ()
    assert float(found) == pytest.approx(FORMULAS[loss](logits, masks), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1, 5), st.sampled_from([2, 3]))
def test_the_focal_loss_is_its_formula_for_every_gamma(seed: int, gamma: float, num_classes: int) -> None:
    logits, masks = batch(num_classes, seed)
    found = make_task(num_classes, loss="focal", focal_gamma=gamma).loss_of(logits, masks)
    assert float(found) == pytest.approx(focal(logits, masks, gamma), rel=1e-4)


def test_two_classes_are_the_binary_cross_entropy_of_the_difference() -> None:
    logits, masks = batch(2)
    difference = (logits[:, 1] - logits[:, 0]).double()
    binary = nn.functional.binary_cross_entropy_with_logits(difference, masks.double())
    assert float(make_task(loss="cross_entropy").loss_of(logits, masks)) == pytest.approx(float(binary), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_loss_and_gradient_are_finite_also_where_all_is_certain(
    loss: Any, num_classes: int, scale: float, gamma: float
) -> None:
    logits, masks = batch(num_classes, scale=scale)
    masks[0] = 0  # an empty mask
    logits.requires_grad_()
    found = make_task(num_classes, loss=loss, focal_gamma=gamma).loss_of(logits, masks)
    found.backward()
    assert found.isfinite()
    assert logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_of_empty_masks_has_a_loss(loss: Any) -> None:
    logits = batch(2)[0].requires_grad_()
    found = make_task(loss=loss).loss_of(logits, torch.zeros(3, 6, 5, dtype=torch.uint8))
    found.backward()
    assert found.isfinite() and logits.grad is not None and logits.grad.isfinite().all()
    assert (found.item() == 0) == (loss == "dice")  # Dice alone says nothing about them


class TestClassWeights:
    @pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy_dice"])
    def test_weigh_the_cross_entropy_alone(self, loss: Any) -> None:
        logits, masks = batch(4)
        found = make_task(4, loss=loss, class_weights=WEIGHTS).loss_of(logits, masks)
        expected = cross_entropy(logits, masks, np.array(WEIGHTS)) + (dice(logits, masks) if "dice" in loss else 0)
        assert float(found) == pytest.approx(expected, rel=1e-5)

    def test_balanced_is_scikit_learns_over_pixels(self) -> None:
        pixels = np.repeat(np.arange(3), [700, 200, 17])
        task = make_task(3, class_weights="balanced", class_counts=lambda: torch.from_numpy(np.bincount(pixels)))
        assert isinstance(task.class_weights, Tensor)
        expected = compute_class_weight("balanced", classes=np.arange(3), y=pixels)
        np.testing.assert_allclose(task.class_weights, expected, rtol=1e-6)

    def test_counts_are_asked_for_only_when_they_are_needed(self) -> None:
        make_task(class_weights=[1.0, 2.0], class_counts=lambda: pytest.fail("counted"))

    def test_of_the_data(self, data: ImageData) -> None:
        task = make_task(class_weights="balanced", class_counts=data.class_counts)
        masks = torch.cat([targets for _, targets in data.train_dataloader()])
        expected = compute_class_weight("balanced", classes=np.arange(2), y=masks.flatten().numpy())
        assert isinstance(task.class_weights, Tensor)
        np.testing.assert_allclose(task.class_weights, expected, rtol=1e-6)

    @pytest.mark.parametrize("loss", ["dice", "focal"])
    @pytest.mark.parametrize("weights", [[1.0, 2.0], "balanced"])
    def test_are_refused_where_there_is_no_cross_entropy(self, loss: Any, weights: Any) -> None:
        with pytest.raises(ValueError, match=f"class_weights with loss={loss}: only the cross-entropy takes weights"):
            make_task(loss=loss, class_weights=weights)

    def test_of_another_number_of_classes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="class_weights has 3 values, the data have 2 classes"):
            make_task(class_weights=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_score_is_the_sum_of_the_images_f1(num_classes: int) -> None:
    logits, masks = batch(num_classes)
    _, score = make_task(num_classes).loss_and_score(logits.requires_grad_(), masks)
    predicted = logits.argmax(1)
    labels = list(range(1, num_classes))
    expected = sum(
        sklearn.f1_score(true.flatten(), found.flatten(), labels=labels, average="macro", zero_division=1)
        for true, found in zip(masks, predicted, strict=True)
    )
    assert float(score) == pytest.approx(expected, rel=1e-6)
    assert not score.requires_grad


@pytest.mark.parametrize(("empty_mask", "score"), [("one", 2.0), ("zero", 1.0), ("ignore", 1.0)])
def test_an_empty_mask_counts_in_training_as_it_does_in_validation(empty_mask: Any, score: float) -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.uint8)
    masks[1, 0] = 1
    logits = torch.nn.functional.one_hot(masks.long(), 2).permute(0, 3, 1, 2).float()
    assert float(make_task(empty_mask=empty_mask).loss_and_score(logits, masks)[1]) == score


def test_a_fit_logs_the_metrics_that_the_class_names_and_nothing_in_a_step(
    data: ImageData, make_trainer: Callable[..., pl.Trainer], tmp_path: Path, logging_hooks: set[str]
) -> None:
    trainer = make_trainer(max_epochs=2, callbacks=[EpochRecords(tmp_path / "metrics.csv")])
    task = make_task()
    trainer.fit(task, datamodule=data)
    assert set(trainer.callback_metrics) == set(task.METRICS)
    assert task.MONITOR in task.METRICS and set(task.SCORE) <= set(task.METRICS)
    assert logging_hooks == {"on_train_epoch_end", "on_validation_epoch_end"}
    [tested] = trainer.test(task, datamodule=data, verbose=False)
    assert set(tested) == {name.replace("val/", "test/") for name in task.METRICS if name.startswith("val/")}


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("loss", LOSSES)
def test_validation_and_test_are_of_the_splits_images(
    data: ImageData, make_trainer: Callable[..., pl.Trainer], split: str, loss: Any
) -> None:
    task = make_task(loss=loss).eval()
    trainer = make_trainer()
    run = trainer.validate if split == "val" else trainer.test
    run(task, datamodule=data, verbose=False)
    nn.init.normal_(task.model.get_parameter("head.weight"), std=2.0)  # of a test before nothing is left
    [found] = run(task, datamodule=data, verbose=False)
    batches = list(iter(data.val_dataloader() if split == "val" else data.test_dataloader()))
    with torch.no_grad():
        outputs = [task.model(images) for images, _ in batches]
    predicted, masks = torch.cat([output.argmax(1) for output in outputs]), torch.cat([masks for _, masks in batches])
    assert len(masks) == {"val": 2, "test": 6}[split]
    functions = (sklearn.f1_score, sklearn.jaccard_score, sklearn.precision_score, sklearn.recall_score)
    rows = np.array(
        [
            [function(true.flatten(), guess.flatten(), zero_division=0) for function in functions]
            for true, guess in zip(masks, predicted, strict=True)
        ]
    )
    sizes = [len(masks) for _, masks in batches]
    losses = [
        FORMULAS[loss](output, masks.long()) for output, (_, masks) in zip(outputs, batches, strict=True)
    ]  # fmt: skip
    expected = {f"{split}/{name}_mean": rows[:, column].mean() for column, name in enumerate(SCORES)}
    expected |= {
        f"{split}/f1_std": rows[:, 0].std(ddof=1),
        f"{split}/f1_min": rows[:, 0].min(),
        f"{split}/loss": np.average(losses, weights=sizes),
    }
    assert found == pytest.approx(expected, rel=1e-4)
    if split == "test":
        images = task.test_images()
        assert [list(image) for image in images] == [list(SCORES)] * 6
        np.testing.assert_allclose([list(image.values()) for image in images], rows, rtol=1e-9)
        by_class = task.test_details()["by_class"]
        assert list(by_class) == ["lungs"]
        assert by_class["lungs"]["f1_mean"] == pytest.approx(rows[:, 0].mean(), abs=1e-5)


def test_one_image_logs_no_deviation(jsrt_root: Path, make_trainer: Callable[..., pl.Trainer]) -> None:
    data = ImageData(JSRT(str(jsrt_root), 16), batch_size=5, eval_batch_size=1, validation=1, split_seed=0)
    [found] = make_trainer().validate(make_task(), datamodule=data, verbose=False)
    assert set(found) == {f"val/{name}" for name in ("loss", "f1_min", *(f"{score}_mean" for score in SCORES))}
    assert all(np.isfinite(value) for value in found.values())


def test_a_network_that_gave_up_does_not_hide_it(data: ImageData, make_trainer: Callable[..., pl.Trainer]) -> None:
    task = make_task()
    nn.init.constant_(task.model.get_parameter("head.bias"), torch.nan)
    [found] = make_trainer().validate(task, datamodule=data, verbose=False)
    assert np.isnan(found["val/loss"])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("loss", "num_classes"), [*zip(LOSSES, (2, 3, 2, 3), strict=True)])
def test_a_fit_in_either_precision(
    jsrt_root: Path, make_trainer: Callable[..., pl.Trainer], precision: str, loss: Any, num_classes: int
) -> None:
    values = [[0, 250], [150, 200]] if num_classes == 2 else [[0], [150, 200], [250]]
    source = JSRT(str(jsrt_root), 16, NAMES[:num_classes], values)
    data = ImageData(source, batch_size=3, eval_batch_size=4, validation=2, split_seed=0, channels_last=True)
    task, dtypes = make_task(num_classes, loss=loss), set()
    task.model.register_forward_hook(lambda _, images, output: dtypes.add(output.dtype))
    trainer = make_trainer(max_epochs=1, precision=precision)
    before = [parameter.detach().clone() for parameter in task.parameters()]
    trainer.fit(task, datamodule=data)
    assert dtypes == {torch.bfloat16 if precision == "bf16-mixed" else torch.float32}
    assert task(torch.randn(1, 1, 8, 8)).dtype == torch.float32
    task.check_finite()
    assert sum(not torch.equal(*pair) for pair in zip(task.parameters(), before, strict=True)) > len(before) / 2


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_leads_to_the_mask(loss: Any) -> None:
    _, masks = batch(2)
    masks = masks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = masks.unsqueeze(1) / 2 + 0.1 * torch.randn(3, 1, 24, 20)
    task = make_task(loss=loss)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        found, score = task.loss_and_score(task(images), masks)
        found.backward()
        optimizer.step()
    assert float(score) / 3 > 0.85


def test_a_checkpoint_holds_the_net_alone(
    data: ImageData, make_trainer: Callable[..., pl.Trainer], tmp_path: Path
) -> None:
    task = make_task(class_weights=[1.0, 2.0])
    trainer = make_trainer(max_epochs=1)
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    state = torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == {f"model.{name}" for name in task.model.state_dict()}
