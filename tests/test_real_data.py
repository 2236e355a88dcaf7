"""The real data sets, end to end. They lie where RECEPTIVE_DATA_DIR says; `make slow` runs this where it is set."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from tests.conftest import Cli

from receptive.data.source import ArraySplit, load_cached
from receptive.runs import Run

pytestmark = pytest.mark.real_data


@pytest.fixture
def real_data(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the real data sets; `cli` hides it from all other tests."""
    if not REAL_DATA:
        pytest.fail("RECEPTIVE_DATA_DIR does not say where the real data sets are")
    monkeypatch.setenv("RECEPTIVE_DATA_DIR", REAL_DATA)
    return Path(REAL_DATA)


REAL_DATA = os.environ.get("RECEPTIVE_DATA_DIR", "")
SIZES = {
    "mnist": {"train": 50_000, "val": 10_000, "test": 10_000},
    "mnist_varres": {"train": 50_000, "val": 10_000, "test": 10_000},
    "cifar10": {"train": 45_000, "val": 5_000, "test": 10_000},
    "gtsrb": {"train": 21_360, "val": 5_280, "test": 12_630},
    "jsrt": {"train": 112, "val": 12, "test": 123},
}


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ("mnist", "mnist_net"),
        ("mnist_varres", "mnist_global_max"),
        ("cifar10", "net_b"),
        ("gtsrb", "sign_net"),
        ("jsrt", "unet"),
    ],
)
def test_a_real_data_set_trains(cli: Cli, tmp_path: Path, real_data: Path, data: str, model: str) -> None:
    code, _, err = cli("train", f"data={data}", f"model={model}", "trainer=debug", "hydra.run.dir=run")
    assert (code, err) == (0, "")
    assert Run(tmp_path / "run").result()["data"]["images"] == SIZES[data]
    code, out, _ = cli("evaluate", "run=run")
    assert code == 0
    metrics = Run(tmp_path / "run").result()["metrics"]
    assert f"{metrics['test/loss']:.6f}   result.json: {metrics['test/loss']:.6f}" in out


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_images_are_torchvisions_to_the_bit(real_data: Path, name: str) -> None:
    from receptive.data.cifar10 import CIFAR10
    from receptive.data.mnist import MNIST

    ours: Any = {"mnist": MNIST, "cifar10": CIFAR10}[name](root=str(real_data), download=False)
    theirs: Callable[..., Any] = {"mnist": torchvision.datasets.MNIST, "cifar10": torchvision.datasets.CIFAR10}[name]
    for split in ("train", "test"):
        images = torch.as_tensor(theirs(str(real_data), train=split == "train").data)
        expected = images.unsqueeze(1) if name == "mnist" else images.permute(0, 3, 1, 2)
        assert torch.equal(load_cached(ours, split).images, expected)  # type: ignore[arg-type,union-attr]


def test_the_mnist_baseline_learns(cli: Cli, tmp_path: Path, real_data: Path) -> None:
    """One of R3.2's five epochs."""
    code, _, err = cli("train", "experiment=mnist_baseline", "trainer.max_epochs=1", "hydra.run.dir=run")
    assert (code, err) == (0, "")
    assert Run(tmp_path / "run").result()["metrics"]["val/accuracy"] > 0.96


def test_variable_resolution_of_mnist(real_data: Path) -> None:
    """Each size has a third of the images; those that stay at 28 pixels are MNIST's own; the bytes are known."""
    from receptive.data.mnist import MNIST
    from receptive.data.sizes import SizedSplit
    from receptive.data.variable import VariableResolution

    source = MNIST(str(real_data), download=False)
    split = VariableResolution(source, [32, 48, 64]).load("test")
    assert isinstance(split, SizedSplit) and [len(stack) for stack in split.stacks] == [3334, 3333, 3333]
    assert [stack.shape[1:] for stack in split.stacks] == [(1, 32, 32), (1, 48, 48), (1, 64, 64)]
    assert split.checksum == "99a3dd8c2f9a7134"
    own = VariableResolution(source, [28, 64]).load("test")
    assert isinstance(own, SizedSplit)
    assert torch.equal(own.stacks[0], source.load("test").images[own.kinds == 0])


def test_the_facts_of_jsrt_are_those_of_its_training_images(real_data: Path) -> None:
    from receptive.data.jsrt import JSRT

    source = JSRT(str(real_data))
    split = load_cached(source, "train")
    assert isinstance(split, ArraySplit)
    pixels = split.images.double() / 255
    assert source.facts().mean[0] == pytest.approx(float(pixels.mean()), abs=1e-3)
    assert source.facts().std[0] == pytest.approx(float(pixels.std()), abs=1e-3)
    assert split.targets.unique().tolist() == [0, 1]
    test = load_cached(source, "test")
    assert not set(split.names or ()) & set(test.names or ())


def test_a_small_unet_finds_the_lungs(cli: Cli, tmp_path: Path, real_data: Path) -> None:
    """R4.7's recipe on images of 128x128 for 8 epochs; its sorted names give every second image to the test set."""
    options = ("data.source.image_size=128", "model.base_channels=8", "trainer.max_epochs=8", "hydra.run.dir=run")
    code, _, err = cli("train", "experiment=jsrt_unet", *options)
    assert (code, err) == (0, "")
    metrics = Run(tmp_path / "run").result()["metrics"]
    assert metrics["test/f1_mean"] > 0.95
    assert metrics["test/f1_min"] > 0.75
