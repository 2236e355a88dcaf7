"""One run: seed, build, fit, test with the best checkpoint, result."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console

from receptive import provenance
from receptive.build import Experiment, build, build_records, build_trainer_options, load_weights, start_from
from receptive.callbacks.gradients import GradientNorm
from receptive.callbacks.interruption import Interruption
from receptive.callbacks.progress import RunProgress
from receptive.callbacks.pruning import Pruning, pruning_of
from receptive.callbacks.records import EpochRecords
from receptive.callbacks.resume import ExactResume
from receptive.config import plain
from receptive.console import counted, new_console
from receptive.errors import InputError
from receptive.files import write_csv
from receptive.illustrate import illustrate
from receptive.logs import captured
from receptive.ranks.place import Place
from receptive.ranks.world import World
from receptive.runs import Run, open_run, shown
from receptive.signals import Interrupted, listening
from receptive.tracking.options import wants_feature_maps
from receptive.tracking.tensorboard import show_result, tensorboard_records
from receptive.trainer import build_trainer


def train(
    config: DictConfig,
    run: Run,
    interruption: Interruption,
    console: Console,
    origin: dict[str, Any],
    checkpoint: Path | None,
    world: World,
) -> dict[str, Any]:
    """Train and test one run in its folder; gives what stands in result.json.

    A run that its search has pruned is neither tested nor illustrated, and says so under "pruned". Several processes
    train together; then rank 0 alone tests, and the others give {}.

    Args:
        config: as frozen in the folder.
        run: whose folder holds no checkpoint and no metrics yet, unless `checkpoint` is gone on from.
        interruption: told of signals.
        console: where progress is shown.
        origin: header of the run's checkpoints, see `receptive.checkpoints.header`.
        checkpoint: to go on from; None: from the start.
        world: the processes that train, of a run on one device this one.

    Raises:
        InputError: data, weights or folder cannot be used.
        NonFiniteLoss: the loss became NaN or infinite; the last good checkpoint is in the folder.
        Interrupted: a signal came.
        RankLost: another process has gone.
    """
    resume = ExactResume(origin)
    place = world.place
    world.take_device(build_trainer_options(config).device())
    pl.seed_everything(config.seed, verbose=False)
    experiment = build(config)
    experiment.trainer.apply_to_process(place.sharing)
    if config.init is not None and checkpoint is None:
        _start_from(config.init, experiment, console)
    pruning = pruning_of(run, experiment.monitor)
    if config.test and place.rank == 0:
        experiment.data.setup("test")  # a damaged test file is told before the training, not hours after it
    _introduce(experiment, run, console, checkpoint, place.ranks)
    _check_shares(experiment, place.ranks)
    world.join()
    if place.rank > 0:  # the weights are those of all, what is drawn from here on is not
        pl.seed_everything(_own_seed(config.seed, place.rank), verbose=False)
    trainer, rows = _fit(config, experiment, run, interruption, console, [resume, *pruning], checkpoint, place)
    world.leave()
    return {} if place.rank > 0 else _result(config, experiment, run, trainer, rows, resume, pruning, place.ranks)


def follow(run: Run, world: World, told: dict[str, Any]) -> bool:
    """Train as another rank than 0: nothing is written, and said only on stderr what went wrong.

    Gives whether the training came to its end; not where all have stopped together, which is no fault of this process.

    Args:
        run: that rank 0 holds.
        world: the processes that train.
        told: by rank 0: the checkpoint to go on from and its header.

    Raises:
        as `train`.
    """
    interruption = Interruption()
    checkpoint = None if told["checkpoint"] is None else Path(told["checkpoint"])
    with captured(sys.stderr, logging.WARNING), listening(interruption.receive):
        try:
            train(run.config(), run, interruption, new_console(quiet=True), told["origin"], checkpoint, world)
        except Interrupted:
            if not interruption.together:
                raise
            return False
        except Exception:
            logging.getLogger(__name__).error("rank %d ended with\n%s", world.place.rank, traceback.format_exc())
            raise
    return True


def _result(
    config: DictConfig,
    experiment: Experiment,
    run: Run,
    trainer: pl.Trainer,
    rows: list[dict[str, float]],
    resume: ExactResume,
    pruning: list[Pruning],
    ranks: int,
) -> dict[str, Any]:
    """Test and illustrate the best checkpoint, in one process; gives what stands in result.json."""
    best_epoch = load_weights(experiment.task, run)
    best = next(row for row in rows if row["epoch"] == best_epoch)
    metrics = {key: value for key, value in best.items() if "/" in key}
    details: dict[str, Any] = {}
    pruned = any(callback.pruned for callback in pruning)
    if config.test and not pruned:
        tester = trainer if ranks == 1 else _one_process(experiment, run)
        metrics |= test_metrics(tester, experiment)
        details = _named(experiment.task.test_details(), experiment.data.test_names())
        _write_test_images(experiment, run)
    if not pruned:
        drawn = {"examples": bool(config.get("logger")), "feature_maps": wants_feature_maps(config)}
        illustrate(experiment, run, rows, best_epoch, details, **drawn)
    result = {
        "metrics": metrics,
        "monitor": experiment.monitor,
        "best_epoch": best_epoch,
        "epochs": len(rows),
        "steps": trainer.global_step,
        "seed": config.seed,
        "seconds": round(resume.seconds, 2),
        "seconds_per_epoch": round(sum(row["seconds"] for row in rows) / len(rows), 3),
        **_provenance(experiment, ranks, config.get("target_prefixes")),
        "details": details,
        **({"pruned": len(rows)} if pruned else {}),
    }
    show_result(trainer, plain(config), result)
    return result


def _fit(
    config: DictConfig,
    experiment: Experiment,
    run: Run,
    interruption: Interruption,
    console: Console,
    callbacks: list[pl.Callback],
    checkpoint: Path | None,
    place: Place,
) -> tuple[pl.Trainer, list[dict[str, float]]]:
    """Train; gives the trainer and the rows of metrics.csv."""
    gradients = [GradientNorm()] if experiment.trainer.log_gradient_norm else []
    records = EpochRecords(run.metrics_path, *gradients)
    tensorboard = tensorboard_records(config, run, records)
    progress = RunProgress(console, experiment.trainer.progress)
    trainer = build_trainer(
        experiment.trainer,
        checkpoints=run.checkpoints,
        monitor=experiment.monitor,
        callbacks=[*callbacks, *gradients, records, *tensorboard, *build_records(config, run), progress],
        interruption=interruption,
        place=place,
    )
    with warnings.catch_warnings():
        # Lightning looks for a loader that keeps its own place: ours is kept by ExactResume
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        trainer.fit(experiment.task, datamodule=experiment.data, ckpt_path=checkpoint)
    return trainer, records.rows


def _one_process(experiment: Experiment, run: Run) -> pl.Trainer:
    return build_trainer(experiment.trainer, checkpoints=run.checkpoints, monitor=experiment.monitor, callbacks=[])


def _own_seed(seed: int, rank: int) -> int:
    """A seed for what another rank than 0 draws, as in dropout."""
    return int(np.random.SeedSequence((seed, rank)).generate_state(1, np.uint32)[0])


def _check_shares(experiment: Experiment, ranks: int) -> None:
    """Raise InputError where a process would have nothing to train on or to validate."""
    data, monitor = experiment.data, experiment.monitor
    sizes = data.counts()
    if monitor.startswith("val/") and not sizes["val"]:
        raise InputError(
            f"data.validation={data.validation} of {counted(sizes['train'], 'image')} holds none out: {monitor} does "
            "not exist then; hold more out or choose trainer.monitor=train/loss"
        )
    if sizes["train"] < ranks or 0 < sizes["val"] < ranks:
        raise InputError(
            f"trainer.devices: {sizes['train']} training and {sizes['val']} validation images do not give each of "
            f"{ranks} processes one of either; choose fewer devices, or another data.validation"
        )
    if not data.batches_per_epoch(ranks):
        raise InputError(
            f"data.batch_size={data.batch_size}: {counted(sizes['train'], 'image')} fill no batch, and data.drop_last="
            "true leaves the rest out; choose smaller batches"
        )


def _start_from(folder: str, experiment: Experiment, console: Console) -> None:
    fresh = start_from(experiment.task, open_run(folder, "init"))
    console.print(f"init     {folder}" + (f"; fresh: {', '.join(fresh)}" if fresh else ""))


def _provenance(experiment: Experiment, ranks: int, prefixes: Iterable[str] | None) -> dict[str, Any]:
    """What the figures were computed with."""
    device = experiment.trainer.device()
    return {
        "parameters": parameter_count(experiment),
        "precision": experiment.trainer.actual_precision(),
        "hardware": {
            "device": torch.cuda.get_device_name() if device == "cuda" else provenance.cpu_name(),
            "threads": torch.get_num_threads(),
            **({"ranks": ranks} if ranks > 1 else {}),
        },
        "data": {
            "checksums": experiment.data.checksums(),
            "images": experiment.data.counts(),
            "facts": experiment.data.facts.plain(),
        },
        "code": provenance.code(prefixes),
        "versions": provenance.versions(),
    }


def test_metrics(trainer: pl.Trainer, experiment: Experiment, split: str = "test") -> dict[str, float]:
    """The metrics of the task's present weights on a split; InputError for a "val" that holds nothing."""
    if split == "val" and not experiment.data.counts()["val"]:
        raise InputError("split=val: the run held no images out (data.validation); choose split=test")
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
    rows = [{"index": index, "name": name, **row} for index, (name, row) in enumerate(zip(names, scores, strict=False))]
    write_csv(run.test_images_path, list(rows[0]), rows)
    if (masks := experiment.task.test_masks()) is not None:
        np.savez_compressed(run.test_masks_path, masks=masks.numpy())


def parameter_count(experiment: Experiment) -> int:
    """Weights of the network that are trained."""
    return sum(weight.numel() for weight in experiment.task.model.parameters() if weight.requires_grad)


def _introduce(experiment: Experiment, run: Run, console: Console, checkpoint: Path | None, ranks: int) -> None:
    data, options = experiment.data, experiment.trainer
    sizes = data.counts()
    images = f"{sizes['train']:,} training and {sizes['val']:,} validation images of {data.facts.shapes}"
    lines = {
        "run": shown(run.folder),
        "data": f"{data.source.title}: {images}, {data.facts.num_classes} classes",
        "model": f"{type(experiment.task.model).__name__}: {parameter_count(experiment):,} parameters",
        "trainer": f"{counted(options.max_epochs, 'epoch')}, {options.actual_precision()} on {options.device()}"
        + (f", {counted(torch.get_num_threads(), 'thread')}" if options.device() == "cpu" else "")
        + (f", {ranks} processes" if ranks > 1 else ""),
    }
    if checkpoint is not None:
        lines["resume"] = f"from {shown(checkpoint)}"
    for name, text in lines.items():
        console.print(f"{name:<8} {text}")
