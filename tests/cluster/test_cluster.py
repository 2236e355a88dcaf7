"""The Slurm that the other tests stand on does what they take for granted."""

from pathlib import Path

import pytest
from tests.cluster.conftest import SCRIPT, Cluster

pytestmark = pytest.mark.slurm

ENDS = "case $SLURM_ARRAY_TASK_ID in 0) exit 0 ;; 1) exit 1 ;; 2) kill -9 $$ ;; 3) exec sleep 600 ;; esac"


def test_states_of_an_array(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.sbatch(ENDS, "--array=0-3", cwd=tmp_path)
    cluster.wait_for(lambda: cluster.queue(job) == {f"{job}_3": "RUNNING"}, "one of four runs")
    ended = {f"{job}_0": ("COMPLETED", "0:0"), f"{job}_1": ("FAILED", "1:0"), f"{job}_2": ("FAILED", "0:9")}
    cluster.wait_for(lambda: cluster.accounts(job) == {**ended, f"{job}_3": ("RUNNING", "0:0")}, "sacct knows them")
    cluster.run("scancel", f"{job}_3")
    cluster.wait_for(lambda: cluster.accounts(job)[f"{job}_3"][0] == "CANCELLED", "sacct knows of the cancelling")
    assert cluster.queue("999999") == {}


def test_a_requeued_job_starts_again_within_seconds(cluster: Cluster, tmp_path: Path) -> None:
    again = 'echo "start ${SLURM_RESTART_COUNT:-0}"; [ -n "$SLURM_RESTART_COUNT" ] || scontrol requeue "$SLURM_JOB_ID"'
    job = cluster.sbatch(again, "--requeue", "--open-mode=append", "--output=log", cwd=tmp_path)
    cluster.wait_for(lambda: "start 1" in read(tmp_path / "log"), "it starts again")
    cluster.wait_for(lambda: cluster.accounts(job) == {job: ("COMPLETED", "0:0")}, "sacct knows its end")


def test_high_preempts_debug(cluster: Cluster, tmp_path: Path) -> None:
    low = cluster.sbatch("exec sleep 600", "--requeue", "--exclusive", cwd=tmp_path)
    cluster.wait_for(lambda: cluster.queue(low) == {low: "RUNNING"}, "it runs")
    high = cluster.sbatch("exec sleep 600", "--partition=high", "--exclusive", cwd=tmp_path)
    cluster.wait_for(lambda: cluster.queue() == {low: "PENDING", high: "RUNNING"}, "the other has its place")


def test_without_accounting_sacct_answers_nothing(unaccounted: Cluster, tmp_path: Path) -> None:
    job = unaccounted.sbatch("exit 0", cwd=tmp_path)
    unaccounted.wait_for(lambda: not unaccounted.queue(job), "it has ended")
    asked = unaccounted.run("sacct", "--jobs", job, check=False)
    assert asked.returncode == 1 and asked.stdout == "" and "accounting storage is disabled" in asked.stderr


def test_nothing_stays_of_a_stopped_cluster(tmp_path: Path) -> None:
    """Neither daemons nor a job that went on in a session of its own."""
    cluster = Cluster(tmp_path / "cluster")
    cluster.folder.mkdir()
    cluster.run(SCRIPT, "start", cluster.folder, "--no-accounting")
    cluster.sbatch("setsid sleep 600 & echo $! >pid; wait", cwd=tmp_path)
    cluster.wait_for(lambda: read(tmp_path / "pid"), "it runs")

    def of_it() -> set[str]:  # a process that has ended has no environment, its parent may not have looked yet
        found = Path("/proc").glob("[0-9]*/environ")
        return {path.parent.name for path in found if str(cluster.folder) in read(path)}

    assert read(tmp_path / "pid").strip() in of_it()
    cluster.run(SCRIPT, "stop", cluster.folder)
    assert not of_it()
    assert cluster.run(SCRIPT, "status", cluster.folder, check=False).returncode == 1


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # not there yet, or no more
