"""A run that is stopped at any step, and goes on, ends where the run ends that was never stopped: bit for bit."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from rich.console import Console
from torch import Tensor, nn

from receptive.callbacks.interruption import Interruption
from receptive.callbacks.resume import ExactResume
from receptive.config import conf_dir, freeze, register_resolvers
from receptive.job import run_job
from receptive.runs import Run
from receptive.signals import Interrupted

QUIET = Console(quiet=True)
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


def same(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two nested containers differ; times do not count."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if key != "seconds"]
        return [fault for key in keys for fault in same(one.get(key), other.get(key), f"{place}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [fault for number, pair in pairs for fault in same(*pair, f"{place}[{number}]")]
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    return [] if type(one) is type(other) and (one == other or one != one) else [f"{place}: {one} {other}"]


def everything(run: Run) -> dict[str, Any]:
    """All that a run leaves."""
    found: dict[str, Any] = {
        name: torch.load(run.checkpoints / f"{name}.ckpt", weights_only=True) for name in ("last", "best")
    }
    for state in found.values():  # the folder's name, in Lightning's bookkeeping
        for callback in state["callbacks"].values():
            for key in [key for key in callback if "path" in key or key in ("dirpath", "best_k_models")]:
                del callback[key]
    found["metrics"] = [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]
    found["result"] = {key: run.result()[key] for key in ("metrics", "best_epoch", "epochs", "steps", "details")}
    return found


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


@pytest.mark.parametrize("step", range(STEPS * EPOCHS))
def test_a_classifier_stopped_at_every_step(
    step: int, stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops.append(step)
    assert run_to_the_end(run, stops) == (2 if step < STEPS * EPOCHS else 1)
    assert same(straight(*CLASSIFIER), everything(run)) == []


@pytest.mark.parametrize("chain", [range(9), (0, 0 + 2, 5, 8), (2, 3), (1, 2, 4)], ids=str)
def test_chains_of_stops(
    chain: Iterable[int], stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops += chain
    assert run_to_the_end(run, stops) == 1 + len(list(chain))
    assert same(straight(*CLASSIFIER), everything(run)) == []
    assert run.status().attempts == 1 + len(list(chain))


@pytest.mark.parametrize("step", range(STEPS * EPOCHS))
def test_a_segmentation_stopped_at_every_step(
    step: int, stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = folder_of(tmp_path / "run", *MASKS, net=False)
    stops.append(step)
    run_to_the_end(run, stops)
    assert same(straight(*MASKS, net=False), everything(run)) == []


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_files_read_by_workers(
    workers: int, stops: list[int], straight: Callable[..., dict[str, Any]], image_folder_root: Path, tmp_path: Path
) -> None:
    where = f"paths.data_dir={image_folder_root.parent}"
    run = folder_of(tmp_path / "run", *FILES, where, f"data.num_workers={workers}")
    stops += [1, 2, 4, 6]
    assert run_to_the_end(run, stops) == 5
    assert same(straight(*FILES, where), everything(run)) == []


def test_without_a_validation_in_every_epoch(
    stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    options = (*CLASSIFIER, "trainer.val_every_n_epochs=2", "trainer.max_epochs=5")
    run = folder_of(tmp_path / "run", *options)
    stops += [2, 5, 7, 8, 11]
    assert run_to_the_end(run, stops) == 6
    assert same(straight(*options), everything(run)) == []


@pytest.mark.parametrize("last", [5, 8, 11])
def test_a_run_that_stops_early(
    last: int, stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Killed after the epoch that ends it was saved, it does not train another one."""
    options = ("trainer.early_stopping_patience=1", "trainer.max_epochs=9", "optimizer.lr=1e-7")
    whole = straight(*options)
    assert whole["result"]["epochs"] < 9
    run = folder_of(tmp_path / "run", *options)
    stops += [1, min(last, whole["result"]["steps"] - 1)]
    run_to_the_end(run, stops)
    assert same(whole, everything(run)) == []


@pytest.mark.parametrize("optimizer", ["adam", "muon", "rprop"])
def test_other_optimizers(
    optimizer: str, stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = folder_of(tmp_path / "run", f"optimizer={optimizer}", "record=activations")
    stops += [0, 4, 5]
    run_to_the_end(run, stops)
    assert same(straight(f"optimizer={optimizer}", "record=activations"), everything(run)) == []
    assert "gradient_norm" in (run.folder / "activations.csv").read_text()


@pytest.mark.parametrize("killed", [1, 2, 3, 6, 7])
def test_killed_between_two_checkpoints_a_run_goes_on_from_the_older(
    killed: int, straight: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is saved when it dies: what was trained since the last checkpoint is trained again."""
    run = folder_of(tmp_path / "run", *CLASSIFIER, "trainer.checkpoint_steps=2")

    def die(self: Interruption, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == killed:
            monkeypatch.undo()
            raise Interrupted(signal.SIGKILL)

    monkeypatch.setattr(Interruption, "on_train_batch_start", die)
    assert run_to_the_end(run, []) == 2
    assert same(straight(*CLASSIFIER), everything(run)) == []


def test_the_folder_may_be_moved_between_two_attempts(
    stops: list[int], straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops.append(7)
    with pytest.raises(Interrupted):
        run_job(run, QUIET)
    shutil.move(run.folder, tmp_path / "elsewhere")
    moved = Run(tmp_path / "elsewhere")
    assert run_to_the_end(moved, []) == 1
    assert same(straight(*CLASSIFIER), everything(moved)) == []


@pytest.mark.parametrize("forgotten", ["generators", "place", "means", "all of it"])
def test_without_one_of_its_parts_the_end_is_another(
    forgotten: str,
    stops: list[int],
    straight: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The negative control: each part that is saved beside Lightning's own is needed."""
    if forgotten == "generators":
        monkeypatch.setattr("receptive.callbacks.resume.set_random_states", lambda states: None)
    elif forgotten == "place":
        kept = ExactResume.on_train_start

        def elsewhere(self: ExactResume, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            kept(self, trainer, module)
            trainer.train_dataloader.sampler.start = 0

        monkeypatch.setattr(ExactResume, "on_train_start", elsewhere)
    elif forgotten == "means":
        monkeypatch.setattr("receptive.tasks.base.Task.on_load_checkpoint", lambda *_: None)
    else:
        monkeypatch.setattr(ExactResume, "on_load_checkpoint", lambda *_: None)  # Lightning as it comes
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops += [1, 4, 5, 7]
    run_to_the_end(run, stops)
    assert same(straight(*CLASSIFIER), everything(run)) != []
