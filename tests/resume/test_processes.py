"""Real processes that get real signals, and SIGKILL at random moments: they end where the straight ones end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.processes import started, wait_for

from receptive.runs import Run
from scripts import chaos

SMALL = (
    "data=digits", "data.batch_size=8", "trainer.max_epochs=6", "trainer.limit_train_batches=40", "optimizer=sgd",
    "trainer.threads=1", "trainer.checkpoint_minutes=null", "trainer.ema_decay=0.9", "augment=[affine]",
)  # fmt: skip
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)


def command(folder: Path, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """`receptive train` as a process."""
    return started(sys.executable, "-m", "receptive", "train", *arguments, cwd=folder)


@pytest.mark.slow
def test_signals_save_a_run_and_it_goes_on(cli: Cli, tmp_path: Path) -> None:
    """All four that stop, one after the other, each an epoch later."""
    run = Run(tmp_path / "run")
    for number, stop in enumerate(SIGNALS, 1):
        rows = len(run.metrics())
        with command(tmp_path, *((*SMALL, "hydra.run.dir=run") if number % 2 else ("resume=run",))) as process:
            wait_for(lambda rows=rows: run.state() == "running" and len(run.metrics()) > rows, process)  # type: ignore[misc]
            before = chaos.saved_at(run)
            process.send_signal(stop)
            _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (
            128 + stop,
            f"receptive: stopped by {stop.name}; receptive train resume=run goes on\n",
        )
        assert (run.status().state, run.status().attempts) == ("interrupted", number)
        assert chaos.saved_at(run) > before
    assert cli("train", *SMALL, "hydra.run.dir=run")[0] == 0
    assert cli("train", *SMALL, "hydra.run.dir=straight")[0] == 0
    assert run.status().attempts == 5
    assert chaos.differences(chaos.everything(Run(tmp_path / "straight")), chaos.everything(run)) == []


@pytest.mark.slow
def test_a_signal_while_a_run_starts_is_never_lost(tmp_path: Path) -> None:
    """At ten moments, most of them in the midst of importing torch and what builds on it."""
    run = chaos.prepare(tmp_path / "run", *SMALL, "trainer.max_epochs=10000")
    for attempt in range(1, 11):
        with started(sys.executable, "-m", "receptive.job", run.folder) as process:
            wait_for(lambda attempt=attempt: run.status().attempts == attempt, process)  # type: ignore[misc]
            time.sleep(attempt * 0.4)
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=60)
        assert (process.returncode, run.status().state) == (143, "interrupted"), (run.status(), told)


def jobs(folder: Path) -> list[Run]:
    """The sweep's runs in the order of sweep.json."""
    if not (folder / "sweep.json").is_file():
        return []
    return [Run(folder / entry["folder"]) for entry in json.loads((folder / "sweep.json").read_text())["jobs"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "whom"), [("local", "the command"), ("packed", "a worker"), ("packed", "the command")]
)
def test_a_sweeps_interrupted_job_goes_on_with_the_same_command(
    cli: Cli, tmp_path: Path, launcher: str, whom: str
) -> None:
    """Where a worker alone is stopped the other jobs are run all the same."""
    arguments = ("-m", *SMALL, "seed=0,1", "hydra.launcher.workers=1", "hydra/launcher=packed")
    if launcher == "local":
        arguments = ("-m", *SMALL, "seed=0,1", "hydra/launcher=local")
    folder = tmp_path / "sweep"
    with command(tmp_path, *arguments, "hydra.sweep.dir=sweep") as process:
        wait_for(lambda: any(run.state() == "running" and len(run.metrics()) > 1 for run in jobs(folder)), process)
        [running] = [run for run in jobs(folder) if run.state() == "running"]
        pid = running.status().pid if whom == "a worker" else process.pid
        assert pid is not None
        os.kill(pid, signal.SIGUSR1)
        process.communicate(timeout=120)
    assert process.returncode == (1 if whom == "a worker" else 138)
    [other] = [run for run in jobs(folder) if run != running]
    assert running.state() == "interrupted"
    assert other.state() == ("done" if whom == "a worker" else "waiting")
    rows = running.metrics()
    code, out, err = cli("train", *arguments, "hydra.sweep.dir=sweep")
    assert (code, err) == (0, "")
    assert "1 interrupted" in out
    assert [run.status().attempts for run in (running, other)] == [2, 1]
    assert running.metrics()[: len(rows)] == rows  # with their seconds: they were not trained again
    if launcher == "packed":
        arguments = (*arguments[:-2], "hydra/launcher=local")
    assert cli("train", *arguments, "hydra.sweep.dir=straight")[0] == 0
    for run in jobs(folder):
        whole = Run(tmp_path / "straight" / run.folder.name)
        assert chaos.differences(chaos.everything(whole), chaos.everything(run)) == []


@pytest.mark.slow
def test_15_kills_change_nothing(tmp_path: Path) -> None:
    """See `scripts/chaos.py`, which gives more of them."""
    told: list[str] = []
    found = list(chaos.runs(15, 8, 0, tmp_path, told.append))
    assert sum(len(run["kills"]) for run in found) == 15
    assert [run["differ"] for run in found] == [[]] * len(found)
    inside = [[kill["phase"] != "starting" for kill in run["kills"]] for run in found]
    assert all(run["attempts"] >= sum(hit) for run, hit in zip(found, inside, strict=True))
    assert any(map(any, inside))


@pytest.mark.slow
def test_what_differs_is_found(tmp_path: Path) -> None:
    """The comparison of `scripts/chaos.py`: a bit of a weight, a type, a missing key, but no time and no memory."""
    run = chaos.prepare(tmp_path / "run", *SMALL, "trainer.max_epochs=1", "trainer.limit_train_batches=2")
    assert chaos.killed_run(run, 0, random.Random(0), pytest.fail) == []
    one, other = chaos.everything(run), chaos.everything(run)
    assert chaos.differences(one, other) == []
    next(iter(other["last"]["state_dict"].values())).view(-1)[3] += 1e-7
    other["last"]["optimizer_states"][0]["param_groups"][0]["lr"] = 1
    del other["best"]["global_step"]
    other["last"]["receptive"]["seconds"] += 1
    other["metrics.csv"][0] |= {"seconds": "7", "memory_mb": "7"}
    assert len(chaos.differences(one, other)) == 3
