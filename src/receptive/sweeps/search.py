"""A search: Optuna is asked for a point whenever there is a place to run one, and told how each ended.

What is asked stands in the journal, is composed and checked, and is written into `sweep.json` and a folder before it
runs. A command that goes on finds out from these three what is still to be run and to be told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from receptive.config import Rerun
from receptive.console import new_console
from receptive.errors import InputError
from receptive.files import try_lock, wait_for_lock
from receptive.journal import NAME, TrialFile
from receptive.manifest import Manifest
from receptive.metrics import metric_text
from receptive.report.report import write_report
from receptive.runs import ENDED_WELL, Status, shown
from receptive.signals import listening
from receptive.sweeps.dry_run import tell_of_search
from receptive.sweeps.endings import tally
from receptive.sweeps.jobs import Goal, Job, JobComposer, goal_of, settle
from receptive.sweeps.launching import await_others, drop_damaged_results, finished
from receptive.sweeps.presence import driving
from receptive.sweeps.space import Space
from receptive.sweeps.sweep import Plan
from receptive.sweeps.trials import SearchOptions, Trial, Trials
from receptive.tracking.mirrors import MIRRORS
from receptive.tracking.options import wandb_options


def search(plan: Plan, space: Space, options: SearchOptions) -> None:
    """Run the trials that a search still lacks; with dry_run=true tell of them.

    Raises:
        InputError: the space has points that cannot run (none is started then), or the folder holds another search.
        SystemExit: with code 1 when a trial is neither done nor pruned in the end.
        Interrupted: a signal came; the report is written all the same.
    """
    about, console = plan.about, new_console()
    if space.seeds:
        raise InputError(
            f"seed={','.join(space.seeds)}: a trial is one run: give one seed, and run the best points with several"
        )
    if plan.detach:
        raise InputError("submit=detach: a search decides on a point when others have ended: leave it running")
    dry = plan.master.get("dry_run") is True
    composer = JobComposer(plan.loader, plan.master, plan.root, download=not dry, here=plan.here)
    goal = _goal(probes := composer.jobs(space.probes()))
    if dry:
        outputs = Path(plan.master.paths.output_dir)
        tell_of_search(probes, plan.root, outputs, options.trials, plan.workers, console)
        return
    try:
        plan.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"hydra.sweep.dir={plan.root} cannot be written: {error.strerror}") from None
    with driving(plan.root), listening(), _alone(plan.root, console):
        if (rerun := plan.master.get("rerun", "failed")) == "all":
            _start_over(plan.root)
        trials = Trials(plan.root, space, options, goal, probes[0].fingerprint)
        settle([], plan.root, about)
        driver = Search(plan, space, options, composer, trials, goal, console)
        try:
            driver.run(rerun)
        finally:
            if Manifest.read(plan.root).entries:
                write_report(plan.root, console)
                MIRRORS.send_tables(plan.root, console, asked=wandb_options(plan.master) is not None)
    driver.say_best()
    if driver.faults or not all(finished(job.run) for job in driver.jobs.values()):
        raise SystemExit(1)


class Search:
    """One command's part in a search.

    Args:
        plan: what all points share.
        space: to search.
        options: of the search.
        composer: makes jobs of points.
        trials: in the journal.
        goal: what is sought.
        console: is told.

    Attributes:
        jobs: fingerprint -> job, of all trials that could be composed.
        faults: of points that could not be composed.
    """

    def __init__(
        self,
        plan: Plan,
        space: Space,
        options: SearchOptions,
        composer: JobComposer,
        trials: Trials,
        goal: Goal,
        console: Console,
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.faults: list[str] = []
        self._plan, self._space, self._options, self._composer = plan, space, options, composer
        self._trials, self._goal, self._console = trials, goal, console
        self._open: dict[int, tuple[Trial, Job]] = {}  # trials that the journal does not know the end of
        self._of: dict[int, str] = {}  # trial -> fingerprint
        self._todo: deque[Job] = deque()
        self._given: set[str] = set()  # fingerprints of what this command has given to the launcher
        self._faulty: set[str] = set()  # and of what cannot run

    def run(self, rerun: Rerun) -> None:
        """Take up what is there, then run, ask and tell until all trials have ended."""
        self._take(self._trials.all())
        if rerun != "none":
            drop_damaged_results(list(self.jobs.values()), self._console)
        self._tell_ended()
        if rerun != "none":
            if rerun == "failed":
                self._try_again()
            self._queue(list(self.jobs.values()))
        missing = max(0, self._options.trials - self._trials.asked()) if rerun != "none" else 0
        self._say_state(missing + len(self._todo))
        while rerun != "none":
            if expected := len(self._todo) + max(0, self._options.trials - self._trials.asked()):
                self._plan.launch(self._stream(), self._plan.root, expected)
            self._tell_ended()
            elsewhere = [job for job in self.jobs.values() if job.run.state() == "running"]  # none of ours runs now
            if not elsewhere:
                break
            await_others(elsewhere, self._console)
            self._tell_ended()
            self._queue(elsewhere)
            if not self._todo:
                break

    def _stream(self) -> Iterator[Job]:
        """The jobs to run, one after the other; each is decided on when it is asked for."""
        while True:
            self._tell_ended()
            if self._todo:
                job = self._todo.popleft()
                self._given.add(job.fingerprint)
                yield job
            elif self._trials.asked() < self._options.trials:
                self._queue(self._take([self._trials.ask()]))
            else:
                return

    def _take(self, trials: Sequence[Trial]) -> list[Job]:
        """Compose and check trials and write them down; gives the jobs of those that are no other's again."""
        fresh: dict[str, Job] = {}
        faulty: dict[str, list[str]] = {}
        composed: list[tuple[Trial, str]] = []
        entries = Manifest.read(self._plan.root).entries
        for trial in trials:
            job, faults = self._composer.job(self._space.point(trial.values, trial.number))
            if job is None:
                self._refuse(trial, faults)
                continue
            composed.append((trial, job.fingerprint))
            if job.fingerprint not in self.jobs and job.fingerprint not in fresh:
                entry = entries.get(job.fingerprint)
                fresh[job.fingerprint] = replace(job, trial=entry.trial) if entry is not None else job
                faulty |= {job.fingerprint: faults} if faults else {}
        self.jobs |= {job.fingerprint: job for job in settle(list(fresh.values()), self._plan.root)}
        for fingerprint, faults in faulty.items():
            self._fail(self.jobs[fingerprint], faults)
        for trial, fingerprint in composed:
            self._open_up(trial, self.jobs[fingerprint])
        return [self.jobs[fingerprint] for fingerprint in fresh]

    def _open_up(self, trial: Trial, job: Job) -> None:
        self._of[trial.number] = job.fingerprint
        if not trial.ended:
            self._open[trial.number] = trial, job

    def _fail(self, job: Job, faults: Sequence[str]) -> None:
        """Let a job that cannot run say so, unless it has run all the same."""
        if job.run.state() not in (*ENDED_WELL, "running"):
            self._faulty.add(job.fingerprint)
            status = Status("failed", job.fingerprint, attempts=job.run.status().attempts, error="; ".join(faults))
            job.run.write_status(status)

    def _refuse(self, trial: Trial, faults: Sequence[str]) -> None:
        fault = f"trial {trial.number} cannot be composed: {'; '.join(faults)}"
        self.faults.append(fault)
        self._console.print(fault)
        if not trial.ended:
            self._trials.tell(trial.number, "failed")

    def _tell_ended(self) -> None:
        """Tell the journal of the trials whose jobs have ended."""
        for trial, job in list(self._open.values()):
            state = job.run.state()
            if state == "failed" and trial.attempts is not None and job.run.status().attempts <= trial.attempts:
                if job.fingerprint not in self._faulty:
                    continue  # a second try that has not begun
            elif state not in (*ENDED_WELL, "failed"):
                continue
            value = job.run.result()["metrics"].get(self._goal.monitor) if state == "done" else None
            if state == "done" and (value is None or not math.isfinite(value)):
                state, value = "failed", None
            self._trials.tell(trial.number, state, value)
            del self._open[trial.number]

    def _try_again(self) -> None:
        """Open a second trial for each job that has failed and has none."""
        tried = {job.fingerprint for _, job in self._open.values()}
        for fingerprint, job in self.jobs.items():
            if fingerprint not in tried | self._faulty and job.run.state() == "failed":
                last = max(number for number, name in self._of.items() if name == fingerprint)
                self._open_up(self._trials.ask_again(last, job.run.status().attempts), job)

    def _queue(self, jobs: Sequence[Job]) -> None:
        """Put jobs that are to run into the queue, each with word of the trial that it is."""
        tries = {job.fingerprint for trial, job in self._open.values() if trial.attempts is not None}
        for job in jobs:
            state = job.run.state()
            wanted = state in ("waiting", "interrupted") or (state == "failed" and job.fingerprint in tries)
            if wanted and job.fingerprint not in self._given | self._faulty and job not in self._todo:
                options = self._options
                TrialFile(
                    journal=f"../{NAME}",
                    number=self._reporting(job),
                    pruner=options.pruner,
                    startup_trials=options.startup_trials,
                    warmup_epochs=options.warmup_epochs,
                ).write(job.run)
                self._todo.append(job)

    def _reporting(self, job: Job) -> int:
        """The trial that a job reports to: the first that is open; of a job that is run anew all have ended."""
        numbers = [number for number, fingerprint in self._of.items() if fingerprint == job.fingerprint]
        return min([number for number in numbers if number in self._open] or numbers)

    def _say_state(self, to_run: int) -> None:
        states = [job.run.state() for job in self.jobs.values()]
        said = tally(states)
        again = self._trials.asked() - len(states)
        said += f", {again} asked for twice" if again > 0 else ""
        self._console.print(
            f"{self._trials.asked()} of {self._options.trials} trials in {shown(self._plan.root)}"
            f"{f' ({said})' if said else ''}, {to_run} to run"
        )

    def say_best(self) -> None:
        """Say which trial was the best so far."""
        if (best := self._trials.best()) is None:
            return
        number, value = best
        labels = "  ".join(f"{key}={value}" for key, value in self.jobs[self._of[number]].point.labels.items())
        text = f"best: trial {number}, {self._goal.monitor} {metric_text(self._goal.monitor, value)}  {labels}"
        self._console.print(text)


def _goal(jobs: Sequence[Job]) -> Goal:
    """What all points are judged by; raises InputError where they differ in it."""
    goals = {goal_of(job) for job in jobs}
    if len(goals) > 1:
        listed = ", ".join(sorted(f"{goal.monitor} ({goal.mode})" for goal in goals))
        raise InputError(f"trainer.monitor: the points of a search are judged by one metric, these by {listed}")
    return goals.pop()


def _start_over(root: Path) -> None:
    """Forget the journal and what the trials' jobs have computed."""
    (root / NAME).unlink(missing_ok=True)
    for entry in Manifest.read(root).entries.values():
        if entry.trial is not None and (run := entry.run(root)).state() != "waiting":
            run.start_over()


@contextmanager
def _alone(root: Path, console: Console) -> Iterator[None]:
    """Be the only command that searches in a folder; wait for another one."""
    with open(root / "search.lock", "a") as file:
        if not try_lock(file.fileno()):
            console.print(f"another command searches in {shown(root)}: waiting for it")
            wait_for_lock(file.fileno())
        yield
