"""Slurm's own commands. Nothing here needs its accounting: sacct is asked last, and may have no answer."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from receptive.errors import InputError
from receptive.signals import signal_name

_PATIENCE = 60.0  # seconds that a command has to answer
_GONE = ("CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "REVOKED")
# reasons to wait that pass by themselves
_IN_TURN = ("None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Dependency", "Licenses", "Cleaning")


class SchedulerError(InputError):
    """Slurm is not here, does not answer, or refuses."""


@dataclass(frozen=True, order=True)
class Task:
    """An element of a job array."""

    job: int
    index: int

    def __str__(self) -> str:
        """As Slurm writes it."""
        return f"{self.job}_{self.index}"


@dataclass(frozen=True)
class Ending:
    """How a task ended.

    Args:
        state: Slurm's word in small letters, "" where it no longer knows.
        code: exit code, where the process ended by itself; else None.
        signal: that killed it, else None.
    """

    state: str = ""
    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        """What can be said of it."""
        if self.code is not None:
            return f"ended with code {self.code}"
        if self.state == "failed" and self.signal is not None:
            return f"was killed by {signal_name(self.signal)}"
        return {"": "is gone", "timeout": "ran into its time limit", "cancelled": "was cancelled"}.get(
            self.state, f"ended as {self.state.replace('_', ' ')}"
        )


def call(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        SchedulerError: it is not installed, failed or does not answer; with its own words.
    """
    # SQUEUE_STATES and the like are a user's own taste: a task that is left out would count as gone
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SQUEUE_")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False, env=environment)
    except FileNotFoundError:
        raise SchedulerError(
            f"{command[0]} is not installed here: hydra/launcher=slurm submits from a cluster's login node"
        ) from None
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{command[0]} did not answer within {_PATIENCE:.0f} s") from None
    if done.returncode:
        raise SchedulerError(in_a_line(done.stderr) or f"{command[0]} ended with code {done.returncode}")
    return done.stdout


def in_a_line(stderr: str) -> str:
    """What a command of Slurm said on stderr, in a line, which names the command once."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return "; ".join([*lines[:1], *(re.sub(r"^[a-z]+: (error: )?", "", line) for line in lines[1:])])


def queue() -> dict[Task, str]:
    """The user's tasks that wait, run or are about to leave, with Slurm's word for it; raises SchedulerError."""
    listed = _squeue("--array", "--format=%F %K %T")
    found = {}
    for line in listed.splitlines():
        job, index, state = line.split()
        if index.isdecimal():  # N/A of jobs that are no array's
            found[Task(int(job), int(index))] = state.lower()
    return found


def obstacles(tasks: Collection[Task]) -> dict[str, int]:
    """Why tasks wait, beside that others come first: Slurm's reason -> how many; raises SchedulerError."""
    found: Counter[str] = Counter()
    for line in _squeue("--array", "--states=PENDING", "--format=%F %K %r").splitlines():
        job, index, reason = line.split(maxsplit=2)
        if reason not in _IN_TURN and index.isdecimal() and Task(int(job), int(index)) in tasks:
            found[reason] += 1
    return dict(found)


def job_named(name: str) -> int | None:
    """The array in the queue that has this name; raises SchedulerError."""
    listed = _squeue("--name", name, "--format=%F").split()
    return int(listed[0]) if listed else None


def _squeue(*options: str) -> str:
    return call("squeue", "--user", str(os.getuid()), "--noheader", *options)


def ending(task: Task) -> Ending:
    """How a task ended: by scontrol, which forgets after some minutes, else by sacct."""
    try:
        words = dict(word.partition("=")[::2] for word in call("scontrol", "show", "job", "-o", str(task)).split())
        return _ending(words["JobState"], words["ExitCode"])
    except (SchedulerError, KeyError, ValueError):
        pass
    try:
        listed = call("sacct", "-X", "-n", "-P", "-j", str(task), "--format=State,ExitCode").split("\n")[0]
        state, _, code = listed.partition("|")
        return _ending(state.split()[0], code)
    except (SchedulerError, IndexError, ValueError):
        return Ending()


def _ending(state: str, code: str) -> Ending:
    """Of Slurm's words, such as CANCELLED and 0:15."""
    exit_code, _, number = code.partition(":")
    if state in _GONE:
        return Ending(state.lower())
    return Ending(state.lower(), signal=int(number)) if number != "0" else Ending(state.lower(), int(exit_code))


def cancel(jobs: Iterable[int]) -> None:
    """Stop arrays, what waits of them and what runs; raises SchedulerError."""
    call("scancel", *map(str, jobs))


def requeue(job: str) -> None:
    """Stop a job and put it into the queue again, with the same id; raises SchedulerError."""
    call("scontrol", "requeue", job)


@functools.cache
def largest_array() -> int:
    """How many tasks an array may have; raises SchedulerError."""
    for line in call("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize":
            return int(value)
    raise SchedulerError("scontrol show config names no MaxArraySize")
