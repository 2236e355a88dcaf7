"""Which jobs of a sweep are handed to a launcher, beside others that run them too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from receptive.runs import Run, Status
from receptive.sweeps.expansion import Point
from receptive.sweeps.jobs import Job
from receptive.sweeps.launching import run_missing


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

    run_missing([ours, theirs], launch, tmp_path, "failed", Console(quiet=True))
    assert launched == [["ours"], ["theirs"]]
