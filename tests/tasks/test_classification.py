"""The task's losses against formulas in float64 and scikit-learn, and what a real fit logs and saves."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn import metrics as sklearn
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from receptive.callbacks.records import EpochRecords
from receptive.data.digits import Digits
from receptive.data.module import ImageData
from receptive.models.mnist_net import MnistNet
from receptive.optimizers import schedules
from receptive.tasks.classification import ClassificationTask

WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.0, 1.0, 1.0, 0.25, 1.0, 1.0]
MakeTask = Callable[..., ClassificationTask]


@pytest.fixture
def make_task() -> MakeTask:
    """A task over a small net whose weights are the same every time."""

    def make(norm: Any = "none", **options: Any) -> ClassificationTask:
        torch.manual_seed(0)
        net = MnistNet(in_channels=1, num_classes=10, image_size=(8, 8), channels=(4, 4), norm=norm)
        defaults: dict[str, Any] = {"optimizer": partial(torch.optim.SGD, lr=0.1), "schedule": schedules.constant}
        return ClassificationTask(net, **(defaults | {"class_names": tuple("0123456789")} | options))

    return make


@pytest.fixture
def data() -> ImageData:
    return ImageData(Digits(), batch_size=128, eval_batch_size=90, validation=237, split_seed=0)


def cross_entropy(logits: Tensor, targets: Tensor, weights: np.ndarray, smoothing: float) -> float:
    """Weighted cross-entropy in float64: the target's share is 1 - smoothing, all classes share the rest."""
    scores = logits.detach().double().numpy()
    log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    wanted = np.full_like(log_shares, smoothing / 10)
    wanted[np.arange(len(targets)), targets.numpy()] += 1 - smoothing
    return float(-(wanted * weights * log_shares).sum() / weights[targets.numpy()].sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS, "balanced"])
def test_training_loss_is_the_weighted_smoothed_cross_entropy(
    make_task: MakeTask, smoothing: float, weights: Any
) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 10, generator=random)
    targets = torch.randint(10, (64,), generator=random)
    population = np.repeat(np.arange(10), [100, 50, 30, 20, 10, 10, 10, 7, 3, 1])
    task = make_task(
        label_smoothing=smoothing,
        class_weights=weights,
        class_counts=lambda: torch.from_numpy(np.bincount(population)),
    )
    by_class = {
        "None": np.ones(10),
        "balanced": compute_class_weight("balanced", classes=np.arange(10), y=population),
    }.get(str(weights), np.array(WEIGHTS))
    loss, right = task.loss_and_score(logits, targets)
    assert float(loss) == pytest.approx(cross_entropy(logits, targets, by_class, smoothing), rel=1e-5)
    assert int(right) == sklearn.accuracy_score(targets, logits.argmax(1), normalize=False)


def test_a_class_without_images_gets_a_finite_weight(make_task: MakeTask) -> None:
    task = make_task(class_weights="balanced", class_counts=lambda: torch.tensor([0, *[5] * 9]))
    assert isinstance(task.class_weights, Tensor)
    assert task.class_weights.isfinite().all()


def test_a_list_of_weights_of_the_wrong_length_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(ValueError, match="class_weights has 3 values, the data have 10 classes"):
        make_task(class_weights=[1.0, 2.0, 3.0])


def test_a_fit_logs_the_metrics_that_the_class_names_and_nothing_in_a_step(
    make_task: MakeTask,
    data: ImageData,
    make_trainer: Callable[..., pl.Trainer],
    tmp_path: Path,
    logging_hooks: set[str],
) -> None:
    trainer = make_trainer(limit_train_batches=3, max_epochs=2, callbacks=[EpochRecords(tmp_path / "metrics.csv")])
    task = make_task()
    trainer.fit(task, datamodule=data)
    assert set(trainer.callback_metrics) == set(task.METRICS)
    assert task.MONITOR in task.METRICS
    assert logging_hooks == {"on_train_epoch_end", "on_validation_epoch_end"}
    [tested] = trainer.test(task, datamodule=data, verbose=False)
    assert set(tested) == {"test/loss", "test/accuracy", "test/accuracy_macro"}


