"""`dry_run=true`: what a command would run and how long that may take. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from receptive.config import Rerun, plain
from receptive.console import STATE_COLORS, counted, print_unfolded, short_titles
from receptive.errors import InputError
from receptive.manifest import Manifest
from receptive.runs import ENDED_WELL, Run, State
from receptive.sweeps.estimate import (
    LIKENESS,
    Estimate,
    Estimator,
    Sample,
    duration,
    makespan,
    max_epochs,
    sample,
    samples_below,
)
from receptive.sweeps.jobs import Job
from receptive.sweeps.launching import overview, wanted

_FIRST, _LAST = 15, 5  # rows of a long table
_UNKNOWN = "unknown: no finished run to go by"


def tell_of_sweep(
    jobs: Sequence[Job], root: Path, outputs: Path, rerun: Rerun, workers: int | None, console: Console
) -> None:
    """Print the jobs, how many are done, and the time that the others may take.

    Args:
        jobs: composed and checked, with the folders that they have or would have.
        root: the sweep's folder, which need not exist.
        outputs: folder of other runs, to estimate by.
        rerun: which ended jobs would run again.
        workers: jobs at a time; None: the launcher's own affair.
        console: is told.
    """
    estimator = Estimator(_samples_of(jobs, root), samples_below(outputs))
    states = [job.run.state() for job in jobs]
    estimates: list[Estimate | None] = []
    for job, state in zip(jobs, states, strict=True):
        estimates.append(_estimate(job, state, rerun, estimator) if wanted(state, rerun) else None)
    print_unfolded(_table(jobs, states, rerun, estimates), console)
    todo = sum(wanted(state, rerun) for state in states)
    console.print(f"{overview(counted(len(jobs), 'job'), states, root)}, {todo} would run")
    if todo:
        known = [estimate for estimate in estimates if estimate is not None]
        console.print(f"time: {_time(known, todo, workers)}")


def tell_of_search(
    probes: Sequence[Job], root: Path, outputs: Path, trials: int, workers: int | None, console: Console
) -> None:
    """Print how many trials a search has, and the time that the others may take were none of them pruned.

    Args:
        probes: points of its space, composed and checked; each trial is taken to cost what they cost at the median.
        root: the search's folder, which need not exist.
        outputs: folder of other runs, to estimate by.
        trials: of the whole search.
        workers: trials at a time; None: the launcher's own affair.
        console: is told.
    """
    states = [entry.run(root).state() for entry in Manifest.read(root).entries.values() if entry.trial is not None]
    todo = max(0, trials - sum(state in ENDED_WELL for state in states))
    counts = overview(f"{len(states)} of {counted(trials, 'trial')}", states, root)
    console.print(f"{counts}, {todo} would run; {len(probes)} points of its space composed and checked")
    estimator = Estimator(_samples_of(probes, root), samples_below(outputs))
    known = [one for job in probes if (one := estimator.estimate(job.config, max_epochs(job.config) or 0))]
    if todo:
        ordered = sorted(known, key=lambda one: one.seconds)
        likely = [ordered[len(ordered) // 2]] * todo if ordered else []
        console.print(f"time: {_time(likely, todo, workers)}")


def tell_of_run(config: DictConfig, run: Run, outputs: Path, rerun: str, console: Console) -> None:
    """Print what a single run would do that is not left alone; `config` is checked and frozen."""
    values = plain(config)
    epochs = max_epochs(values) or 0
    left = epochs if rerun == "all" else epochs - len(_rows(run))
    estimate = Estimator(samples_below(outputs)).estimate(values, left)
    going_on = f", {epochs - left} of them done" if left < epochs else ""
    console.print(f"one run of {epochs} epochs{going_on}; composed and checked")
    time = _time([estimate] if estimate else [], 1, 1)
    console.print(f"time: {time}")


def _samples_of(jobs: Sequence[Job], root: Path) -> Iterable[Sample]:
    """The finished jobs of a sweep's folder, those of other commands too."""
    ours = {job.run.folder: job.config for job in jobs}
    folders = dict.fromkeys([*ours, *(entry.run(root).folder for entry in Manifest.read(root).entries.values())])
    runs = [Run(folder) for folder in folders]
    found = (sample(run, ours.get(run.folder)) for run in runs if run.result_path.is_file())
    return (known for known in found if known is not None)


def _estimate(job: Job, state: State, rerun: Rerun, estimator: Estimator) -> Estimate | None:
    """Of the epochs that are left: what was interrupted goes on."""
    epochs = max_epochs(job.config) or 0
    begun = 0 if rerun == "all" or state == "waiting" else len(_rows(job.run))
    return estimator.estimate(job.config, max(0, epochs - begun))


def _rows(run: Run) -> list[dict[str, float]]:
    try:
        return run.metrics()
    except (InputError, OSError):
        return []


def _time(known: Sequence[Estimate], todo: int, workers: int | None) -> str:
    if not known:
        return _UNKNOWN
    seconds = makespan([estimate.seconds for estimate in known], workers or 1)
    together = f"{min(workers, todo)} at a time" if workers and min(workers, todo) > 1 else "one after the other"
    farthest = max(known, key=lambda estimate: estimate.likeness)
    which = Counter(estimate.likeness for estimate in known)[farthest.likeness]
    basis = f"by finished runs that share {LIKENESS[farthest.likeness]}"
    if which < len(known):
        basis += f", or nearer ones for {counted(len(known) - which, 'job')}"
    said = f"about {duration(seconds)}{f', {together}' if todo > 1 else ''} ({basis})"
    return said if len(known) == todo else f"{said}; of {counted(todo - len(known), 'job')} {_UNKNOWN}"


def _table(jobs: Sequence[Job], states: Sequence[State], rerun: Rerun, estimates: Sequence[Estimate | None]) -> Table:
    keys = list(dict.fromkeys(key for job in jobs for key in job.point.labels))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in short_titles(keys):
        table.add_column(title, no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("takes", justify="right", no_wrap=True)
    cut = len(jobs) > _FIRST + _LAST + 1
    for number, (job, state, estimate) in enumerate(zip(jobs, states, estimates, strict=True)):
        if cut and number == _FIRST:
            table.add_row(
                *(Text(cell) for cell in [f"... {len(jobs) - _FIRST - _LAST:,} more", *[""] * (len(keys) + 1)])
            )
        if cut and _FIRST <= number < len(jobs) - _LAST:
            continue
        takes = duration(estimate.seconds) if estimate is not None else "?" if wanted(state, rerun) else ""
        labels = job.point.labels
        table.add_row(*(Text(labels.get(key, "")) for key in keys), Text(state, style=STATE_COLORS[state]), Text(takes))
    return table
