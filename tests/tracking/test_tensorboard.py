"""What TensorBoard's own reader finds in a run's event files."""

from __future__ import annotations

import io
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image
from scripts.chaos import differences, everything
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tests.conftest import Cli
from tests.resume.conftest import CLASSIFIER, MASKS, QUIET, folder_of, run_to_the_end, stops

from receptive.callbacks.checkpoints import RunCheckpoints
from receptive.callbacks.interruption import Interruption
from receptive.callbacks.records import EpochRecords
from receptive.job import run_job
from receptive.runs import Run
from receptive.signals import Interrupted
from receptive.tracking.options import TensorboardOptions
from receptive.tracking.tensorboard import TensorboardRecords

__all__ = ["stops"]  # a fixture

ASKED = (*CLASSIFIER, "logger=[tensorboard]", "trainer.log_gradient_norm=true")
GIVEN_UP = "no more is written for TensorBoard"


def read(run: Run) -> EventAccumulator:
    return EventAccumulator(str(run.tensorboard), {"scalars": 0, "images": 0, "tensors": 0}).Reload()


def epochs(found: EventAccumulator) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (epoch, value) of all that is of an epoch."""
    tags = [tag for tag in found.Tags()["scalars"] if not tag.startswith("result/")]
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags}


def assert_as_metrics(run: Run) -> None:
    """Every number of metrics.csv once, and no other."""
    rows, found = run.metrics(), epochs(read(run))
    assert len(rows) == run.result()["epochs"]
    assert set(found) == {key for row in rows for key in row} - {"epoch"}
    for tag, points in found.items():
        assert points == [(row["epoch"], pytest.approx(row[tag], rel=1e-6)) for row in rows if tag in row], tag


def hparams_of(found: EventAccumulator) -> dict[str, HParamsPluginData]:
    contents = found.PluginTagToContent("hparams")
    return {tag: HParamsPluginData.FromString(content) for tag, content in contents.items()}


def test_the_scalars_are_those_of_metrics_csv(tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *ASKED, "trainer.val_every_n_epochs=2")
    run_to_the_end(run, [])
    assert_as_metrics(run)
    assert {"lr", "seconds", "memory_mb", "gradient_norm", "val/accuracy"} <= set(epochs(read(run)))
    assert len(list(run.tensorboard.iterdir())) == 1
    assert GIVEN_UP not in run.log_path.read_text()


def test_without_a_logger_there_is_no_folder_and_all_else_is_the_same(tmp_path: Path) -> None:
    bare = folder_of(tmp_path / "bare", *CLASSIFIER, "trainer.log_gradient_norm=true")
    watched = folder_of(tmp_path / "watched", *ASKED)
    assert [run_to_the_end(run, []) for run in (bare, watched)] == [1, 1]
    assert watched.tensorboard.is_dir()
    assert not bare.tensorboard.exists()
    assert differences(everything(bare), everything(watched)) == []
    assert bare.status().fingerprint == watched.status().fingerprint


@pytest.mark.parametrize("steps", [[1], [2, 5], [3, 4, 8]], ids=str)
def test_a_run_that_goes_on_has_each_epoch_once(stops: list[int], tmp_path: Path, steps: list[int]) -> None:
    run = folder_of(tmp_path / "run", *ASKED)
    stops += steps
    assert run_to_the_end(run, stops) == 1 + len(steps)
    assert_as_metrics(run)


def test_an_epoch_that_is_trained_twice_is_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when its row is written and its checkpoint is not."""
    run = folder_of(tmp_path / "run", *ASKED)

    def die(self: RunCheckpoints, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            monkeypatch.undo()
            raise Interrupted(signal.SIGKILL)
        saved(self, trainer, module)

    saved = RunCheckpoints.on_train_epoch_end
    monkeypatch.setattr(RunCheckpoints, "on_train_epoch_end", die)
    with pytest.raises(Interrupted):
        run_job(run, QUIET)
    first = {tag: points[1] for tag, points in epochs(read(run)).items()}
    run_to_the_end(run, [])
    written = Counter(
        (value.tag, event.step)
        for path in run.tensorboard.iterdir()
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    )
    assert written["lr", 2] == 2 and written["lr", 3] == 1
    assert_as_metrics(run)
    assert epochs(read(run))["train/loss"][1] == first["train/loss"]


def test_a_run_that_starts_anew_leaves_nothing_of_the_old_one(stops: list[int], tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *ASKED)
    stops.append(7)
    with pytest.raises(Interrupted):
        run_job(run, QUIET)
    old = set(run.tensorboard.iterdir())
    run.config_path.write_text(run.config_path.read_text().replace("momentum: 0.9", "momentum: 0.8"))
    run_to_the_end(run, [])
    assert not old & set(run.tensorboard.iterdir())
    assert_as_metrics(run)


def test_event_files_that_are_lost_between_two_attempts_are_made_up_for(stops: list[int], tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *ASKED)
    stops.append(7)
    with pytest.raises(Interrupted):
        run_job(run, QUIET)
    shutil.rmtree(run.tensorboard)
    run_to_the_end(run, [])
    assert_as_metrics(run)


def test_settings_with_the_metrics_of_the_result(tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *ASKED, "seed=3", "augment.affine.scale=[0.9,1.1]")
    run_to_the_end(run, [])
    found, result = read(run), run.result()
    metrics = {f"result/{key}": value for key, value in result["metrics"].items()}
    assert "result/test/accuracy" in metrics
    for tag, value in metrics.items():
        [event] = found.Scalars(tag)
        assert (event.step, event.value) == (result["best_epoch"], pytest.approx(value, rel=1e-6))
    told = hparams_of(found)
    start = told["_hparams_/session_start_info"].session_start_info.hparams
    values = {key: getattr(value, value.WhichOneof("kind")) for key, value in start.items()}
    wanted = {"seed": 3, "optimizer.nesterov": "false", "trainer.gradient_clip_val": 1.0}
    wanted |= {"augment.affine.scale": "[0.9, 1.1]", "optimizer.lr": run.config().optimizer.lr}
    assert wanted.items() <= values.items()
    assert not {"paths.data_dir", "trainer.threads", "logger.tensorboard.figures", "init"} & set(values)
    experiment = told["_hparams_/experiment"].experiment
    assert {info.name.tag for info in experiment.metric_infos} == set(metrics)
    assert {info.name for info in experiment.hparam_infos} == set(values)
    assert told["_hparams_/session_end_info"].session_end_info.status == 1  # success
    assert [path.name for path in run.folder.glob("tensorboard/**/*") if path.is_dir()] == []  # no run below the run


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((), {"examples", "worst", "best", "history"}),
        (("logger.tensorboard.feature_maps=true",), {"examples", "worst", "best", "history", "feature_maps"}),
        (("logger.tensorboard.figures=false",), set()),
        (("logger.tensorboard.figures=false", "logger.tensorboard.feature_maps=true"), {"feature_maps"}),
    ],
    ids=["figures", "feature maps too", "neither", "feature maps alone"],  # a set's own text differs by process
)
def test_figures_are_images(tmp_path: Path, options: tuple[str, ...], shown: set[str]) -> None:
    run = folder_of(tmp_path / "run", *MASKS, "trainer.max_epochs=1", "logger=[tensorboard]", *options, net=False)
    run_to_the_end(run, [])
    found = read(run)
    assert set(found.Tags()["images"]) == {f"figures/{name}" for name in shown}
    for name in shown:
        [event] = found.Images(f"figures/{name}")
        with Image.open(io.BytesIO(event.encoded_image_string)) as own, Image.open(run.figures / f"{name}.png") as file:
            assert np.array_equal(np.asarray(own), np.asarray(file))
            assert own.size == (event.width, event.height)
    assert (run.figures / "feature_maps.png").is_file() == ("feature_maps" in shown)
    assert run.examples_path.is_file()


