"""Which jobs of a sweep are handed to a launcher, beside others that run them too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from receptive.console import new_console
from receptive.runs import Run, State, Status
from receptive.sweeps.expansion import Point
from receptive.sweeps.jobs import Job
from receptive.sweeps.launching import run_missing


def test_nothing_is_started_and_nobody_waited_for_where_nothing_is_to_run(tmp_path: Path) -> None:
    states: tuple[State, ...] = ("waiting", "interrupted", "failed", "running")
    jobs = [Job(Point("", (), (), ()), {}, state, Run(tmp_path / state)) for state in states]
    for job, state in zip(jobs, states, strict=True):
        job.run.folder.mkdir()
        job.run.write_status(Status(state=state))
    launched: list[str] = []

    def launch(jobs: Iterable[Job], root: Path, total: int) -> None:
        launched.extend(job.run.folder.name for job in jobs)

    with jobs[-1].run.lock():  # so long as another process runs it
        run_missing(jobs, launch, tmp_path, "none", new_console(quiet=True))
    assert launched == []


def test_a_job_of_others_that_is_interrupted_meanwhile_goes_on(tmp_path: Path) -> None:
    """In Slurm's queue it waits to be started again."""
    ours, theirs = (Job(Point("", (), (), ()), {}, name, Run(tmp_path / name)) for name in ("ours", "theirs"))
    for job in (ours, theirs):
        job.run.folder.mkdir()
        job.run.write_status(Status(state="running" if job is theirs else "waiting"))
    lease = theirs.run.lock()
    lease.__enter__()
    launched = []

    def launch(jobs: Iterable[Job], root: Path, total: int) -> None:
        names = [job.run.folder.name for job in jobs]
        launched.append(names)
        if names == ["ours"]:
            theirs.run.write_status(Status(state="interrupted"))
            lease.__exit__(None, None, None)

    run_missing([ours, theirs], launch, tmp_path, "failed", new_console(quiet=True))
    assert launched == [["ours"], ["theirs"]]