def test_training_metrics_are_means_over_the_epochs_batches(
    make_task: MakeTask, data: ImageData, make_trainer: Callable[..., pl.Trainer]
) -> None:
    class Spy(pl.Callback):
        def __init__(self) -> None:
            self.losses: list[float] = []
            self.images = 0

        def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, _: int) -> None:
            self.losses.append(outputs["loss"].item())
            self.images += len(batch[1])

    data.batch_size = 500  # 500, 500 and 200 images
    task, spy = make_task(), Spy()
    make_trainer(limit_train_batches=3, max_epochs=1, limit_val_batches=0, callbacks=[spy]).fit(task, datamodule=data)
    assert spy.images == 1200
    assert task.train_metrics()["train/loss"] == pytest.approx(np.average(spy.losses, weights=[5, 5, 2]))
    assert 0 < task.train_metrics()["train/accuracy"] < 1
    assert (task.train_metrics()["train/accuracy"] * 1200) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_and_test_loss_are_plain(
    make_task: MakeTask, data: ImageData, make_trainer: Callable[..., pl.Trainer], split: str
) -> None:
    """Whatever the training loss is, runs can be compared; and of an evaluation before nothing is left."""
    task = make_task(label_smoothing=0.3, class_weights=WEIGHTS)
    trainer = make_trainer()
    run = trainer.validate if split == "val" else trainer.test
    run(task, datamodule=data, verbose=False)
    for parameter in task.parameters():
        nn.init.normal_(parameter, std=0.2)
    [found] = run(task, datamodule=data, verbose=False)
    loader = data.val_dataloader() if split == "val" else data.test_dataloader()
    batches = list(iter(loader))
    images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert len(targets) == {"val": 237, "test": 360}[split]
    with torch.no_grad():
        shares = task.model(images).double().softmax(1)
    predicted = shares.argmax(1)
    assert found == pytest.approx(
        {
            f"{split}/loss": sklearn.log_loss(targets, shares),
            f"{split}/accuracy": sklearn.accuracy_score(targets, predicted),
            f"{split}/accuracy_macro": sklearn.balanced_accuracy_score(targets, predicted),
        },
        rel=1e-5,
    )
    if split == "test":
        matrix = sklearn.confusion_matrix(targets, predicted).tolist()
        assert task.test_details()["confusion_matrix"] == matrix


def test_the_layout_in_memory_changes_no_logits(make_task: MakeTask) -> None:
    images = torch.randn(5, 1, 8, 8).repeat(1, 3, 1, 1)
    layouts, logits = [], []
    for channels_last in (False, True):
        torch.manual_seed(0)
        net = MnistNet(in_channels=3, num_classes=10, image_size=(8, 8), channels=(4, 4))
        task = ClassificationTask(
            net,
            optimizer=torch.optim.SGD,
            schedule=schedules.constant,
            class_names=tuple("0123456789"),
            channels_last=channels_last,
        )
        net.register_forward_pre_hook(lambda _, given: layouts.append(given[0].stride()[1] == 1))
        logits += [task(images), task(images.contiguous(memory_format=torch.channels_last))]
        assert net.get_parameter("layers.3.weight").stride()[1] == (1 if channels_last else 9)
    assert layouts == [False, False, True, True]
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0])


def test_logits_are_float32_whatever_the_net_computes_in(make_task: MakeTask) -> None:
    task = make_task()
    dtypes: list[torch.dtype] = []
    task.model.register_forward_hook(lambda _, images, output: dtypes.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        logits = task(torch.randn(2, 1, 8, 8))
    assert (dtypes, logits.dtype) == ([torch.bfloat16], torch.float32)


def test_a_checkpoint_holds_the_net_alone_and_loads_as_plain_data(
    make_task: MakeTask, data: ImageData, make_trainer: Callable[..., pl.Trainer], tmp_path: Path
) -> None:
    task = make_task(norm="batch", class_weights=WEIGHTS)
    trainer = make_trainer(limit_train_batches=3, max_epochs=1)
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    state = torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == {f"model.{name}" for name in task.model.state_dict()}
    other = make_task(norm="batch")
    images = torch.randn(4, 1, 8, 8)
    task.eval(), other.eval()
    assert not torch.equal(other(images), task(images))
    other.load_state_dict(state)
    assert torch.equal(other(images), task(images))


def test_a_schedule_is_stepped_every_batch_over_the_batches_that_run(
    make_task: MakeTask, data: ImageData, make_trainer: Callable[..., pl.Trainer]
) -> None:
    class Spy(pl.Callback):
        def __init__(self) -> None:
            self.rates: list[float] = []

        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    schedule = partial(schedules.cosine, warmup_epochs=0.0, final_ratio=0.0)
    spy = Spy()
    make_trainer(limit_train_batches=3, max_epochs=2, callbacks=[spy]).fit(
        make_task(schedule=schedule), datamodule=data
    )
    half_cosine = 0.1 * (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
    assert spy.rates == pytest.approx(half_cosine)


def test_frozen_weights_are_not_optimized(
    make_task: MakeTask, data: ImageData, make_trainer: Callable[..., pl.Trainer]
) -> None:
    task = make_task(optimizer=partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5))
    first = next(layer for layer in task.model.modules() if isinstance(layer, nn.Conv2d))
    first.requires_grad_(False)
    before = first.weight.clone()
    trainer = make_trainer(limit_train_batches=3, max_epochs=1)
    trainer.fit(task, datamodule=data)
    assert torch.equal(first.weight, before)
    assert len(trainer.optimizers[0].param_groups[0]["params"]) == len(list(task.parameters())) - 2


def test_what_lightning_notes_every_step_is_an_attribute_like_any_other(make_task: MakeTask) -> None:
    """A short way past nn.Module.__setattr__ must not lead past its parameters and modules."""
    task = make_task()
    task._current_fx_name = "training_step"
    assert task._current_fx_name == "training_step" == vars(task)["_current_fx_name"]
    task.extra = nn.Linear(2, 2)
    assert "extra.weight" in task.state_dict()


def test_the_signature_that_lightning_asks_for_is_the_steps(make_task: MakeTask) -> None:
    assert inspect.getfullargspec(make_task().training_step).args == ["self", "batch", "batch_idx"]
