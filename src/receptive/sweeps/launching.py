"""Which jobs of a sweep run, and how they are handed to a launcher."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from hydra.plugins.launcher import Launcher
from rich.console import Console

from receptive import config as configs
from receptive.runs import State, shown
from receptive.sweeps.jobs import Job

Rerun = Literal["failed", "all", "none"]

_TOLD: tuple[State, ...] = ("done", "pruned", "running", "failed", "interrupted")
_POLL = 1.0  # seconds between two looks at jobs that another process runs


class Launch(Protocol):
    """Runs jobs."""

    def __call__(self, jobs: Iterable[Job], root: Path, total: int) -> None:
        """Run jobs of the sweep in the folder `root`; raises for no job's failure.

        Args:
            jobs: each is asked for when there is a place for it: a search decides on it only then.
            root: the sweep's folder.
            total: how many are expected.
        """


def run_missing(jobs: Sequence[Job], launch: Launch, root: Path, rerun: Rerun, console: Console) -> None:
    """Run the jobs that `rerun` asks for, and wait for those that another process runs.

    Args:
        jobs: of the sweep, frozen in their folders.
        launch: runs jobs.
        root: the sweep's folder.
        rerun: which ended jobs run again; what is waiting or interrupted always does but with "none".
        console: is told.
    """
    states = {job.fingerprint: job.run.state() for job in jobs}
    todo = [job for job in jobs if _wanted(states[job.fingerprint], rerun)]
    counts = {state: list(states.values()).count(state) for state in _TOLD}
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    console.print(
        f"{len(jobs)} jobs in {shown(root)}{f' ({said})' if said else ''}, {len(todo)} to run",
        highlight=False,
        soft_wrap=True,
    )
    _warn_of_old_code(jobs, console)
    if rerun == "all":
        for job in todo:
            if job.run.state() != "waiting":
                job.run.start_over()
    if todo:
        launch(todo, root, len(todo))
    elsewhere = [job for job in jobs if job.run.state() == "running"]  # none of ours runs any more
    if elsewhere:
        await_others(elsewhere, console)
        if left := [job for job in elsewhere if job.run.state() in ("interrupted", "waiting")]:
            launch(left, root, len(left))


def await_others(jobs: Sequence[Job], console: Console) -> None:
    """Wait until no job runs that another process runs."""
    console.print(f"waiting for {len(jobs)} jobs that another process runs", highlight=False)
    while any(job.run.state() == "running" for job in jobs):
        time.sleep(_POLL)


def _wanted(state: State, rerun: Rerun) -> bool:
    if state == "running":
        return False
    if rerun == "all":
        return True
    return state in ("waiting", "interrupted") or (state == "failed" and rerun == "failed")


def _warn_of_old_code(jobs: Sequence[Job], console: Console) -> None:
    old = [job for job in jobs if job.run.state() == "done" and job.run.status().code != configs.code_hash()]
    if old:
        console.print(
            f"{len(old)} done jobs were computed by older code (rerun=all computes them anew)", style="yellow"
        )


def by_folders(run: Callable[[Iterable[Path], int], None]) -> Launch:
    """A launcher of ours runs the frozen configs of folders."""
    return lambda jobs, root, total: run((job.run.folder for job in jobs), total)


def by_overrides(launcher: Launcher, at_once: int | None = None) -> Launch:
    """A launcher of others composes each job again: told where, it ends in the same folders.

    Args:
        launcher: Hydra's or of others.
        at_once: how many jobs it is given before they have ended; None: all.
    """

    def launch(jobs: Iterable[Job], root: Path, total: int) -> None:
        place = [f"hydra.sweep.dir={configs.quoted(str(root))}"]
        left = iter(jobs)
        while batch := list(itertools.islice(left, at_once)):
            launcher.launch(
                [[*job.point.overrides, *place, f"hydra.sweep.subdir={job.run.folder.name}"] for job in batch],
                initial_job_idx=0,
            )

    return launch
