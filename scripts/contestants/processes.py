"""Whole processes, timed from their launch to their end."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_MINIMAL = Path(__file__).with_name("minimal_lightning.py")
_STEPPED = 77  # exit code of a process that ended itself after its first training step
# Runs a module or a file as `python` does; both would import torch anyway.
_UNTIL_FIRST_STEP = f"""
import os, runpy, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *_: os._exit({_STEPPED}))
sys.argv = sys.argv[1:]
run = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
run(sys.argv[0], run_name="__main__")
"""


def whole(arguments: list[str], expected: int = 0) -> float:
    """Return the wall seconds of `python ARGUMENTS`, with W&B offline.

    Raises:
        RuntimeError: it ended with another code than `expected`.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["WANDB_MODE"] = "offline"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != expected:
        raise RuntimeError(f"python {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return seconds


def receptive(*arguments: str) -> float:
    """Return the wall seconds of a `receptive` command."""
    return whole(["-m", "receptive", *arguments])


def dry_run(points: int) -> float:
    """Return the wall seconds of a dry run of a sweep of so many points over five axes."""
    axes = [f"optimizer.lr=range(1,{points // 500 + 1})", "data.batch_size=8,16,32,64,128", "optimizer=adam,sgd"]
    with tempfile.TemporaryDirectory() as folder:
        place = f"hydra.sweep.dir={folder}/sweep"
        return receptive("train", "-m", "dry_run=true", *axes, "model.activation=relu,elu", "seed=range(25)", place)


def first_step_of_receptive() -> float:
    """Return the wall seconds to the first training step of experiment=mnist_baseline."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["receptive", "train", "experiment=mnist_baseline", "trainer.accelerator=cpu"]
        return whole(["-c", _UNTIL_FIRST_STEP, *command, f"hydra.run.dir={folder}/run"], _STEPPED)


def first_step_of_minimal_script(data_dir: str) -> float:
    """Return the same of a minimal Lightning script with that net and data."""
    with tempfile.TemporaryDirectory() as folder:
        return whole(["-c", _UNTIL_FIRST_STEP, str(_MINIMAL), data_dir, folder], _STEPPED)


def overhead_of_sweep_job(few: int, many: int) -> float:
    """Return the seconds that a further job of a local sweep costs beyond its training."""
    (short, less), (long, more) = _sweep(few), _sweep(many)
    return (long - short - (more - less)) / (many - few)


def cost_of_mirrored_job(few: int, many: int) -> float:
    """Return the seconds that logger=wandb, offline, adds to a further job of a local sweep, its training included."""
    walls = {(logger, jobs): _sweep(jobs, logger)[0] for jobs in (few, many) for logger in ("[]", "wandb")}
    more = {logger: walls[logger, many] - walls[logger, few] for logger in ("[]", "wandb")}
    return (more["wandb"] - more["[]"]) / (many - few)


def epochs_on_all_cores(logger: str, steps: int) -> float:
    """Return the seconds of the epochs but the first of CIFAR-10 trainings, one on each core, batch 128, cut short.

    In the first the mirror starts, whose cost is once a process: see `cost_of_mirrored_job`.
    """
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        short = [f"trainer.limit_train_batches={steps}", "trainer.limit_eval_batches=2", "trainer.max_epochs=4"]
        experiment = ["data=cifar10", "model=net_a", "data.batch_size=128", "test=false", f"seed=range({cores})"]
        places = [f"hydra.sweep.dir={folder}/sweep", f"paths.output_dir={folder}", f"logger={logger}"]
        whole(["-m", "receptive", "train", "-m", "hydra/launcher=packed", *experiment, *short, *places])
        return _seconds_of_epochs(Path(folder) / "sweep", first=2)


def _sweep(jobs: int, logger: str = "[]") -> tuple[float, float]:
    """Return the wall seconds of a sweep, and those of its jobs' epochs."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["data=digits", "trainer=debug", "hydra/launcher=local", f"hydra.sweep.dir={folder}"]
        places = [f"paths.output_dir={folder}", f"logger={logger}"]
        wall = receptive("train", "-m", *options, *places, f"seed=range({jobs})")
        return wall, _seconds_of_epochs(Path(folder))


def _seconds_of_epochs(sweep: Path, first: int = 1) -> float:
    rows = [row for path in sweep.glob("*/metrics.csv") for row in csv.DictReader(path.open())]
    return sum(float(row["seconds"]) for row in rows if int(row["epoch"]) >= first)
