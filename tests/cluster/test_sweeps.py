"""Sweeps on a real Slurm: jobs that fail, are killed, cancelled, preempted, requeued; drivers that are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.conftest import SLURM, SMALL, Cluster, Make, assert_identical

from receptive.slurm.submissions import assigned, submissions

pytestmark = pytest.mark.slurm


def test_a_job_that_raises_one_that_is_killed_and_one_that_is_cancelled(cluster: Cluster, sweep: Make) -> None:
    """The others end; the same command goes on with them."""
    variants = ",".join(f"v{number}:['seed={number}']" for number in range(5))
    arguments = (
        *SLURM,
        *SMALL,
        "trainer.max_epochs=20",
        f"hydra.sweeper.variants={{{variants},nan:['optimizer.lr=1e30']}}",
    )
    six = sweep("six", *arguments)
    six.wait_for(lambda: six.trains("v0"), "v0 trains")
    pid = six.runs["v0"].status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    six.wait_for(lambda: six.trains("v1"), "v1 trains")
    cluster.run("scancel", str(six.given("v1").task))
    six.wait_for(lambda: six.runs["v0"].status().state == "interrupted", "the death of v0 is recorded", 60)
    assert six.end() == 1
    assert six.states() == {
        "v0": "interrupted", "v1": "interrupted", "v2": "done", "v3": "done", "v4": "done", "nan": "failed"
    }  # fmt: skip
    assert six.runs["v0"].status().error == f"Slurm job {six.given('v0').task} was killed by SIGKILL"
    assert six.runs["v1"].status().error == "stopped by SIGTERM"
    ends = {name: cluster.accounts(str(six.given(name).task)) for name in six.runs}
    told = {name: next(iter(end.values())) for name, end in ends.items()}
    assert told["nan"] == ("FAILED", "1:0")
    assert told["v0"] == ("FAILED", "0:9")
    assert told["v1"][0] == "CANCELLED"
    assert {told[name] for name in ("v2", "v3", "v4")} == {("COMPLETED", "0:0")}
    six.start()
    assert six.end() == 1
    assert "(3 done, 1 failed, 2 interrupted), 3 to run" in six.said()
    assert list(six.states().values()).count("done") == 5
    assert {name: run.status().attempts for name, run in six.runs.items()} == {
        "v0": 2, "v1": 2, "v2": 1, "v3": 1, "v4": 1, "nan": 2
    }  # fmt: skip


def test_what_is_preempted_or_requeued_ends_where_it_would_have_ended(
    cluster: Cluster, sweep: Make, tmp_path: Path
) -> None:
    """Preempted by another partition's job, and requeued by hand: bit for bit the run that nobody stopped."""
    arguments = (*SMALL, "trainer.max_epochs=25", "seed=0,1")
    straight = sweep("straight", "hydra/launcher=packed", *arguments)
    assert straight.end() == 0
    stopped = sweep("stopped", *SLURM, *arguments)
    stopped.wait_for(lambda: stopped.trains("0") and stopped.trains("1"), "both train")
    cluster.run("scontrol", "requeue", str(stopped.given("0").task))
    stopped.wait_for(lambda: stopped.runs["0"].status().attempts == 2 and stopped.trains("0"), "the first trains again")
    cluster.sbatch("sleep 2", "--partition=high", "--exclusive", cwd=tmp_path)
    assert stopped.end() == 0
    attempts = [run.status().attempts for run in stopped.runs.values()]
    assert attempts[0] >= 2
    assert sum(attempts) >= 4
    assert len(submissions(stopped.root)) == 1
    assert_identical(stopped.runs, straight.runs)


def test_a_time_limit_of_one_minute_changes_nothing(sweep: Make) -> None:
    """The job is told before, saves, requeues itself and goes on."""
    arguments = (*SLURM, *SMALL, "trainer.limit_train_batches=null", "trainer.max_epochs=220")
    limited = sweep("limited", *arguments, "hydra.launcher.time=1", "hydra.launcher.signal_seconds=20")
    straight = sweep("straight", *arguments)
    assert straight.end(600) == 0
    assert limited.end(600) == 0
    [run] = limited.runs.values()
    assert run.status().attempts >= 2
    assert (
        f"Slurm job {run.status().slurm_job} was requeued" in next((limited.root / "slurm").glob("*/0.log")).read_text()
    )
    assert_identical(limited.runs, straight.runs)


