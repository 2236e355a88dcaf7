"""Jobs and sweeps at a moment: how far they are, and how long they still take."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass

from receptive.runs import State
from receptive.sweeps.estimate import makespan

_OPEN: tuple[State, ...] = ("running", "interrupted")
_NEARLY = 0.99  # of an epoch that takes longer than the others did


@dataclass(frozen=True)
class Progress:
    """A job as its files tell of it.

    Args:
        name: its folder's.
        labels: what tells it from the others.
        state: the true one.
        error: its cause, where it has one.
        epochs: to be trained; None where the config does not say.
        seconds: of each finished epoch.
        since: when the epoch began that runs, seconds since 1970.
        metric: the name of a metric of it, "" before there is one.
        value: of the metric.
        took: seconds of a finished run; 0 of others.
        ended: when it ended; 0 before.
    """

    name: str
    labels: dict[str, str]
    state: State
    error: str = ""
    epochs: int | None = None
    seconds: tuple[float, ...] = ()
    since: float = 0.0
    metric: str = ""
    value: float = 0.0
    took: float = 0.0
    ended: float = 0.0

    def epoch(self, now: float, typical: float | None) -> float:
        """Epochs that are trained, with what may be done of the one that runs."""
        done = len(self.seconds)
        pace = self.pace(typical)
        if self.state != "running" or not pace or done == self.epochs:
            return float(done)
        return done + min(_NEARLY, max(0.0, now - self.since) / pace)

    def pace(self, typical: float | None) -> float | None:
        """Seconds of an epoch: the median of its own, else what is typical."""
        return statistics.median(self.seconds) if self.seconds else typical

    def left(self, now: float, typical: float | None) -> float | None:
        """Seconds that its epochs still take; None: there is nothing to go by."""
        pace = self.pace(typical)
        if self.epochs is None or pace is None:
            return None
        return max(0.0, self.epochs - self.epoch(now, typical)) * pace


@dataclass(frozen=True)
class Snapshot:
    """A sweep, or a single run, at a moment.

    Args:
        title: the study's name, else the folder's.
        jobs: in the order in which they came.
        driven: whether the command that runs them is alive.
        now: the moment, seconds since 1970.
        notes: what could not be read, a sentence each.
        queued: jobs of it in a cluster's queue, with those that run.
    """

    title: str
    jobs: tuple[Progress, ...]
    driven: bool
    now: float
    notes: tuple[str, ...] = ()
    queued: int = 0

    @property
    def counts(self) -> Counter[State]:
        """Jobs in each state."""
        return Counter(job.state for job in self.jobs)

    @property
    def alive(self) -> bool:
        """Whether anything may still happen."""
        return self.driven or self.queued > 0 or self.counts["running"] > 0

    @property
    def pending(self) -> tuple[Progress, ...]:
        """Jobs that the command, or the cluster, will still come to: what was interrupted goes on."""
        coming = self.driven or self.queued
        return tuple(job for job in self.jobs if job.state in ("waiting", "interrupted")) if coming else ()

    @property
    def typical(self) -> float | None:
        """Seconds of an epoch, the mean of all that ended; None before the first."""
        epochs = sum(len(job.seconds) for job in self.jobs)
        return sum(sum(job.seconds) for job in self.jobs) / epochs if epochs else None

    @property
    def share(self) -> float:
        """What is done, from 0 to 1: by epochs of jobs that run, by jobs otherwise."""
        if not self.jobs:
            return 0.0
        typical = self.typical
        begun = (min(1.0, job.epoch(self.now, typical) / (job.epochs or 1)) for job in self.jobs if job.state in _OPEN)
        ended = sum(job.state not in (*_OPEN, "waiting") for job in self.jobs)
        return (ended + sum(begun)) / len(self.jobs)

    @property
    def left(self) -> float | None:
        """Seconds until all has ended, as many jobs at a time as run now; None: there is nothing to go by."""
        typical = self.typical
        around = [job.took - sum(job.seconds) for job in self.jobs if job.took]
        rest = max(0.0, statistics.mean(around)) if around else 0.0  # starting and testing
        running = [job for job in self.jobs if job.state == "running"]
        seconds = [job.left(self.now, typical) for job in (*running, *self.pending)]
        known = [one for one in seconds if one is not None]
        begun = len(running)
        if not begun or len(known) < len(seconds):
            return None
        return makespan([*sorted(known[:begun]), *(one + rest for one in known[begun:])], begun)
