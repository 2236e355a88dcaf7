"""`receptive cancel` on this machine; tests/slurm has the one on a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.processes import started, wait_for

from receptive.files import locked
from receptive.manifest import Manifest
from receptive.runs import Run, Status
from receptive.slurm import scheduler
from receptive.slurm.scheduler import SchedulerError, Task
from receptive.sweeps.presence import drivers, driving, is_driven

LONG = ("data=digits", "data.batch_size=8", "trainer.max_epochs=500", "trainer.progress=none", "test=false")


def training(*arguments: str, folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "receptive", "train", *arguments)
    return started(*command, cwd=folder, start_new_session=True)


@pytest.mark.slow
def test_a_sweep_is_stopped_and_goes_on(cli: Cli, tmp_path: Path) -> None:
    """Its command first, else it would give the next jobs to its workers."""
    options = (
        "-m",
        *LONG,
        "seed=range(4)",
        "hydra/launcher=packed",
        "hydra.launcher.workers=2",
        "hydra.sweep.dir=sweep",
    )
    root = tmp_path / "sweep"
    with training(*options, folder=tmp_path) as driver:

        def running() -> list[Run]:
            if not (root / "sweep.json").is_file():
                return []
            runs = [entry.run(root) for entry in Manifest.read(root).entries.values()]
            return [run for run in runs if run.state() == "running" and run.metrics()]

        wait_for(lambda: len(running()) == 2, driver)
        assert drivers(root) == [(socket.gethostname(), driver.pid)]
        code, out, err = cli("cancel", "sweep")
        assert (code, err) == (0, "")
        assert "sweep: 2 interrupted, 2 waiting; the same command goes on" in out
        driver.communicate(timeout=60)
    assert driver.returncode == 128 + 15
    assert (drivers(root), is_driven(root)) == ([], False)
    assert cli("cancel", "sweep")[1] == "nothing of sweep runs or waits\n"


@pytest.mark.slow
def test_a_single_run_is_stopped(cli: Cli, tmp_path: Path) -> None:
    with training(*LONG, "hydra.run.dir=run", folder=tmp_path) as process:
        run = Run(tmp_path / "run")
        wait_for(lambda: run.state() == "running" and run.metrics(), process)
        code, out, _ = cli("cancel", "run")
        assert (code, out) == (0, "run: 1 interrupted; the same command goes on\n")
        process.communicate(timeout=60)
    assert process.returncode == 128 + 15


@pytest.fixture
def elsewhere(tmp_path: Path) -> Run:
    """A run whose process is another machine's."""
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    run.config_path.write_text("seed: 0\n")
    run.write_status(Status(state="running", host="node7", pid=os.getpid()))
    (run.folder / "lock").touch()
    return run


