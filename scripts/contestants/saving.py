"""What a checkpoint within an epoch costs a training."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from omegaconf import OmegaConf
from scripts.contestants.training import composed

from receptive.callbacks.checkpoints import RunCheckpoints
from receptive.console import new_console
from receptive.job import run_job
from receptive.runs import Run

EVERY = 4  # steps


def seconds_of_a_checkpoint(model: str, steps: int) -> float:
    """The median seconds that last.ckpt takes of a CIFAR-10 training, saved every few steps as it is by the clock."""
    spent: list[float] = []
    save = RunCheckpoints._save

    def timed(self: RunCheckpoints, *arguments: Any) -> None:
        started = time.perf_counter()
        save(self, *arguments)
        spent.append(time.perf_counter() - started)

    config = composed(
        *("data=cifar10", f"model={model}", "optimizer=adam", "test=false", "trainer.max_epochs=1"),
        *(f"trainer.limit_train_batches={steps}", "trainer.limit_eval_batches=1", f"trainer.checkpoint_steps={EVERY}"),
    )
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(RunCheckpoints, "_save", timed):
        run = Run(Path(folder))
        OmegaConf.save(config, run.config_path)
        if run_job(run, new_console(quiet=True)) != "done":
            raise RuntimeError(run.status().error)
    return statistics.median(spent)
