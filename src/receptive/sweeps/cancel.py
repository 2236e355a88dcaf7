"""`receptive cancel`: stop whatever runs or waits of a sweep or run, so that the same command can go on with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from receptive.console import counted
from receptive.errors import InputError
from receptive.manifest import runs_in
from receptive.runs import Run, shown
from receptive.slurm import scheduler
from receptive.slurm.scheduler import SchedulerError
from receptive.slurm.submissions import adopt_lost, assigned, submissions, submitting
from receptive.sweeps.endings import tally
from receptive.sweeps.presence import drivers

_GRACE = 30.0  # seconds in which jobs save what they have


def cancel(root: Path, console: Console) -> bool:
    """Stop the commands that drive a sweep, take its jobs out of Slurm's queue, and stop the runs on this machine.

    What runs saves itself at the end of its batch. A command of this machine stops its own runs, which are asked once:
    asked twice they would not save. Waits up to half a minute for the commands, and as long for the runs.

    Args:
        root: the folder of a sweep or a run.
        console: is told.

    Returns:
        Whether nothing runs any more.

    Raises:
        InputError: there is nothing to stop in this folder.
        SchedulerError: Slurm has jobs of it and does not answer; what runs on this machine is stopped all the same.
    """
    content = runs_in(root)
    runs = list(content.runs)
    if not runs:
        raise InputError("\n".join(filter(None, [f"{shown(root)} holds no run", content.note])))
    if content.note:
        console.print(content.note, style="yellow")
    silent: SchedulerError | None = None
    taken = 0
    commands = _stop(drivers(root), "the command", console)
    try:
        taken = _cancel_tasks(root, console)
    except SchedulerError as error:
        silent = error
    _wait_while(lambda: any(process in commands for process in drivers(root)))
    tasks = {str(given.task) for given in assigned(root).values()}  # Slurm stops these
    if silent is not None:
        runs = [run for run in runs if run.status().slurm_job not in tasks]
    inside = [run for run in runs if run.state() == "running" and _process(run) not in commands]
    _stop([_process(run) for run in inside if run.status().slurm_job not in tasks], "a run", console)
    if not commands and not taken and not inside:
        if silent is not None:
            raise silent
        console.print(f"nothing of {shown(root)} runs or waits")
        return True
    left = _wait_while(lambda: drivers(root) or any(run.state() == "running" for run in runs))
    console.print(f"{shown(root)}: {tally(run.state() for run in runs)}; the same command goes on")
    if silent is not None:
        raise silent
    return not left


def _process(run: Run) -> tuple[str, int]:
    status = run.status()
    return status.host or socket.gethostname(), status.pid or 0


def _wait_while(condition: Callable[[], object]) -> bool:
    """Wait, but not for ever; gives whether it still holds."""
    deadline = time.monotonic() + _GRACE
    while holds := bool(condition()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return holds


def _stop(processes: list[tuple[str, int]], what: str, console: Console) -> list[tuple[str, int]]:
    """Ask processes of this machine to stop; gives those that were asked."""
    here = socket.gethostname()
    stopped = []
    for host, pid in processes:
        if host != here:
            console.print(f"{what} goes on at {host}, as process {pid}: stop it there", style="yellow")
        elif pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                stopped.append((host, pid))
    return stopped


def _cancel_tasks(root: Path, console: Console) -> int:
    """Take a sweep's arrays out of the queue; gives how many tasks there were."""
    if not submissions(root):
        return 0
    with submitting(root):
        adopt_lost(root)
        jobs = {submission.job for submission in submissions(root)}
        tasks = [task for task in scheduler.queue() if task.job in jobs]
        if tasks:
            scheduler.cancel(sorted({task.job for task in tasks}))
            console.print(f"{counted(len(tasks), 'job')} taken out of Slurm's queue")
        return len(tasks)
