"""The real data sets, end to end. Slow; they lie where RECEPTIVE_DATA_DIR says."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from tests.conftest import Cli

from receptive.data.source import load_cached
from receptive.runs import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def real_data(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the real data sets; `cli` hides it from all other tests."""
    if not REAL_DATA:
        pytest.skip("RECEPTIVE_DATA_DIR does not say where the real data sets are")
    monkeypatch.setenv("RECEPTIVE_DATA_DIR", REAL_DATA)
    return Path(REAL_DATA)


REAL_DATA = os.environ.get("RECEPTIVE_DATA_DIR", "")
SIZES = {
    "mnist": {"train": 50_000, "val": 10_000, "test": 10_000},
    "cifar10": {"train": 45_000, "val": 5_000, "test": 10_000},
    "gtsrb": {"train": 21_360, "val": 5_280, "test": 12_630},
}


@pytest.mark.parametrize(("data", "model"), [("mnist", "mnist_net"), ("cifar10", "net_b"), ("gtsrb", "sign_net")])
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
