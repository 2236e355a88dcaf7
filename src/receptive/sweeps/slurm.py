"""The jobs of a sweep as arrays in Slurm's queue: what is not there yet is submitted, and waited for."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console

from receptive.console import counted, new_console
from receptive.runs import ENDED_WELL, Run, shown
from receptive.signals import Interrupted
from receptive.slurm import scheduler
from receptive.slurm.options import SlurmOptions
from receptive.slurm.scheduler import Ending, SchedulerError, Task
from receptive.slurm.submissions import Assignment, adopt_lost, assigned, submit, submitting
from receptive.sweeps.endings import say_end

_OBSTACLES_EVERY = 30.0  # seconds between two questions what jobs wait for
_SETTLING = 2  # looks at the queue in a row that have to miss a task before it counts as gone
_LEAVING = "completing"  # Slurm's word for a task whose process has ended, or is about to
_CLEARING = 60.0  # seconds that Slurm has to clear up after a task that has ended


def run_slurm(
    folders: Iterable[Path], total: int, options: SlurmOptions, *, at_once: int | None = None, wait: bool = True
) -> None:
    """Have Slurm run jobs; those of an earlier command that are still in its queue are waited for, not given again.

    Args:
        folders: of the jobs of one sweep.
        total: how many are expected.
        options: what is asked for each.
        at_once: jobs that are given before some have ended, as a search wants it; None: all.
        wait: until all have ended; False: give them and return.

    Raises:
        SchedulerError: Slurm is not here or refuses; what it has taken goes on.
    """
    console, watch, source, ended = new_console(), _Watch(), iter(folders), 0
    while True:
        if taken := list(itertools.islice(source, None if at_once is None else at_once - len(watch.waiting))):
            watch.add(taken, hand_over(taken, options, console))
        if not wait or not watch.waiting:
            return
        try:
            if not (found := watch.ended(console)):
                time.sleep(options.poll_seconds)
        except Interrupted as stop:
            stop.remedy = "the jobs stay in Slurm's queue: the same command waits for them, receptive cancel stops them"
            raise
        for folder in found:
            ended += 1
            say_end(console, ended, total, Run(folder))


def hand_over(folders: Sequence[Path], options: SlurmOptions, console: Console) -> dict[Path, Assignment]:
    """Submit the jobs that are not in the queue, in as many arrays as it takes; gives the tasks of all.

    Raises:
        SchedulerError: Slurm does not answer, or refuses.
    """
    root = folders[0].parent
    _let_leave(folders, options, console)
    with submitting(root) as lock:
        adopt_lost(root)
        tasks = {task for task, state in scheduler.queue().items() if state != _LEAVING}
        known = assigned(root)
        fresh = [folder for folder in folders if folder not in known or known[folder].task not in tasks]
        if waiting := len(folders) - len(fresh):
            console.print(f"{waiting} of the jobs are in Slurm's queue already")
        size, before = scheduler.largest_array(), None
        for first in range(0, len(fresh), size):
            part = fresh[first : first + size]
            submission = submit(part, root, options, lock, before)
            said = f"{counted(len(part), 'job')} submitted as Slurm job {submission.job}: {shown(submission.place)}"
            console.print(said)
            before = submission.job if options.array_parallelism else None  # the limit is an array's own
        return assigned(root)


def _let_leave(folders: Sequence[Path], options: SlurmOptions, console: Console) -> None:
    """Wait for tasks that have ended and are still in the queue: they run no job any more, or are being requeued."""
    known = assigned(folders[0].parent)
    mine = {known[folder].task for folder in folders if folder in known}
    looks = math.ceil(_CLEARING / options.poll_seconds) if mine else 0
    for look in range(looks):
        queue = scheduler.queue()
        if not (leaving := sum(queue.get(task) == _LEAVING for task in mine)):
            return
        if look == 0:
            console.print(f"{leaving} of the jobs are about to leave Slurm's queue")
        time.sleep(options.poll_seconds)


class _Watch:
    """Looks which jobs have ended."""

    def __init__(self) -> None:
        self.waiting: dict[Path, int] = {}  # folder -> looks in a row that missed it in the queue
        self._tasks: dict[Path, Assignment] = {}
        self._told = ""
        self._obstacles: set[str] = set()  # that were told
        self._asked = -math.inf  # when they were asked for, on time.monotonic's clock

    def add(self, folders: Iterable[Path], tasks: dict[Path, Assignment]) -> None:
        """Wait for these jobs too."""
        self.waiting |= dict.fromkeys(folders, 0)
        self._tasks |= tasks

    def ended(self, console: Console) -> list[Path]:
        """The jobs that have ended since the last look; an end that a job could not write itself is recorded."""
        queue = self._queue(console)
        found = []
        for folder in self.waiting:
            run, task = Run(folder), self._tasks[folder].task
            missed = queue is not None and task not in queue
            self.waiting[folder] = self.waiting[folder] + 1 if missed else 0
            if _over(run, str(task)) or (self.waiting[folder] >= _SETTLING and not _saving(run, str(task))):
                record_ending(run, self._tasks[folder], scheduler.ending)
                found.append(folder)
        for folder in found:
            del self.waiting[folder]
        if queue is not None and time.monotonic() - self._asked > _OBSTACLES_EVERY:
            self._asked = time.monotonic()
            self._tell_obstacles(console)
        return found

    def _tell_obstacles(self, console: Console) -> None:
        """Say once of each reason that jobs wait for it: with some they would wait for ever."""
        with contextlib.suppress(SchedulerError):
            for reason, count in scheduler.obstacles({self._tasks[folder].task for folder in self.waiting}).items():
                if reason not in self._obstacles:
                    self._obstacles.add(reason)
                    said = f"{count} of the jobs wait in Slurm's queue for a reason that may not pass: {reason}"
                    console.print(said, style="yellow")

    def _queue(self, console: Console) -> dict[Task, str] | None:
        """The queue; None while Slurm does not answer, which is said once."""
        try:
            return scheduler.queue()
        except SchedulerError as error:
            if str(error) != self._told:
                self._told = str(error)
                console.print(f"Slurm does not answer ({error}): its jobs are waited for", style="yellow")
            return None


def _over(run: Run, task: str) -> bool:
    """Whether a job says itself that it has ended for good: interrupted, it may be requeued."""
    state = run.state()
    return state in ENDED_WELL or (state == "failed" and run.status().slurm_job == task)


def _saving(run: Run, task: str) -> bool:
    """Whether a job whose task has left the queue still holds its run: one that was cancelled has some seconds."""
    return run.status().slurm_job == task and run.locked()


def record_ending(run: Run, given: Assignment, ending: Callable[[Task], Ending]) -> None:
    """Write how a job ended that could not write it itself: killed, or never begun.

    Args:
        run: that has no task in the queue any more.
        given: the task that it had.
        ending: asks Slurm how a task ended.
    """
    status, task = run.status(), str(given.task)
    begun = status.slurm_job == task
    if run.locked() or status.state in ENDED_WELL or (begun and status.state != "running"):
        return
    how = ending(given.task)
    own = how.code is not None and not begun  # a fault of the set-up: a job that was begun says its own
    status.state = "failed" if own else "interrupted"
    status.error = f"Slurm job {task} {how}" + (f" before the run began; see {shown(given.log)}" if own else "")
    with contextlib.suppress(OSError):  # a folder that cannot be written keeps what it says
        run.write_status(status)
