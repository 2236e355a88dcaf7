"""A sweep: expand, compose, check, freeze into folders, run what is missing, print the table.

`sweep.json` maps each job's overrides to its folder and fingerprint, so that the same command picks up where the last
one stopped, and a config that has changed meanwhile is noticed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from receptive import config as configs
from receptive.errors import InputError
from receptive.runs import Run, State, Status, locked, read_json, shown, write_atomically
from receptive.signals import listening
from receptive.sweeps.composer import Composer
from receptive.sweeps.expansion import Point, expand
from receptive.sweeps.table import Row, print_table, write_summary

Rerun = Literal["failed", "all", "none"]

_POLL = 1.0  # seconds between two looks at jobs that another process runs


@dataclass(frozen=True)
class Job:
    """A point of the sweep with its frozen config, as plain containers, and its folder."""

    point: Point
    config: dict[str, Any]
    fingerprint: str
    run: Run


Launch = Callable[[list[Job], Path], None]  # runs jobs of the sweep in a folder; raises for no job's failure


def sweep(
    loader: Any,
    master: DictConfig,
    launch: Launch,
    arguments: Sequence[str],
    params: Mapping[str, Any],
    variants: Mapping[str, Sequence[str]],
) -> None:
    """Run all points that are not done yet.

    Args:
        loader: Hydra's.
        master: the config that Hydra composed for the sweep.
        launch: runs jobs: `by_folders` or `by_overrides`.
        arguments: overrides of the command line.
        params: key -> values, from the config.
        variants: name -> overrides, from the config.

    Raises:
        InputError: a point cannot run (none is started then), or the folder holds another sweep.
        SystemExit: with code 1 when a job is not done in the end.
        Interrupted: a signal came; the table is written all the same.
    """
    root = Path(master.hydra.sweep.dir).absolute()
    console = Console(markup=False)
    jobs = settle(compose(loader, master, expand(loader, arguments, params, variants), root), root)
    try:
        with listening():
            _run_missing(jobs, launch, root, master.get("rerun", "failed"), console)
    finally:
        rows = _rows(root)  # jobs of earlier commands in this folder too
        write_summary(rows, root / "summary.csv")
        print_table(rows, console)
        console.print(shown(root / "summary.csv"), highlight=False, soft_wrap=True)
    if any(job.run.state() != "done" for job in jobs):
        raise SystemExit(1)


def compose(loader: Any, master: DictConfig, points: Iterable[Point], root: Path) -> list[Job]:
    """Compose and check every point.

    Raises:
        InputError: all faults of all points, each once with the first point that has it and the number of others.
    """
    from receptive.check import Checker  # torch only now

    checker, composer = Checker(), Composer(loader, master)
    jobs: dict[str, Job] = {}
    found: dict[str, list[Point]] = {}
    for point in points:
        try:
            config = composer.compose(point.overrides)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            found.setdefault(composer.explain(error, point.overrides), []).append(point)
            continue
        for fault in checker.faults(config):
            found.setdefault(fault, []).append(point)
        fingerprint = configs.fingerprint(values := configs.plain(config), point.swept)
        run = Run(root / configs.slug(point.labels, fingerprint))
        jobs.setdefault(fingerprint, Job(point, values, fingerprint, run))
    if found:
        raise InputError("\n".join(_told(fault, places) for fault, places in found.items()))
    return list(jobs.values())


def _told(fault: str, points: list[Point]) -> str:
    """A fault with the first point that has it, after its first line, and the number of others."""
    labels = " ".join(f"{key}={value}" for key, value in points[0].labels.items())
    more = f" and {len(points) - 1} more" if len(points) > 1 else ""
    first, *rest = fault.split("\n")
    return "\n".join([f"{first}   [{labels}{more}]" if labels else first, *rest])


def settle(jobs: list[Job], root: Path) -> list[Job]:
    """Write the jobs' folders and `sweep.json`; what is there stays. Gives the jobs with the folders that they have.

    Holds the sweep's lock: another driver may extend it at the same moment.

    Raises:
        InputError: the folder cannot be written, or it holds another sweep.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / "sweep.lock"):
            entries = {entry["fingerprint"]: entry for entry in _entries(root)}
            _refuse_changed(jobs, entries.values(), root)
            jobs = [
                replace(job, run=Run(root / entries[job.fingerprint]["folder"])) if job.fingerprint in entries else job
                for job in jobs
            ]
            for job in jobs:
                _freeze(job)
                entries[job.fingerprint] = _entry(job)
            write_atomically(root / "sweep.json", json.dumps({"jobs": list(entries.values())}, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"hydra.sweep.dir={root} cannot be written: {error.strerror}") from None
    return jobs


def _refuse_changed(jobs: list[Job], entries: Iterable[dict[str, Any]], root: Path) -> None:
    """Raise InputError when overrides that the folder knows now mean another config, with the differences."""
    known = {tuple(entry["overrides"]): entry for entry in entries}
    for job in jobs:
        entry = known.get(job.point.overrides)
        if entry is None or entry["fingerprint"] == job.fingerprint:
            continue
        old = Run(root / entry["folder"]).config()
        changes = "\n  ".join(configs.differences(old, job.config))
        raise InputError(
            f"{root} holds this sweep with another config; {' '.join(job.point.overrides)} was run with\n  {changes}\n"
            "(old -> new). Give hydra.sweep.dir=NEW_FOLDER, or take the change back."
        )


def _freeze(job: Job) -> None:
    """Write a job's config and its first status, unless it is done or runs."""
    job.run.folder.mkdir(parents=True, exist_ok=True)
    if job.run.state() not in ("done", "running"):
        write_atomically(job.run.config_path, OmegaConf.to_yaml(job.config))
        if not job.run.status_path.is_file():
            job.run.write_status(Status(fingerprint=job.fingerprint))


def _entry(job: Job) -> dict[str, Any]:
    """What `sweep.json` holds of a job."""
    return {
        "overrides": list(job.point.overrides),
        "variant": job.point.variant,
        "swept": list(job.point.swept),
        "fingerprint": job.fingerprint,
        "folder": job.run.folder.name,
    }


def _entries(root: Path) -> list[dict[str, Any]]:
    path = root / "sweep.json"
    if not path.is_file():
        return []
    jobs = read_json(path).get("jobs")
    if not isinstance(jobs, list):
        raise InputError(f"{path} is damaged (no list of jobs): restore it or delete it")
    return jobs


def _rows(root: Path) -> list[Row]:
    """What the table shows of every job that the folder knows."""
    points = [(Point(e["variant"], tuple(e["overrides"]), tuple(e["swept"])), e["folder"]) for e in _entries(root)]
    return [(point.labels, Run(root / folder)) for point, folder in points]


def _run_missing(jobs: list[Job], launch: Launch, root: Path, rerun: Rerun, console: Console) -> None:
    states = {job.fingerprint: job.run.state() for job in jobs}
    todo = [job for job in jobs if _wanted(states[job.fingerprint], rerun)]
    counts = {state: list(states.values()).count(state) for state in ("done", "running", "failed", "interrupted")}
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
        launch(todo, root)
    elsewhere = [job for job in jobs if job.run.state() == "running"]  # none of ours runs any more
    if elsewhere:
        console.print(f"waiting for {len(elsewhere)} jobs that another process runs", highlight=False)
        while any(job.run.state() == "running" for job in elsewhere):
            time.sleep(_POLL)
        if left := [job for job in elsewhere if job.run.state() in ("interrupted", "waiting")]:
            launch(left, root)


def _wanted(state: State, rerun: Rerun) -> bool:
    if state == "running":
        return False
    if rerun == "all":
        return True
    return state in ("waiting", "interrupted") or (state == "failed" and rerun == "failed")


def _warn_of_old_code(jobs: list[Job], console: Console) -> None:
    old = [job for job in jobs if job.run.state() == "done" and job.run.status().code != configs.code_hash()]
    if old:
        console.print(
            f"{len(old)} done jobs were computed by older code (rerun=all computes them anew)", style="yellow"
        )


def by_folders(run: Callable[[list[Path]], None]) -> Launch:
    """A launcher of ours runs the frozen configs of folders."""
    return lambda jobs, root: run([job.run.folder for job in jobs])


def by_overrides(launcher: Launcher) -> Launch:
    """A launcher of others composes each job again: told where, it ends in the same folders."""

    def launch(jobs: list[Job], root: Path) -> None:
        place = [f"hydra.sweep.dir={configs.quoted(str(root))}"]
        launcher.launch(
            [[*job.point.overrides, *place, f"hydra.sweep.subdir={job.run.folder.name}"] for job in jobs],
            initial_job_idx=0,
        )

    return launch
