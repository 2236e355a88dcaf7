"""A sweep in W&B: one page a run in one group, however often it was killed, and one with its tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tracking.backend import Backend
from tests.tracking.stored import BackendRun

from receptive.report.collection import collect
from receptive.runs import Run

COMMAND = ("train", "-m", "logger=wandb", "model=mnist_net", "trainer.max_epochs=12", "hydra/launcher=packed")


def sweep(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "receptive", *COMMAND, "hydra.launcher.workers=2", *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(backend: Backend, run: Run) -> BackendRun:
    """The page of a killed run, once its mirror, which outlives it, has ended it."""
    wanted, deadline = run.status().wandb_id or "", time.monotonic() + 20
    while time.monotonic() < deadline:
        if wanted in backend.runs and backend.runs[wanted].complete:
            break
        time.sleep(0.05)
    return backend.runs[wanted]


@pytest.mark.slow
def test_four_runs_one_failing_one_killed(online: Backend, tmp_path: Path) -> None:
    """The issue's own proof: a job that fails, one whose worker is killed -9, the same command again."""
    overrides = ("hydra.sweep.dir=four", "optimizer=sgd", "optimizer.lr=0.01,0.02,0.03,1e30")
    first = sweep(tmp_path, *overrides)
    killed = None
    while killed is None:
        assert first.poll() is None, first.communicate()[0]
        runs = [Run(path.parent) for path in (tmp_path / "four").glob("lr_0.02*/status.json")]
        if runs and runs[0].state() == "running" and len(runs[0].metrics()) >= 3:
            killed = runs[0]
            os.kill(killed.status().pid or 0, signal.SIGKILL)
        time.sleep(0.02)
    said, _ = first.communicate(timeout=200)
    assert first.returncode == 1
    assert killed.state() == "interrupted"
    epochs = len(killed.metrics())
    page = ended(online, killed)
    assert page.state == "killed", said
    assert 3 <= epochs < 12 and page.steps == list(range(1, epochs + 1))

    second = sweep(tmp_path, *overrides)
    said, _ = second.communicate(timeout=200)
    assert second.returncode == 1  # one fails again
    records = {record.labels["optimizer.lr"]: record for record in collect(tmp_path / "four").records}
    pages = {page.name: page for page in online.runs.values() if page.job_type == "train"}
    assert {name: page.state for name, page in pages.items()} == {
        "lr=0.01": "finished",
        "lr=0.02": "finished",
        "lr=0.03": "finished",
        "lr=1e+30": "failed",
    }
    assert {page.group for page in pages.values()} == {"four"}
    for name, page in pages.items():
        record = records[name.removeprefix("lr=")]
        rows = [row for row in page.rows if "epoch" in row]
        assert page.complete and page.overwritten == 0
        assert [row["_step"] for row in rows] == [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert [row["val/accuracy"] for row in rows] == [row["val/accuracy"] for row in record.history]
        assert page.config["optimizer/lr"] == float(name.removeprefix("lr="))
    assert len([row for row in pages["lr=0.02"].rows if "epoch" in row]) == 12
    assert records["0.02"].status.attempts == 2
    [tables] = [page for page in online.runs.values() if page.job_type == "sweep"]
    assert (tables.name, tables.group, tables.state) == ("four", None, "failed")
    assert "4 of 4 runs; the sweep's tables: " in said
