"""A run that is stopped at any step, and goes on, ends where the run ends that was never stopped: bit for bit."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from scripts.chaos import differences, everything
from tests.resume.conftest import (
    CLASSIFIER,
    EPOCHS,
    FILES,
    MASKS,
    QUIET,
    SIZES,
    STEPS,
    Straight,
    folder_of,
    run_to_the_end,
)

from receptive.callbacks.interruption import Interruption
from receptive.callbacks.resume import ExactResume
from receptive.job import run_job
from receptive.runs import Run
from receptive.signals import Interrupted


@pytest.mark.parametrize("step", range(STEPS * EPOCHS))
def test_a_classifier_stopped_at_every_step(step: int, stops: list[int], straight: Straight, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops.append(step)
    assert run_to_the_end(run, stops) == (2 if step < STEPS * EPOCHS else 1)
    assert differences(straight(*CLASSIFIER), everything(run)) == []


@pytest.mark.parametrize("chain", [range(9), (0, 0 + 2, 5, 8), (2, 3), (1, 2, 4)], ids=str)
def test_chains_of_stops(chain: Iterable[int], stops: list[int], straight: Straight, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops += chain
    assert run_to_the_end(run, stops) == 1 + len(list(chain))
    assert differences(straight(*CLASSIFIER), everything(run)) == []
    assert run.status().attempts == 1 + len(list(chain))


@pytest.mark.parametrize("step", range(STEPS * EPOCHS))
def test_a_segmentation_stopped_at_every_step(step: int, stops: list[int], straight: Straight, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *MASKS, net=False)
    stops.append(step)
    assert run_to_the_end(run, stops) == 2
    assert differences(straight(*MASKS, net=False), everything(run)) == []


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_files_read_by_workers(
    workers: int, stops: list[int], straight: Straight, image_folder_root: Path, tmp_path: Path
) -> None:
    where = f"paths.data_dir={image_folder_root.parent}"
    run = folder_of(tmp_path / "run", *FILES, where, f"data.num_workers={workers}")
    stops += [1, 2, 4, 6]
    assert run_to_the_end(run, stops) == 5
    assert differences(straight(*FILES, where), everything(run)) == []


def test_images_of_several_sizes(stops: list[int], straight: Straight, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *SIZES)
    stops += [1, 3, 4, 8]
    assert run_to_the_end(run, stops) == 5
    assert differences(straight(*SIZES), everything(run)) == []


def test_without_a_validation_in_every_epoch(stops: list[int], straight: Straight, tmp_path: Path) -> None:
    options = (*CLASSIFIER, "trainer.val_every_n_epochs=2", "trainer.max_epochs=5")
    run = folder_of(tmp_path / "run", *options)
    stops += [2, 5, 7, 8, 11]
    assert run_to_the_end(run, stops) == 6
    assert differences(straight(*options), everything(run)) == []


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_run_that_stops_early(left: int, stops: list[int], straight: Straight, tmp_path: Path) -> None:
    """Killed after the epoch that ends it was saved, it does not train another one."""
    options = ("trainer.early_stopping_patience=1", "trainer.max_epochs=9", "optimizer.lr=1e-7")
    whole = straight(*options)
    assert whole["result"]["epochs"] < 9
    run = folder_of(tmp_path / "run", *options)
    stops += [1, whole["result"]["steps"] - 1 - left]
    assert run_to_the_end(run, stops) == 3
    assert differences(whole, everything(run)) == []


@pytest.mark.parametrize("optimizer", ["adam", "muon", "rprop"])
def test_other_optimizers(optimizer: str, stops: list[int], straight: Straight, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", f"optimizer={optimizer}", "record=activations")
    stops += [0, 4, 5]
    assert run_to_the_end(run, stops) == 4
    assert differences(straight(f"optimizer={optimizer}", "record=activations"), everything(run)) == []
    assert "gradient_norm" in (run.folder / "activations.csv").read_text()


@pytest.mark.parametrize("killed", [1, 2, 3, 6, 7])
def test_killed_between_two_checkpoints_a_run_goes_on_from_the_older(
    killed: int, straight: Straight, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is saved when it dies: what was trained since the last checkpoint is trained again."""
    run = folder_of(tmp_path / "run", *CLASSIFIER, "trainer.checkpoint_steps=2")

    def die(self: Interruption, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == killed:
            monkeypatch.undo()
            raise Interrupted(signal.SIGKILL)

    monkeypatch.setattr(Interruption, "on_train_batch_start", die)
    assert run_to_the_end(run, []) == 2
    assert differences(straight(*CLASSIFIER), everything(run)) == []


def test_the_folder_may_be_moved_between_two_attempts(stops: list[int], straight: Straight, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    stops.append(7)
    with pytest.raises(Interrupted):
        run_job(run, QUIET)
    shutil.move(run.folder, tmp_path / "elsewhere")
    moved = Run(tmp_path / "elsewhere")
    assert run_to_the_end(moved, []) == 1
    assert differences(straight(*CLASSIFIER), everything(moved)) == []


@pytest.mark.parametrize("forgotten", ["generators", "place", "means", "all of it"])
def test_without_one_of_its_parts_the_end_is_another(
    forgotten: str,
    stops: list[int],
    straight: Straight,
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
    assert differences(straight(*CLASSIFIER), everything(run)) != []