def occupied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.tensorboard.write_text("a file where the folder should be")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)


def not_to_be_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.tensorboard.mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    look = Path.iterdir

    def refuse(self: Path) -> Any:
        if self.name == "tensorboard":
            raise PermissionError(13, "Permission denied", str(self))
        return look(self)

    monkeypatch.setattr(Path, "iterdir", refuse)


def not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)


def vanishing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    began = Interruption.on_train_start

    def vanish(self: Interruption, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        began(self, trainer, module)
        shutil.rmtree(run.tensorboard)

    monkeypatch.setattr(Interruption, "on_train_start", vanish)


def broken_figure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file, as a full disk leaves it; epochs and result are shown."""

    def spoil(*_: Any, **__: Any) -> None:
        run.figures.mkdir()
        (run.figures / "broken.png").write_bytes(b"")

    monkeypatch.setattr("receptive.train.illustrate", spoil)


@pytest.mark.parametrize("spoil", [occupied, not_to_be_read, not_installed, vanishing, broken_figure])
def test_no_fault_of_it_ends_a_run_and_it_is_logged_once(
    spoil: Callable[[Run, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder_of(tmp_path / "run", *ASKED)
    spoil(run, monkeypatch)
    assert run_job(run, QUIET) == "done", run.status().error
    assert run.log_path.read_text().count(GIVEN_UP) == 1
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3]
    if spoil is broken_figure:
        monkeypatch.undo()
        assert_as_metrics(run)
        assert "_hparams_/session_end_info" in hparams_of(read(run))


def test_of_several_processes_the_first_alone_writes(tmp_path: Path) -> None:
    records = EpochRecords(tmp_path / "metrics.csv")
    records.rows = [{"epoch": 1, "lr": 0.5}]
    shown = TensorboardRecords(Run(tmp_path), records, TensorboardOptions())
    for zero in (False, True):
        trainer: Any = type("Trainer", (), {"is_global_zero": zero})
        module: Any = None
        shown.on_train_start(trainer, module)
        shown.on_train_epoch_end(trainer, module)
        assert (tmp_path / "tensorboard").exists() == zero


def test_the_command(cli: Cli, tmp_path: Path) -> None:
    short = ("trainer.max_epochs=2", "trainer.limit_train_batches=2", "hydra.run.dir=run", "trainer.progress=none")
    code, _, err = cli("train", "logger=tensorboard", *short)
    assert (code, err) == (0, "")
    run = Run(tmp_path / "run")
    assert_as_metrics(run)
    assert read(run).Tags()["images"] == ["figures/confusion_matrix"]
    assert GIVEN_UP not in run.log_path.read_text()
