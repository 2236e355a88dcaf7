"""activations.csv against the same computation by hand."""

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.plugins import MixedPrecision
from tests.conftest import Cli
from torch import Tensor, nn

from receptive.callbacks.activations import ActivationRecords
from receptive.callbacks.records import EpochRecords
from receptive.data.digits import Digits
from receptive.data.module import ImageData
from receptive.errors import InputError
from receptive.optimizers import schedules
from receptive.runs import Run
from receptive.tasks.classification import ClassificationTask
from receptive.trainer import TrainerOptions, build_trainer

STEPS, EPOCHS, RATE = 3, 2, 0.1
TRAIN = (
    *("model.channels=[2]", "model.norm=batch", "trainer.max_epochs=2", "trainer.limit_train_batches=4"),
    *("trainer.precision=32-true", "hydra.run.dir=run"),
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(108, 10)
    )


def digits(validation: int = 50) -> ImageData:
    return ImageData(Digits(), batch_size=16, eval_batch_size=20, validation=validation, split_seed=0)


def train(
    folder: Path, net: nn.Module, *callbacks: pl.Callback, data: ImageData | None = None, epochs: int = EPOCHS
) -> pl.Trainer:
    folder.mkdir(exist_ok=True)
    options = TrainerOptions(
        max_epochs=epochs, accelerator="cpu", precision="32-true", deterministic=False, limit_train_batches=STEPS,
        monitor="train/loss",
    )  # fmt: skip
    task = ClassificationTask(
        net,
        optimizer=partial(torch.optim.SGD, lr=RATE),
        schedule=schedules.constant,
        class_names=tuple("0123456789"),
        channels_last=False,
    )
    kept = [EpochRecords(folder / "metrics.csv"), *callbacks]
    trainer = build_trainer(options, checkpoints=folder / "checkpoints", monitor="train/loss", callbacks=kept)
    torch.manual_seed(1)
    trainer.fit(task, datamodule=data or digits())
    return trainer