def test_a_driver_that_is_killed_five_times_loses_nothing(cluster: Cluster, sweep: Make) -> None:
    """While it composes, submits, has submitted; while jobs run, and end. No job is given twice."""
    draw = random.Random(0)
    killed = sweep("killed", *SLURM, *SMALL, "trainer.max_epochs=8", "seed=range(6)")
    moments: list[tuple[str, Callable[[], object]]] = [
        ("it composes", lambda: killed.root.is_dir()),
        ("it submits", lambda: any(killed.root.glob("slurm/*/job.sh"))),
        ("it has submitted", lambda: assigned(killed.root)),
        ("a job trains", lambda: any(killed.trains(name) for name in killed.runs)),
        ("a job is done", lambda: "done" in killed.states().values()),
    ]
    for what, moment in moments:
        killed.wait_for(moment, what)
        time.sleep(draw.uniform(0, 0.1))
        killed.kill()
        killed.start()
    assert killed.end() == 0
    assert set(killed.states().values()) == {"done"}
    assert [run.status().attempts for run in killed.runs.values()] == [1] * 6
    given = [folder for submission in submissions(killed.root) for folder in submission.folders if submission.job]
    assert sorted(given) == sorted(run.folder for run in killed.runs.values())
    killed.start()
    assert killed.end() == 0
    assert "6 jobs in killed (6 done), 0 to run" in killed.said()


def test_without_accounting_a_dead_job_is_noticed_within_a_minute(unaccounted: Cluster, sweep: Make) -> None:
    two = sweep("two", *SLURM, *SMALL, "trainer.max_epochs=40", "seed=0,1", on=unaccounted)
    two.wait_for(lambda: two.trains("0"), "the first trains")
    pid = two.runs["0"].status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    two.wait_for(lambda: two.runs["0"].status().state == "interrupted", "its death is recorded", 60)
    assert "was killed by SIGKILL" in (two.runs["0"].status().error or "")
    assert two.end() == 1
    assert two.states() == {"0": "interrupted", "1": "done"}


def test_detached_jobs_are_followed_cancelled_and_taken_up_again(cluster: Cluster, sweep: Make) -> None:
    detached = sweep("detached", *SLURM, *SMALL, "trainer.max_epochs=12", "seed=range(6)", "submit=detach")
    assert detached.end() == 0
    assert "receptive status detached   shows them" in detached.said()

    def receptive(*arguments: str) -> str:
        return cluster.receptive(*arguments, cwd=detached.root.parent).stdout

    detached.wait_for(lambda: any(detached.trains(name) for name in detached.runs), "one trains")
    assert "in Slurm's queue" in receptive("status", "detached")
    said = receptive("cancel", "detached")
    assert "jobs taken out of Slurm's queue" in said
    assert "the same command goes on" in said
    assert "running" not in detached.states().values()
    cluster.wait_for(lambda: not cluster.queue(), "the queue is empty")
    detached.start()
    assert detached.end() == 0
    detached.wait_for(lambda: set(detached.states().values()) == {"done"}, "all are done", 120)
    assert receptive("report", "detached").count(" done") == 6  # a row each
    assert (detached.root / "report.html").is_file()


def test_fifteen_hundred_jobs_are_accepted_and_cancelled(cluster: Cluster, sweep: Make) -> None:
    """More than an array may have here, 1001."""
    many = sweep("many", *SLURM, *SMALL, "seed=range(1500)", "submit=detach", "hydra.launcher.sbatch=[--hold]")
    assert many.end(240) == 0, many.said()
    assert [len(each.folders) for each in submissions(many.root)] == [1001, 499]
    assert len(cluster.queue()) == 1500
    assert "1500 jobs taken out" in cluster.receptive("cancel", "many", cwd=many.root.parent).stdout
    assert cluster.queue() == {}


def test_a_setup_that_fails_is_told_with_its_log(cluster: Cluster, sweep: Make) -> None:
    broken = sweep("broken", *SLURM, *SMALL, "seed=0", "hydra.launcher.setup=['echo before','exit 7']")
    assert broken.end() == 1
    [run] = broken.runs.values()
    error = run.status().error or ""
    assert run.state() == "failed"
    assert "ended with code 7 before the run began; see broken/slurm/" in error
    assert (broken.root.parent / error.rpartition("see ")[2]).read_text() == "before\n"
