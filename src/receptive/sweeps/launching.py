"""Which jobs of a sweep run, and how they are handed to a launcher."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from hydra.plugins.launcher import Launcher
from rich.console import Console

from receptive import config as configs
from receptive.console import counted
from receptive.errors import InputError
from receptive.runs import ENDED_WELL, Run, State, shown
from receptive.source_code import code_hash
from receptive.sweeps.endings import tally
from receptive.sweeps.jobs import Job, freeze

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


def run_missing(
    jobs: Sequence[Job], launch: Launch, root: Path, rerun: configs.Rerun, console: Console, *, wait: bool = True
) -> None:
    """Run the jobs that `rerun` asks for, and wait for those that another process runs; with "none" neither.

    Args:
        jobs: of the sweep, frozen in their folders.
        launch: runs jobs.
        root: the sweep's folder.
        rerun: which ended jobs run again; what is waiting or interrupted always does but with "none".
        console: is told.
        wait: for those of others; False: `launch` does not wait either.
    """
    if rerun != "none":
        drop_damaged_results(jobs, console)
    states = {job.fingerprint: job.run.state() for job in jobs}
    todo = [job for job in jobs if wanted(states[job.fingerprint], rerun)]
    console.print(f"{overview(counted(len(jobs), 'job'), states.values(), root)}, {len(todo)} to run")
    _warn_of_old_code(jobs, console)
    if rerun == "all":
        for job in todo:
            if job.run.state() != "waiting":
                job.run.start_over()
                freeze(job)  # what may differ from the last time, such as the loggers, is this command's
    if todo:
        launch(todo, root, len(todo))
    if not wait or rerun == "none":
        return
    now = {job.fingerprint: job.run.state() for job in jobs}  # none of ours runs any more
    elsewhere = [job for job in jobs if "running" in (states[job.fingerprint], now[job.fingerprint])]
    if running := [job for job in elsewhere if now[job.fingerprint] == "running"]:
        await_others(running, console)
    if left := [job for job in elsewhere if job.run.state() in ("interrupted", "waiting")]:
        launch(left, root, len(left))


def await_others(jobs: Sequence[Job], console: Console) -> None:
    """Wait until no job runs that another process runs."""
    console.print(f"waiting for {counted(len(jobs), 'job')} that another process runs")
    while any(job.run.state() == "running" for job in jobs):
        time.sleep(_POLL)


def overview(subject: str, states: Iterable[State], root: Path) -> str:
    """`12 jobs in FOLDER (4 done, 1 failed)`, where the subject is `12 jobs`; what waits is not told."""
    said = tally(state for state in states if state != "waiting")
    return f"{subject} in {shown(root)}{f' ({said})' if said else ''}"


def wanted(state: State, rerun: configs.Rerun) -> bool:
    """Whether a job in this state is run."""
    if state == "running" or rerun == "none":
        return False
    if rerun == "all":
        return True
    return state in ("waiting", "interrupted") or (state == "failed" and rerun == "failed")


def finished(run: Run) -> bool:
    """Whether a run is done or pruned and its result can be read."""
    try:
        return run.state() in ENDED_WELL and bool(run.result())
    except (InputError, OSError):
        return False


def drop_damaged_results(jobs: Sequence[Job], console: Console) -> None:
    """Without its result a done job goes on from its last checkpoint, which is that of its end."""
    for job in jobs:
        if job.run.state() in ENDED_WELL and not finished(job.run):
            said = f"{shown(job.run.result_path)} is damaged: it is made anew from the last checkpoint"
            console.print(said, style="yellow")
            job.run.result_path.unlink(missing_ok=True)


def _warn_of_old_code(jobs: Sequence[Job], console: Console) -> None:
    done = [job for job in jobs if job.run.state() == "done"]
    old = [job for job in done if job.run.status().code != code_hash(job.config["target_prefixes"])]
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