def by_hand(data: ImageData, held_out: Tensor) -> Iterator[dict[str, tuple[dict[str, float], float | None]]]:
    """The same training as a plain loop: epoch by epoch, layer -> statistics of activations, gradient norm."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    data.setup("fit")
    loader = data.train_dataloader()
    torch.manual_seed(1)
    norms: dict[str, list[float]] = {}
    for epoch in range(EPOCHS + 1):
        if epoch:
            loader.sampler.set_epoch(epoch - 1)
            norms = {name: [] for name in ("0", "1", "5")}
            net.train()
            for step, (images, labels) in enumerate(loader):
                if step == STEPS:
                    break
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(images), labels).backward()
                for name, own in norms.items():
                    squares = [(weight.grad**2).sum() for weight in net[int(name)].parameters()]  # type: ignore
                    own.append(float(sum(squares)) ** 0.5)
                optimizer.step()
        double = copy.deepcopy(net).double().eval()
        values, found = held_out.double(), {}
        for name, layer in double.named_children():
            with torch.no_grad():
                values = layer(values)
            array = values.numpy()
            found[name] = (
                {
                    "mean": array.mean(),
                    "std": array.std(),
                    "mean_absolute": np.abs(array).mean(),
                    "zeros": (array == 0).mean(),
                },
                np.mean(norms[name]) if name in norms else None,
            )
        yield {name: own for name, own in found.items() if name != "3"}


@pytest.mark.parametrize("images", [30, 999])
def test_rows_are_those_of_a_plain_loop(tmp_path: Path, images: int) -> None:
    train(tmp_path, network(), ActivationRecords(tmp_path / "a.csv", images=images))
    table = pd.read_csv(tmp_path / "a.csv", dtype={"layer": str})
    assert list(table) == ["epoch", "layer", "label", "kind", "mean", "std", "mean_absolute", "zeros", "gradient_norm"]
    assert list(table["epoch"]) == [0] * 5 + [1] * 5 + [2] * 5
    assert list(table["label"][:5]) == ["0 Conv2d", "1 BatchNorm2d", "2 ReLU", "4 Flatten", "5 Linear"]
    data = digits()
    data.setup("fit")
    held_out = torch.cat([batch for batch, _ in data.ordered_loader("val")])[:images]
    assert len(held_out) == min(images, 50)
    for epoch, wanted in enumerate(by_hand(data, held_out)):
        rows = table[table["epoch"] == epoch].set_index("layer")
        assert list(rows.index) == list(wanted)
        for name, (statistics, norm) in wanted.items():
            row = rows.loc[name]
            assert {key: row[key] for key in statistics} == pytest.approx(statistics, rel=1e-3, abs=1e-5)
            if norm is None:
                assert pd.isna(row["gradient_norm"])
            else:
                assert row["gradient_norm"] == pytest.approx(norm, rel=1e-3)


def test_the_training_goes_as_it_would_without(tmp_path: Path) -> None:
    bare, watched = network(), network()
    train(tmp_path / "bare", bare)
    train(tmp_path / "watched", watched, ActivationRecords(tmp_path / "a.csv"))
    for key, value in bare.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key
    assert not torch.equal(network().state_dict()["0.weight"], bare.state_dict()["0.weight"])
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in watched.modules())
    assert all(module.training for module in watched.modules())


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero:UserWarning")  # Lightning's, of val
def test_without_held_out_images_those_of_training(tmp_path: Path) -> None:
    records = ActivationRecords(tmp_path / "a.csv", images=40)
    net = network()
    data = digits(validation=0)
    train(tmp_path, net, records, data=data, epochs=1)
    images = torch.cat([batch for batch, _ in data.ordered_loader("train", range(40))])
    with torch.no_grad():
        wanted = float(net.eval()[0](images).mean())
    assert records.rows[5]["mean"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("layers", "wanted"), [(["5", "ReLU"], ["2", "5"]), (["Conv2d"], ["0"]), (["ReLU", "Flatten"], ["2", "4"])]
)
def test_chosen_layers_even_without_weights(tmp_path: Path, layers: list[str], wanted: list[str]) -> None:
    records = ActivationRecords(tmp_path / "a.csv", layers=layers)
    train(tmp_path, network(), records, epochs=1)
    assert [row["layer"] for row in records.rows] == wanted * 2
    for row in records.rows:
        assert (row["gradient_norm"] is not None) == (row["epoch"] == 1 and row["layer"] in ("0", "5"))


def test_frozen_weights_have_no_gradient(tmp_path: Path) -> None:
    net = network()
    net[0].requires_grad_(False)
    records = ActivationRecords(tmp_path / "a.csv")
    train(tmp_path, net, records, epochs=1)
    norms = {row["layer"]: row["gradient_norm"] for row in records.rows if row["epoch"] == 1}
    assert norms["0"] == 0
    assert norms["1"] > 0 and norms["5"] > 0


def test_a_layer_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no 'Conv3d'; the nearest names are Conv2d"):
        train(tmp_path, network(), ActivationRecords(tmp_path / "a.csv", layers=["Conv3d"]))


def test_a_run_that_goes_on_keeps_its_rows(tmp_path: Path) -> None:
    first = ActivationRecords(tmp_path / "a.csv", images=5)
    train(tmp_path / "first", network(), first, epochs=1)
    second = ActivationRecords(tmp_path / "a.csv", images=5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(tmp_path / "second", network(), second, epochs=1)
    assert second.rows[:10] == first.rows
    assert [row["epoch"] for row in second.rows] == [0] * 5 + [1] * 5 + [1] * 5  # no second look before the first step
    assert len(pd.read_csv(tmp_path / "a.csv")) == 15


def test_the_mean_of_gradient_norms_is_over_the_steps(tmp_path: Path) -> None:
    """Gradients are given: norms 5 and 13 for one layer's weight and bias together, none at all, then ones to skip."""
    net = nn.Sequential(nn.Linear(1, 1))
    module: Any = SimpleNamespace(get_submodule=lambda _: net, device=torch.device("cpu"))
    records = ActivationRecords(tmp_path / "a.csv")
    records.rows = [{}]
    trainer: Any = SimpleNamespace(precision_plugin=None)
    records.on_train_start(trainer, module)
    records.on_train_epoch_start(trainer, module)
    for weight, bias in ((3.0, 4.0), (5.0, 12.0)):
        net[0].weight.grad, net[0].bias.grad = torch.full((1, 1), weight), torch.full((1,), bias)
        records.on_before_optimizer_step(trainer, module, trainer)
    net.zero_grad()
    records.on_before_optimizer_step(trainer, module, trainer)
    for spoilt in (float("inf"), float("nan")):
        net[0].weight.grad = torch.full((1, 1), spoilt)
        records.on_before_optimizer_step(trainer, module, trainer)
    assert (records._sums[0] / records._sums[1]).tolist() == pytest.approx([18 / 3])


