"""Runs that are trained once, and a net whose layers are known."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from tests.conftest import train
from torch import Tensor, nn

from receptive.inference import Predictor
from receptive.optimizers import schedules
from receptive.runs import Run
from receptive.tasks.classification import ClassificationTask
from receptive.trainer import TrainerOptions

DIGITS = (
    "hydra.run.dir=run",
    *("model.channels=[4,6]", "model.norm=batch", "trainer.max_epochs=1", "trainer.limit_train_batches=20"),
    *("trainer.precision=32-true", "data.validation=100"),
)
PHANTOMS = (
    "hydra.run.dir=run",
    *("data=phantoms", "model=unet", "model.base_channels=2", "model.depth=1", "data.source.image_size=32"),
    *("data.source.train_images=10", "data.source.test_images=3", "data.validation=2", "data.batch_size=4"),
    *("trainer.max_epochs=1", "trainer.precision=32-true"),
)


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few dots an inch: the figures take most of the time."""
    monkeypatch.setattr("receptive.figures.style.DPI", 40)


@pytest.fixture(scope="session")
def trained_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `digit_run` copies: Conv2d, BatchNorm2d, ReLU and MaxPool2d twice, Flatten, Linear."""
    return train(tmp_path_factory.mktemp("digits"), *DIGITS)


@pytest.fixture(scope="session")
def trained_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `phantom_run` copies: a small U-Net."""
    return train(tmp_path_factory.mktemp("phantoms"), *PHANTOMS)


Sibling = Callable[..., Run]


@pytest.fixture
def sibling(digit_run: Run) -> Sibling:
    """A copy of the finished run under another name and config, its weights scaled: name, scale, key=value."""

    def make(name: str, scale: float = 1.0, **changes: Any) -> Run:
        run = Run(Path(shutil.copytree(digit_run.folder, digit_run.folder.parent / name)))
        config = OmegaConf.load(run.config_path)
        for key, value in changes.items():
            OmegaConf.update(config, key.replace("__", "."), value)
        OmegaConf.save(config, run.config_path)
        for path in run.checkpoints.glob("*.ckpt"):
            state = torch.load(path, weights_only=True)
            for key, value in state["state_dict"].items():
                if key.endswith("weight") and value.ndim == 4:
                    value *= scale
            torch.save(state, path)
        return run

    return make


class Known(nn.Module):
    """Two convolutions with batch normalisation, a shared rectifier, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU()
        self.second = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4 * 9, 5)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.act(self.second(self.act(self.norm(self.first(images)))))
        output: Tensor = self.head(hidden.flatten(1))
        return output


MakePredictor = Callable[[nn.Module], Predictor]


@pytest.fixture
def make_predictor() -> MakePredictor:
    """A predictor of any net, on the CPU in float32."""

    def make(net: nn.Module) -> Predictor:
        task = ClassificationTask(
            net,
            optimizer=partial(torch.optim.SGD, lr=0.1),
            schedule=schedules.constant,
            class_names=tuple("abcde"),
        )
        return Predictor(task, TrainerOptions(max_epochs=1, accelerator="cpu", precision="32-true"), 8)

    return make


@pytest.fixture
def known() -> Known:
    """Random weights and moving averages; images (N, 1, 8, 8)."""
    torch.manual_seed(0)
    net = Known()
    nn.init.normal_(net.norm.weight, 1, 0.2)
    nn.init.normal_(net.norm.running_mean, 0, 0.2)
    nn.init.uniform_(net.norm.running_var, 0.5, 2)
    return net


@pytest.fixture
def images() -> Tensor:
    """37 of them."""
    return torch.randn(37, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def steps() -> Callable[[Known, Tensor], dict[str, Tensor]]:
    """The known net, layer by layer, in float64: name -> what it gives."""

    def run(net: Known, images: Tensor) -> dict[str, Tensor]:
        double = {name: value.double() for name, value in net.state_dict().items()}
        conv, found = nn.functional.conv2d, {}
        found["first"] = conv(images.double(), double["first.weight"], double["first.bias"], padding=1)
        mean, var, weight, bias = (
            double[f"norm.{key}"].view(-1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        found["norm"] = (found["first"] - mean) / (var + net.norm.eps).sqrt() * weight + bias
        found["act"] = found["norm"].clamp_min(0)
        found["second"] = conv(found["act"], double["second.weight"], double["second.bias"], stride=2)
        found["act#2"] = found["second"].clamp_min(0)
        found["head"] = found["act#2"].flatten(1) @ double["head.weight"].T + double["head.bias"]
        return found

    return run
