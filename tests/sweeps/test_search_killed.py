"""Searches whose driver and workers are killed at random moments: the same command ends where it should."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.sweeps.test_search import agree, entries, states, study_of

from receptive.journal import NAME
from receptive.runs import ENDED_WELL, Run

TRIALS, KILLS = 14, 8
COMMAND = (
    "-m", "hydra/sweeper=optuna", f"hydra.sweeper.trials={TRIALS}", "hydra.sweeper.random_trials=4",
    "hydra.sweeper.startup_trials=3", "optimizer.lr=tag(log,interval(1e-5,1e-1))", "optimizer=adam,sgd",
    "hydra.sweep.dir=search", "hydra/launcher=packed", "hydra.launcher.workers=2", "trainer.max_epochs=6",
    "trainer.limit_train_batches=30", "data.batch_size=16", "trainer.checkpoint_minutes=0.005",
)  # fmt: skip


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "receptive", "train", *COMMAND],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(folder: Path) -> dict[Path, tuple[int, float | None]]:
    """Attempts and start of every run that has ended well."""
    found: list[Run] = [entry.run(folder) for entry in entries(folder)]
    return {run.folder: (run.status().attempts, run.status().started) for run in found if run.state() in ENDED_WELL}


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path) -> None:
    chance, folder = random.Random(0), tmp_path / "search"
    before: dict[Path, tuple[int, float | None]] = {}
    for number in range(KILLS):
        process = start(tmp_path)
        while not (folder / NAME).is_file():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 9))
        workers = children(process.pid) if process.poll() is None else []
        if number % 3:  # the driver alone, or workers too
            for worker in workers[: number % 3]:
                os.kill(worker, signal.SIGKILL)
        process.kill()
        process.communicate()
        now = ended(folder)
        assert before.items() <= now.items()  # what has ended stays as it is
        before = now
    last = start(tmp_path)
    out, _ = last.communicate(timeout=600)
    assert last.returncode == 0, out
    assert before.items() <= ended(folder).items()
    assert len(states(folder)) == TRIALS
    assert set(states(folder)) <= {"COMPLETE", "PRUNED"}
    agree(folder)
    assert len(entries(folder)) == len({str(sorted(trial.params.items())) for trial in study_of(folder).trials})
    jobs = {path.parent.name for path in folder.glob("*/config.yaml")}
    assert jobs == {entry.folder for entry in entries(folder)}
