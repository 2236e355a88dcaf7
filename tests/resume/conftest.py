"""Small runs that are stopped and go on, and what a run leaves that was never stopped."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from scripts.chaos import everything
from torch import Tensor, nn

from receptive.callbacks.interruption import Interruption
from receptive.config import conf_dir, freeze, register_resolvers
from receptive.console import new_console
from receptive.job import run_job
from receptive.runs import Run
from receptive.signals import Interrupted

Straight = Callable[..., dict[str, Any]]
QUIET = new_console(quiet=True)
STEPS, EPOCHS = 3, 3


class NoisyNet(nn.Module):
    """Draws from every global generator in each step, normalises by batch, and has no other charm."""

    def __init__(self, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            images = images * (1 + 0.1 * random.random()) + 0.1 * float(np.random.randn())
        logits: Tensor = self.layers(images)
        return logits


CLASSIFIER = (
    "data.batch_size=64", "augment=[affine]", "optimizer=sgd", "optimizer.momentum=0.9", "scheduler=one_cycle",
    "trainer.ema_decay=0.9", "trainer.gradient_clip_val=1.0",
)  # fmt: skip
FILES = (
    "data=image_folder", "data.source.image_size=12", "data.batch_size=4", "data.validation=3",
    "augment=[horizontal_flip]", "optimizer=adamw",
)  # fmt: skip
SIZES = ("data=digits_varres", "data.batch_size=64", "augment=[affine]", "optimizer=adam")
MASKS = (
    "data=phantoms", "data.source.image_size=32", "data.source.train_images=10", "data.source.test_images=4",
    "data.validation=3", "data.batch_size=2", "model=unet", "model.base_channels=2", "model.depth=2",
    "augment=[rotation]", "scheduler=cosine",
)  # fmt: skip


def folder_of(folder: Path, *overrides: str, net: bool = True) -> Run:
    """A folder with a frozen config, as the command writes it."""
    register_resolvers()
    GlobalHydra.instance().clear()
    short = (f"trainer.max_epochs={EPOCHS}", f"trainer.limit_train_batches={STEPS}", "trainer.threads=1")
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = freeze(compose("train", [*short, "trainer.checkpoint_minutes=null", *overrides]))
    if net:
        config.model = {"_target_": f"{__name__}.NoisyNet"}
    folder.mkdir(parents=True)
    OmegaConf.save(config, folder / "config.yaml")
    return Run(folder)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps (counted from 0, over all epochs) during which a signal comes, each once, in this order."""
    planned: list[int] = []

    def come(self: Interruption, trainer: pl.Trainer, *_: Any) -> None:
        if planned and trainer.global_step == planned[0]:
            planned.pop(0)
            self.receive(signal.SIGTERM)

    monkeypatch.setattr(Interruption, "on_train_batch_start", come)
    return planned


def run_to_the_end(run: Run, stops: list[int]) -> int:
    """Run a job as often as it is stopped; gives the number of attempts."""
    attempts = 1
    while True:
        try:
            assert run_job(run, QUIET) == "done", run.status().error
            return attempts
        except Interrupted:
            assert run.state() == "interrupted"
            attempts += 1
            # what a fresh process would have
            random.seed(attempts)
            np.random.seed(attempts)
            torch.manual_seed(attempts)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What a run leaves that was never stopped; computed once for each config."""
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def of(*overrides: str, net: bool = True) -> dict[str, Any]:
        if (overrides, net) not in known:
            run = folder_of(tmp_path_factory.mktemp("straight") / "run", *overrides, net=net)
            assert run_to_the_end(run, []) == 1
            known[overrides, net] = everything(run)
        return known[overrides, net]

    return of
