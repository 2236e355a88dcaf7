"""The column gradient_norm against a plain loop, and across stops."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning.plugins import MixedPrecision
from scripts.chaos import differences, everything
from tests.callbacks.test_activations import EPOCHS, RATE, STEPS, digits, network
from tests.resume.conftest import CLASSIFIER, run_to_the_end, stops
from tests.resume.conftest import folder_of as prepared
from torch import nn

from receptive.callbacks.gradients import GradientNorm
from receptive.callbacks.records import EpochRecords
from receptive.optimizers import schedules
from receptive.tasks.classification import ClassificationTask
from receptive.trainer import TrainerOptions, build_trainer

__all__ = ["stops"]  # a fixture

ASKED = "trainer.log_gradient_norm=true"


def norms_by_hand() -> list[float]:
    """Of the same training as a plain loop, the mean norm of each epoch."""
    net, data = network(), digits()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    data.setup("fit")
    loader = data.train_dataloader()
    torch.manual_seed(1)
    means = []
    for epoch in range(EPOCHS):
        loader.sampler.set_epoch(epoch)
        norms = []
        for step, (images, labels) in enumerate(loader):
            if step == STEPS:
                break
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            gradient = np.concatenate([weight.grad.double().numpy().ravel() for weight in net.parameters()])  # type: ignore[union-attr]
            norms.append(float(np.sqrt((gradient**2).sum())))
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
        assert max(norms) > 0.5  # something is clipped
        means.append(float(np.mean(norms)))
    return means


@pytest.mark.parametrize("ema", [None, 0.9])
def test_it_is_the_mean_norm_before_clipping(tmp_path: Path, ema: float | None) -> None:
    options = TrainerOptions(
        max_epochs=EPOCHS, accelerator="cpu", precision="32-true", deterministic=False, limit_train_batches=STEPS,
        gradient_clip_val=0.5, ema_decay=ema,
    )  # fmt: skip
    task = ClassificationTask(
        network(),
        optimizer=partial(torch.optim.SGD, lr=RATE),
        schedule=schedules.constant,
        class_names=tuple("0123456789"),
        channels_last=False,
    )
    gradients = GradientNorm()
    trainer = build_trainer(
        options,
        checkpoints=tmp_path / "checkpoints",
        monitor="train/loss",
        callbacks=[gradients, EpochRecords(tmp_path / "metrics.csv", gradients)],
    )
    torch.manual_seed(1)
    trainer.fit(task, datamodule=digits())
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert list(table)[:6] == ["epoch", "step", "lr", "seconds", "memory_mb", "gradient_norm"]
    assert table["gradient_norm"].tolist() == pytest.approx(norms_by_hand(), rel=1e-4)


def test_the_training_goes_as_it_would_without(tmp_path: Path) -> None:
    bare, watched = (prepared(tmp_path / str(len(more)), *CLASSIFIER, *more) for more in ((), (ASKED,)))
    assert [run_to_the_end(run, []) for run in (bare, watched)] == [1, 1]
    found = [everything(run) for run in (bare, watched)]
    for own in found:
        for state in (own["last"], own["best"]):
            records = [kept for name, kept in state["callbacks"].items() if "EpochRecords" in name]
            assert records
            del state["callbacks"]
        for row in own["metrics.csv"]:
            row.pop("gradient_norm", None)
    assert differences(*found) == []
    assert all(row["gradient_norm"] > 0 for row in watched.metrics())
    assert all("gradient_norm" not in row for row in bare.metrics())
    assert bare.status().fingerprint == watched.status().fingerprint


@pytest.mark.parametrize("steps", [[1], [3, 4], [2, 5, 8]], ids=str)
def test_stopped_and_resumed_it_is_what_it_would_have_been(stops: list[int], tmp_path: Path, steps: list[int]) -> None:
    whole, run = (prepared(tmp_path / name, *CLASSIFIER, ASKED) for name in ("whole", "run"))
    run_to_the_end(whole, stops)
    stops += steps
    assert run_to_the_end(run, stops) == 1 + len(steps)
    assert differences(everything(whole), everything(run)) == []
    assert "gradient_norm" in whole.metrics_path.read_text()


def step(gradients: GradientNorm, net: nn.Module, optimizer: Any, plugin: Any = None) -> None:
    trainer: Any = SimpleNamespace(precision_plugin=plugin)
    gradients.on_before_optimizer_step(trainer, as_module(net), optimizer)


def as_module(net: nn.Module) -> Any:
    return SimpleNamespace(parameters=net.parameters, device=torch.device("cpu"))


@pytest.fixture
def net() -> nn.Module:
    net = nn.Linear(1, 1)
    net.weight.grad, net.bias.grad = torch.full((1, 1), 3.0), torch.full((1,), 4.0)
    return net


def test_a_step_without_a_finite_gradient_is_left_out(net: nn.Module) -> None:
    gradients, optimizer, trainer = GradientNorm(), torch.optim.SGD(net.parameters()), cast(Any, None)
    gradients.on_train_start(trainer, as_module(net))
    assert gradients.mean() is None
    step(gradients, net, optimizer)
    for spoilt in (float("inf"), float("nan")):
        net.weight.grad = torch.full((1, 1), spoilt)
        step(gradients, net, optimizer)
    net.weight.grad = torch.full((1, 1), 0.0)
    step(gradients, net, optimizer)
    assert gradients.mean() == pytest.approx((5 + 4) / 2)
    net.zero_grad()
    step(gradients, net, optimizer)  # no gradient at all
    assert gradients.mean() == pytest.approx((5 + 4) / 2)
    gradients.on_train_epoch_start(trainer, as_module(net))
    assert gradients.mean() is None


@pytest.mark.parametrize("fused", [False, True])
def test_the_scale_of_float16_does_not_count(net: nn.Module, fused: bool) -> None:
    """Lightning unscales before it calls; where the optimizer unscales within its step, nobody has yet."""
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = torch.optim.Adam(net.parameters(), fused=fused)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    gradients, found = GradientNorm(), []
    trainer: Any = SimpleNamespace(precision_plugin=plugin)
    gradients.on_train_start(trainer, as_module(net))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = scaler.scale((3 * net.weight + 4 * net.bias).sum())
        loss.backward()
        return loss

    def after(*_: Any) -> None:
        found.append(float(net.weight.grad))  # type: ignore[arg-type]
        step(gradients, net, optimizer, plugin)

    plugin._after_closure = after  # type: ignore[method-assign]
    module: Any = SimpleNamespace(automatic_optimization=True)
    plugin.optimizer_step(optimizer, module, closure)
    assert found == [24.0 if fused else 3.0]
    assert gradients.mean() == pytest.approx(5.0)


def test_nothing_is_waited_for_in_a_step(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients, trainer = GradientNorm(), cast(Any, None)
    gradients.on_train_start(trainer, as_module(net))
    for name in ("item", "tolist", "__float__", "__bool__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("it waits for the device"))
    step(gradients, net, torch.optim.SGD(net.parameters()))


def test_it_stays_off_unless_asked_for(tmp_path: Path) -> None:
    run = prepared(tmp_path / "run", *CLASSIFIER)
    run_to_the_end(run, [])
    assert "gradient_norm" not in run.metrics_path.read_text()