class _Gradients(pl.Callback):
    """Sets all gradients before a step."""

    def __init__(self, value: float) -> None:
        self.value = value

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        for weight in pl_module.parameters():
            weight.grad = torch.full_like(weight, self.value)


def test_an_epoch_without_a_finite_gradient_has_no_norm(tmp_path: Path) -> None:
    records = ActivationRecords(tmp_path / "a.csv", images=5)
    train(tmp_path / "run", network(), _Gradients(float("inf")), records, _Gradients(0.0), epochs=1)
    assert [row["gradient_norm"] for row in records.rows] == [None] * 10


def test_the_scale_of_float16_does_not_count(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(1, 1))
    net[0].weight.grad, net[0].bias.grad = torch.full((1, 1), 24.0), torch.full((1,), 32.0)
    module: Any = SimpleNamespace(get_submodule=lambda _: net, device=torch.device("cpu"))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))  # it comes into being with the first loss
    trainer: Any = SimpleNamespace(precision_plugin=MixedPrecision("16-mixed", "cpu", scaler))
    records = ActivationRecords(tmp_path / "a.csv")
    records.rows = [{}]
    records.on_train_start(trainer, module)
    records.on_before_optimizer_step(trainer, module, torch.optim.Adam(net.parameters(), fused=True))
    assert records._sums.tolist() == [[5.0], [1.0]]


def test_of_several_processes_the_first_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pl.Trainer, "is_global_zero", False)
    records = ActivationRecords(tmp_path / "a.csv", images=20)
    train(tmp_path / "run", network(), records, epochs=1)
    assert records.rows
    assert not (tmp_path / "a.csv").exists()


def test_a_run_with_it_end_to_end(cli: Cli, tmp_path: Path) -> None:
    states = []
    for options in ((), ("record=activations", "record.images=20")):
        code, _, err = cli("train", *TRAIN, *options, f"hydra.run.dir=run{len(options)}")
        assert (code, err) == (0, "")
        states.append(torch.load(tmp_path / f"run{len(options)}" / "checkpoints" / "last.ckpt", weights_only=True))
    bare, watched = (state["state_dict"] for state in states)
    assert all(torch.equal(bare[key], watched[key]) for key in bare)
    run = Run(tmp_path / "run2")
    table = pd.read_csv(run.activations_path)
    assert sorted(set(table["epoch"])) == [0, 1, 2]
    assert list(table["layer"][:6]) == [f"layers.{number}" for number in range(6)]
    assert table.loc[table["epoch"] > 0].groupby("kind")["gradient_norm"].min()["Conv2d"] > 0
    [kept] = [state for name, state in states[1]["callbacks"].items() if "ActivationRecords" in name]
    assert len(kept["rows"]) == len(table)
    with Image.open(run.figures / "activations.png") as picture:
        assert np.asarray(picture).std() > 0
    assert not (tmp_path / "run0" / "activations.csv").exists()
    assert not (tmp_path / "run0" / "figures" / "activations.png").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["record.layers=[nonsense]"], "record.layers: there is no 'nonsense'; the nearest names are layers.0"),
        (["record.layers=[Linaer]"], "the nearest names are Linear"),
        (["record.layers=[]"], "record.layers=[]: give names"),
        (["record.images=0"], "record.images=0"),
        (["+record.path=x"], "record.path: ActivationRecords has no such option"),
        (["record.image=3"], "record.image"),
    ],
)
def test_bad_options_are_told_before_the_training(cli: Cli, tmp_path: Path, options: list[str], told: str) -> None:
    code, _, err = cli("train", *TRAIN, "record=activations", *options)
    assert code == 1
    assert told in err
    assert not (tmp_path / "run").exists()
