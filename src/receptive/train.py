"""One run: seed, build, fit, test with the best checkpoint, result."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console

from receptive import provenance
from receptive.build import Experiment, build, build_records, load_weights, start_from
from receptive.callbacks.interruption import Interruption
from receptive.callbacks.progress import RunProgress
from receptive.callbacks.pruning import pruning_of
from receptive.callbacks.records import EpochRecords
from receptive.callbacks.resume import ExactResume
from receptive.files import write_csv
from receptive.illustrate import illustrate
from receptive.runs import Run, open_run, shown
from receptive.signals import Interrupted
from receptive.trainer import build_trainer


def train(
    config: DictConfig,
    run: Run,
    interruption: Interruption,
    console: Console,
    origin: dict[str, Any],
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Train and test one run in its folder; gives what stands in result.json.

    A run that its search has pruned is neither tested nor illustrated, and says so under "pruned".

    Args:
        config: as frozen in the folder.
        run: whose folder holds no checkpoint and no metrics yet, unless `checkpoint` is gone on from.
        interruption: told of signals.
        console: where progress is shown.
        origin: header of the run's checkpoints, see `receptive.checkpoints.header`.
        checkpoint: to go on from; None: from the start.

    Raises:
        InputError: data, weights or folder cannot be used.
        NonFiniteLoss: the loss became NaN or infinite; the last good checkpoint is in the folder.
        Interrupted: a signal came.
    """
    resume = ExactResume(origin)
    pl.seed_everything(config.seed, verbose=False)
    experiment = build(config)
    experiment.trainer.apply_to_process()
    if config.init is not None and checkpoint is None:
        _start_from(config.init, experiment, console)
    pruning = pruning_of(run, experiment.monitor)
    if config.test:
        experiment.data.setup("test")  # a damaged test file is told before the training, not hours after it
    _introduce(experiment, run, console, checkpoint)
    trainer, rows = _fit(config, experiment, run, interruption, console, [resume, *pruning], checkpoint)
    best_epoch = load_weights(experiment.task, run)
    best = next(row for row in rows if row["epoch"] == best_epoch)
    metrics = {key: value for key, value in best.items() if "/" in key}
    details: dict[str, Any] = {}
    pruned = any(callback.pruned for callback in pruning)
    if config.test and not pruned:
        metrics |= test_metrics(trainer, experiment)
        details = _named(experiment.task.test_details(), experiment.data.test_names())
        _write_test_images(experiment, run)
    if not pruned:
        illustrate(experiment, run, rows, best_epoch, details)
    return {
        "metrics": metrics,
        "monitor": experiment.monitor,
        "best_epoch": best_epoch,
        "epochs": len(rows),
        "steps": trainer.global_step,
        "seed": config.seed,
        "seconds": round(resume.seconds, 2),
        "seconds_per_epoch": round(sum(row["seconds"] for row in rows) / len(rows), 3),
        **_origin(experiment),
        "details": details,
        **({"pruned": len(rows)} if pruned else {}),
    }


def _fit(
    config: DictConfig,
    experiment: Experiment,
    run: Run,
    interruption: Interruption,
    console: Console,
    callbacks: list[pl.Callback],
    checkpoint: Path | None,
) -> tuple[pl.Trainer, list[dict[str, float]]]:
    """Train; gives the trainer and the rows of metrics.csv."""
    records = EpochRecords(run.metrics_path)
    progress = RunProgress(console, experiment.trainer.progress)
    trainer = build_trainer(
        experiment.trainer,
        checkpoints=run.checkpoints,
        monitor=experiment.monitor,
        callbacks=[*callbacks, records, *build_records(config, run), progress],
        loggers=[],
        interruption=interruption,
    )
    try:
        with warnings.catch_warnings():
            # Lightning looks for a loader that keeps its own place: ours is kept by ExactResume
            warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
            trainer.fit(experiment.task, datamodule=experiment.data, ckpt_path=checkpoint)
    except SIGTERMException:  # Lightning looked before our callback did
        raise Interrupted(signal.SIGTERM) from None
    return trainer, records.rows


def _start_from(folder: str, experiment: Experiment, console: Console) -> None:
    fresh = start_from(experiment.task, open_run(folder, "init"))
    console.print(f"init     {folder}" + (f"; fresh: {', '.join(fresh)}" if fresh else ""), highlight=False)


def _origin(experiment: Experiment) -> dict[str, Any]:
    """What the figures were computed with."""
    device = experiment.trainer.device()
    return {
        "parameters": parameter_count(experiment),
        "precision": experiment.trainer.actual_precision(),
        "hardware": {
            "device": torch.cuda.get_device_name() if device == "cuda" else provenance.cpu_name(),
            "threads": torch.get_num_threads(),
        },
        "data": {
            "checksums": experiment.data.checksums(),
            "images": experiment.data.sizes(),
            "facts": experiment.data.facts.plain(),
        },
        "code": provenance.code(),
        "versions": provenance.versions(),
    }


def test_metrics(trainer: pl.Trainer, experiment: Experiment, split: str = "test") -> dict[str, float]:
    """The metrics of the task's present weights on a split ("test" or "val")."""
    run = trainer.test if split == "test" else trainer.validate
    [metrics] = run(experiment.task, datamodule=experiment.data, verbose=False)
    return {key: float(value) for key, value in metrics.items()}


def _named(details: dict[str, Any], names: tuple[str, ...] | None) -> dict[str, Any]:
    """The details of a test with the names of the images at either end, where they have any."""
    for image in (*details.get("worst", ()), *details.get("best", ())):
        if names:
            image["name"] = names[image["index"]]
    return details


def _write_test_images(experiment: Experiment, run: Run) -> None:
    """test_images.csv and test_masks.npz: scores and predicted mask of every test image, where the task keeps them."""
    if not (scores := experiment.task.test_images()):
        return
    names = experiment.data.test_names() or [""] * len(scores)
    rows = [{"index": place, "name": name, **row} for place, (name, row) in enumerate(zip(names, scores, strict=False))]
    write_csv(run.test_images_path, list(rows[0]), rows)
    if (masks := experiment.task.test_masks()) is not None:
        np.savez_compressed(run.test_masks_path, masks=masks.numpy())


def parameter_count(experiment: Experiment) -> int:
    """Weights of the network that are trained."""
    return sum(weight.numel() for weight in experiment.task.model.parameters() if weight.requires_grad)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


def _introduce(experiment: Experiment, run: Run, console: Console, checkpoint: Path | None) -> None:
    data, options = experiment.data, experiment.trainer
    sizes = data.sizes()
    images = f"{sizes['train']:,} training and {sizes['val']:,} validation images of {data.facts.shapes}"
    lines = {
        "run": shown(run.folder),
        "data": f"{data.source.title}: {images}, {data.facts.num_classes} classes",
        "model": f"{type(experiment.task.model).__name__}: {parameter_count(experiment):,} parameters",
        "trainer": f"{_counted(options.max_epochs, 'epoch')}, {options.actual_precision()} on {options.device()}"
        + (f", {_counted(torch.get_num_threads(), 'thread')}" if options.device() == "cpu" else ""),
    }
    if checkpoint is not None:
        lines["resume"] = f"from {shown(checkpoint)}"
    for name, text in lines.items():
        console.print(f"{name:<8} {text}", highlight=False, soft_wrap=True)
