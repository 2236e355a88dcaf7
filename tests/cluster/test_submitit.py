"""Sweeps through hydra-submitit-launcher, a launcher of others: docs/cluster.md tells its limits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster.conftest import Cluster

SWEEP = ("train", "-m", "data=digits", "trainer.max_epochs=1", "trainer.limit_train_batches=3", "hydra.sweep.dir=sweep")
ON_SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=debug", "hydra.launcher.timeout_min=10")


def states(folder: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["state"] for path in folder.glob("sweep/*/status.json"))


@pytest.mark.slurm
def test_a_sweep_ends_in_its_table(cluster: Cluster, tmp_path: Path) -> None:
    done = cluster.receptive(*SWEEP, *ON_SLURM, "seed=0,1", cwd=tmp_path)
    assert "2 jobs in sweep, 2 to run" in done.stdout
    assert states(tmp_path) == ["done", "done"]
    assert len((tmp_path / "sweep" / "runs.csv").read_text().splitlines()) == 3
    again = cluster.receptive(*SWEEP, *ON_SLURM, "seed=0,1", cwd=tmp_path)
    assert "2 jobs in sweep (2 done), 0 to run" in again.stdout


@pytest.mark.slurm
def test_a_failed_job_is_told_by_the_table_and_not_by_slurm(cluster: Cluster, tmp_path: Path) -> None:
    arguments = (*SWEEP, *ON_SLURM, "optimizer=sgd", "optimizer.lr=1e30,0.01")
    done = cluster.receptive(*arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "failed: the training loss is nan in epoch 1" in done.stdout
    assert states(tmp_path) == ["done", "failed"]
    (script,) = (tmp_path / "sweep" / ".submitit").glob("*/*_submission.sh")
    job = script.parent.name
    ended = {f"{job}_{index}": ("COMPLETED", "0:0") for index in range(2)}
    cluster.wait_for(lambda: cluster.accounts(job) == ended, "sacct takes both for done")


@pytest.mark.slow
def test_a_sweep_on_this_machine_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "receptive", *SWEEP, "hydra/launcher=submitit_local", "seed=0,1"]
    done = subprocess.run(command, cwd=tmp_path, timeout=300, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == ["done", "done"]
