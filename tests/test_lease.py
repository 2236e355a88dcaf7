"""Locks and heartbeats."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from receptive import lease
from receptive.files import locked
from receptive.lease import Taken, is_beating, is_leased, leased
from receptive.runs import Busy, Run, Status
from receptive.slurm.submissions import submitting
from receptive.sweeps.presence import driving, is_driven

HOLD = (
    "import sys, time; from pathlib import Path; from receptive.lease import leased\n"
    "with leased(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)\n"
)


def test_only_one_process_holds_it_and_death_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_leased(path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert is_leased(path)
        with pytest.raises(Taken), leased(path):
            pass
        other.kill()
        other.wait()
    assert not is_leased(path)
    with leased(path):
        pass


def test_the_holder_touches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    path = tmp_path / "lock"
    path.touch()
    os.utime(path, (1000, 1000))
    assert not is_beating(path)
    with leased(path):
        for _ in range(2):
            os.utime(path, (1000, 1000))
            deadline = time.monotonic() + 10
            while not is_beating(path):
                assert time.monotonic() < deadline, "no heartbeat"
                time.sleep(0.01)
        path.unlink()  # with the whole folder, say
        time.sleep(0.2)
    assert not path.exists()


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system refuses them."""

    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("host", ["node7", socket.gethostname()])
def test_where_the_file_system_knows_no_locks_the_heartbeat_tells(tmp_path: Path, host: str) -> None:
    run = Run(tmp_path)
    with run.lock():
        run.write_status(Status(state="running", host=host))
        assert run.state() == "running"
        with pytest.raises(Busy), run.lock():
            pass
    os.utime(tmp_path / "lock", (time.time() - lease.DEAD - 5,) * 2)
    assert run.state() == "interrupted"
    with run.lock():
        pass


@pytest.mark.usefixtures("no_locks")
def test_where_the_file_system_knows_no_locks_a_sweep_is_driven_all_the_same(tmp_path: Path) -> None:
    with driving(tmp_path), locked(tmp_path / "other"), submitting(tmp_path):
        assert not is_driven(tmp_path)


def test_other_faults_of_a_lock_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, kind: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / "other"):
        pass


@pytest.mark.parametrize(("seconds", "state"), [(lease.DEAD / 2, "running"), (lease.DEAD + 5, "interrupted")])
def test_a_run_of_another_machine_runs_as_long_as_its_heart_beats(tmp_path: Path, seconds: float, state: str) -> None:
    """Its lock is of another kernel."""
    run = Run(tmp_path)
    run.write_status(Status(state="running", host="node7", slurm_job="12_3"))
    (tmp_path / "lock").touch()
    os.utime(tmp_path / "lock", (time.time() - seconds,) * 2)
    assert run.state() == state
    if state == "running":
        with pytest.raises(Busy), run.lock():
            pass
        with pytest.raises(Busy), run.lock("12_4"):
            pass
    else:
        with run.lock():
            pass


def test_a_requeued_job_need_not_wait_for_its_former_self(tmp_path: Path) -> None:
    """Slurm starts it when the other is gone, on another node perhaps."""
    run = Run(tmp_path)
    run.write_status(Status(state="running", host="node7", slurm_job="12_3"))
    (tmp_path / "lock").touch()
    with run.lock("12_3"):
        pass


def test_this_machines_runs_need_no_heartbeat(tmp_path: Path) -> None:
    """A kill leaves a file that was touched just now."""
    run = Run(tmp_path)
    run.write_status(Status(state="running", host=socket.gethostname()))
    (tmp_path / "lock").touch()
    assert run.state() == "interrupted"
