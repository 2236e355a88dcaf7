"""Searches whose driver and workers are killed at random moments: the same command ends where it should."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.processes import descendants, kill, started, wait_for
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


def search(folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    return started(sys.executable, "-m", "receptive", "train", *COMMAND, cwd=folder, stderr=subprocess.STDOUT)


def ended(folder: Path) -> dict[Path, tuple[int, float | None]]:
    """Attempts and start of every run that has ended well."""
    found: list[Run] = [entry.run(folder) for entry in entries(folder)]
    return {run.folder: (run.status().attempts, run.status().started) for run in found if run.state() in ENDED_WELL}


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path) -> None:
    chance, folder = random.Random(0), tmp_path / "search"
    before: dict[Path, tuple[int, float | None]] = {}
    hits = 0
    for number in range(KILLS):
        with search(tmp_path) as process:
            wait_for((folder / NAME).is_file, process)
            time.sleep(chance.uniform(0, 9))
            workers = descendants(process.pid) if process.poll() is None else []
            hits += bool(workers)
            for worker in workers[: number % 3]:  # the driver alone, or workers too
                kill(worker)
            process.kill()
            process.communicate(timeout=60)
        now = ended(folder)
        assert before.items() <= now.items()  # what has ended stays as it is
        before = now
    assert hits
    with search(tmp_path) as last:
        out, _ = last.communicate(timeout=600)
    assert last.returncode == 0, out
    assert before.items() <= ended(folder).items()
    assert len(states(folder)) == TRIALS
    assert set(states(folder)) <= {"COMPLETE", "PRUNED"}
    agree(folder)
    assert len(entries(folder)) == len({str(sorted(trial.params.items())) for trial in study_of(folder).trials})
    jobs = {path.parent.name for path in folder.glob("*/config.yaml")}
    assert jobs == {entry.folder for entry in entries(folder)}
