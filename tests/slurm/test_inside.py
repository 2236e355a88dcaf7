"""What a job knows of its Slurm task."""

import os
import signal
from pathlib import Path

import pytest
from tests.slurm.conftest import Fake

from receptive.job import main
from receptive.runs import Run, Status
from receptive.signals import Interrupted
from receptive.slurm.inside import REQUEUE, may_requeue, requeue, slurm_job

TASK = {"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a task of an array that may be requeued."""
    for key in [key for key in os.environ if key.startswith("SLURM_")]:
        monkeypatch.delenv(key)
    for key, value in {**TASK, REQUEUE: "1"}.items():
        monkeypatch.setenv(key, value)


def test_the_task_keeps_its_name_when_it_is_requeued(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slurm_job() == "12_3"
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    assert slurm_job() == "14"
    monkeypatch.delenv("SLURM_JOB_ID")
    assert slurm_job() is None


def test_only_the_time_limits_signal_requeues(monkeypatch: pytest.MonkeyPatch) -> None:
    """scancel and preemption send TERM: the one wants an end, with the other Slurm requeues itself."""
    assert may_requeue(signal.SIGUSR1)
    assert not may_requeue(signal.SIGTERM)
    monkeypatch.delenv(REQUEUE)
    assert not may_requeue(signal.SIGUSR1)


def test_what_slurm_says_to_it(fake: Fake) -> None:
    calls = fake("scontrol")
    assert requeue() == "Slurm job 12_3 was requeued"
    assert calls.read_text() == "requeue 12_3\n"
    fake("scontrol", "echo 'requeueing is disabled' >&2; exit 1")
    assert requeue() == "Slurm job 12_3 could not be requeued: requeueing is disabled"


@pytest.mark.parametrize("saved", [True, False])
def test_a_job_whose_time_is_up_goes_on_later_if_it_came_any_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake, capsys: pytest.CaptureFixture[str], saved: bool
) -> None:
    """Otherwise it would begin again and again."""
    calls = fake("scontrol")
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "last.ckpt").touch()
    os.utime(run.checkpoints / "last.ckpt", (1000, 1000))

    def stopped(run: Run, console: object) -> str:
        run.write_status(Status(state="interrupted", started=999 if saved else 1001, error="stopped by SIGUSR1"))
        raise Interrupted(signal.SIGUSR1)

    monkeypatch.setattr("receptive.job.run_job", stopped)
    with open(tmp_path / "answers", "w") as answers:
        assert main([str(run.folder)], answers) == 128 + signal.SIGUSR1
    assert calls.exists() == saved
    said = "was requeued" if saved else "before anything was saved: give more in hydra.launcher.time"
    assert said in capsys.readouterr().err
    assert ("hydra.launcher.time" in (run.status().error or "")) != saved


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_the_first_sees_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake, rank: str
) -> None:
    """Slurm stops what it requeues, while that still asks."""
    calls = fake("scontrol", "kill -TERM $PPID", "sleep 0.2")
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "last.ckpt").touch()

    def stopped(run: Run, console: object) -> str:
        raise Interrupted(signal.SIGUSR1)

    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", rank)
    monkeypatch.setattr("receptive.job.run_job", stopped)
    with open(tmp_path / "answers", "w") as answers:
        assert main([str(run.folder)], answers) == 128 + signal.SIGUSR1
    assert calls.exists() == (rank == "0")
