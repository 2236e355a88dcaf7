"""Several processes of a run, started by srun on a real Slurm."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.cluster.conftest import SLURM, SMALL, Cluster, Make, assert_identical

pytestmark = pytest.mark.slurm

TWO = (*SMALL, "trainer=ddp", "trainer.accelerator=cpu", "model=mnist_net")
SRUN = (*SLURM, "hydra.launcher.ntasks_per_node=2")


def test_ranks_of_srun_compute_what_ours_do_and_survive_the_death_of_one(
    cluster: Cluster, sweep: Make, tmp_path: Path
) -> None:
    """Rank 1 is killed: the job ends as interrupted, and the same command goes on to the same bits."""
    arguments = (*TWO, "trainer.max_epochs=15", "seed=0")
    ours = sweep("ours", "hydra/launcher=local", *arguments)
    assert ours.end() == 0
    srun = sweep("srun", *SRUN, *arguments)
    srun.wait_for(lambda: any(srun.trains(name) for name in srun.runs), "it trains")
    [run] = srun.runs.values()
    leader = run.status().pid
    found = cluster.run("pgrep", "-f", f"receptive.job {run.folder}").stdout.split()
    [other] = [int(pid) for pid in found if int(pid) != leader and comm(int(pid)).startswith("python")]
    os.kill(other, signal.SIGKILL)
    killed = time.monotonic()
    srun.wait_for(lambda: run.state() == "interrupted", "the run is interrupted", 60)
    assert time.monotonic() - killed < 60
    assert srun.end() == 1
    srun.start()
    assert srun.end() == 0
    assert run.status().attempts == 2
    assert_identical(srun.runs, ours.runs)


def test_ranks_of_srun_whose_time_is_up_are_requeued(cluster: Cluster, sweep: Make) -> None:
    """All stop, and rank 0 has to see to it: the others' end shall not be its own."""
    timely = sweep("timely", *SRUN, *TWO, "trainer.max_epochs=40", "seed=0")
    timely.wait_for(lambda: any(timely.trains(name) for name in timely.runs), "it trains")
    [name] = timely.runs
    cluster.run("scancel", "--batch", "--signal=USR1", str(timely.given(name).task))
    assert timely.end(240) == 0
    assert (timely.runs[name].state(), timely.runs[name].status().attempts) == ("done", 2)


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()