def test_the_jobs_of_a_command_are_asked_to_stop_by_it_alone(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal would end them before they have saved."""
    run = Run(tmp_path / "sweep" / "one")
    run.folder.mkdir(parents=True)
    run.config_path.write_text("seed: 0\n")
    run.write_status(Status(state="running", host=socket.gethostname(), pid=12))
    looks = iter([[(socket.gethostname(), 11)]] * 3)  # the command takes its time
    asked: list[int] = []
    monkeypatch.setattr("receptive.sweeps.cancel.drivers", lambda root: next(looks, []))
    monkeypatch.setattr("receptive.sweeps.cancel.os.kill", lambda pid, number: asked.append(pid))
    monkeypatch.setattr(Run, "locked", lambda run: next(looks, None) is not None)  # it has saved when its command ends
    assert cli("cancel", "sweep")[0] == 0
    assert asked == [11]


def test_a_run_in_an_allocation_of_the_users_own_is_stopped(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm knows the allocation, not the run: no task of a sweep's array is to be cancelled."""
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    run.config_path.write_text("seed: 0\n")
    run.write_status(Status(state="running", host=socket.gethostname(), pid=12, slurm_job="77"))
    asked: list[int] = []
    monkeypatch.setattr("receptive.sweeps.cancel.os.kill", lambda pid, number: asked.append(pid))
    monkeypatch.setattr(Run, "locked", lambda run: not asked)
    assert cli("cancel", "run")[:2] == (0, "run: 1 interrupted; the same command goes on\n")
    assert asked == [12]


def test_what_runs_on_another_machine_is_told(cli: Cli, elsewhere: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no process of this one that has the same number is stopped."""
    monkeypatch.setattr("receptive.sweeps.cancel._GRACE", 0.1)
    code, out, _ = cli("cancel", "run")
    assert code == 1
    assert f"a run goes on at node7, as process {os.getpid()}: stop it there" in out
    assert elsewhere.state() == "running"


def test_of_a_sweep_only_what_is_in_the_queue_is_cancelled(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "sweep"
    for name, job in (("old", 7), ("new", 8)):
        place = root / "slurm" / name
        place.mkdir(parents=True)
        (place / "folders.txt").write_bytes(b"one\xfftwo")  # damaged
        (place / "job_id").write_text(f"{job}\n")
    run = Run(root / "one")
    run.folder.mkdir()
    run.config_path.write_text("seed: 0\n")
    cancelled: list[int] = []
    monkeypatch.setattr(
        scheduler, "queue", lambda: {Task(8, 1): "pending", Task(8, 0): "pending", Task(9, 0): "running"}
    )
    monkeypatch.setattr(scheduler, "cancel", cancelled.extend)
    code, out, _ = cli("cancel", "sweep")
    assert code == 0
    assert cancelled == [8]
    assert "2 jobs taken out of Slurm's queue" in out

    def silent() -> dict[Task, str]:
        raise SchedulerError("Unable to contact slurm controller")

    monkeypatch.setattr(scheduler, "queue", silent)
    code, _, err = cli("cancel", "sweep")
    assert (code, err) == (1, "receptive: Unable to contact slurm controller\n")
    with subprocess.Popen(["sleep", "60"]) as process:
        run.write_status(Status(state="running", pid=process.pid, host=socket.gethostname()))
        with run.lock():
            monkeypatch.setattr("receptive.sweeps.cancel._GRACE", 0.1)
            code, out, err = cli("cancel", "sweep")
        assert process.wait(10) == -15
    assert "sweep: 1 running; the same command goes on" in out
    assert (code, err) == (1, "receptive: Unable to contact slurm controller\n")


def test_a_damaged_list_of_jobs_keeps_no_run_alive(cli: Cli, elsewhere: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("receptive.sweeps.cancel._GRACE", 0.1)
    sweep = elsewhere.folder.parent
    (sweep / "sweep.json").write_text("{")
    code, out, _ = cli("cancel", str(sweep))
    assert code == 1
    assert "sweep.json is damaged" in out and "a run goes on at node7" in out


def test_drivers_that_were_killed_are_forgotten(tmp_path: Path) -> None:
    """Also beside one that lives: their numbers may be those of other processes by now."""
    killed, another = (tmp_path / f"driver-a-node-{number}.lock" for number in (12, 13))
    killed.touch()
    assert drivers(tmp_path) == [] and not is_driven(tmp_path)
    me = (socket.gethostname(), os.getpid())
    with locked(another):
        assert drivers(tmp_path) == [("a-node", 13)]
        with driving(tmp_path):
            assert set(drivers(tmp_path)) == {("a-node", 13), me}
            assert not killed.exists()
        assert drivers(tmp_path) == [("a-node", 13)]
    assert drivers(tmp_path) == []
    assert list(tmp_path.glob("driver-*")) == [another]


def test_two_drivers_may_have_one_name(tmp_path: Path) -> None:
    """As in two containers that share a folder and a host name, where each is process 1."""
    me = (socket.gethostname(), os.getpid())
    with driving(tmp_path):
        with driving(tmp_path):
            assert drivers(tmp_path) == [me, me]
        assert drivers(tmp_path) == [me]
    assert not list(tmp_path.glob("driver-*"))
