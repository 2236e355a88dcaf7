"""The jobs of a sweep: points with a frozen config in a folder each.

`sweep.json` maps each job's overrides to its folder and fingerprint, so that the same command picks up where the last
one stopped, and a config that has changed meanwhile is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from receptive import config as configs
from receptive.errors import InputError
from receptive.files import locked, write_atomically
from receptive.manifest import Entry, Manifest
from receptive.runs import ENDED_WELL, Run, Status
from receptive.sweeps.assembly import Assembly
from receptive.sweeps.composer import Composer
from receptive.sweeps.expansion import Point


@dataclass(frozen=True)
class Job:
    """A point of the sweep with its frozen config, as plain containers, and its folder."""

    point: Point
    config: dict[str, Any]
    fingerprint: str
    run: Run
    trial: int | None = None

    def entry(self, folder: str) -> Entry:
        """What `sweep.json` holds of it, in a folder of this name."""
        return Entry(self.point.overrides, self.point.labels, self.fingerprint, folder, self.trial)


@dataclass(frozen=True)
class Goal:
    """What a search seeks.

    Args:
        monitor: the metric.
        mode: "min" or "max".
    """

    monitor: str
    mode: str


def goal_of(job: Job) -> Goal:
    """What the run of a job chooses its best epoch by."""
    from receptive.build import build_trainer_options  # torch only now

    config = OmegaConf.create(job.config)
    options = build_trainer_options(config)
    monitor = options.monitor or get_class(config.task["_target_"]).MONITOR  # type: ignore[attr-defined]
    return Goal(monitor, options.mode(monitor))


class JobComposer:
    """Makes jobs of points: composes them and checks them, each distinct part once.

    Args:
        loader: Hydra's.
        master: the config that Hydra composed for the sweep.
        root: the sweep's folder.
        download: data that are missing; otherwise those that can be are not looked for.
        here: the jobs run on this machine; false: of devices nothing is known.
    """

    def __init__(
        self, loader: Any, master: DictConfig, root: Path, *, download: bool = True, here: bool = True
    ) -> None:
        from receptive.check import Checker  # torch only now

        self._checker, self._composer = Checker(download=download, here=here), Composer(loader, master)
        self._root = root
        self._assembly = Assembly(self._composer)

    def job(self, point: Point) -> tuple[Job | None, list[str]]:
        """The job of a point, None where it cannot be composed, and its faults."""
        try:
            config = self._assembly.compose(point.overrides)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            return None, [self._composer.explain(error, point.overrides)]
        known = config.resolved
        faults = self._checker.faults(config.whole()) if known is None else self._checker.value_faults(known)
        fingerprint = configs.fingerprint(config.literal, point.swept)
        run = Run(self._root / configs.slug(point.labels, fingerprint))
        return Job(point, config.literal, fingerprint, run, point.trial), faults

    def jobs(self, points: Iterable[Point]) -> list[Job]:
        """The jobs of all points; of those that compute the same the first.

        Raises:
            InputError: all faults of all points, each once with the first point that has it and the number of others.
        """
        jobs: dict[str, Job] = {}
        found: dict[str, list[Point]] = {}
        for point in points:
            job, faults = self.job(point)
            for fault in faults:
                found.setdefault(fault, []).append(point)
            if job is not None:
                jobs.setdefault(job.fingerprint, job)
        if found:
            raise InputError("\n".join(_told(fault, places) for fault, places in found.items()))
        return list(jobs.values())


def compose(
    loader: Any, master: DictConfig, points: Iterable[Point], root: Path, *, download: bool = True, here: bool = True
) -> list[Job]:
    """Compose and check every point; raises InputError as `JobComposer.jobs` does."""
    return JobComposer(loader, master, root, download=download, here=here).jobs(points)


def _told(fault: str, points: list[Point]) -> str:
    """A fault with the first point that has it, after its first line, and the number of others."""
    labels = " ".join(f"{key}={value}" for key, value in points[0].labels.items())
    more = f" and {len(points) - 1} more" if len(points) > 1 else ""
    first, *rest = fault.split("\n")
    return "\n".join([f"{first}   [{labels}{more}]" if labels else first, *rest])


def settle(jobs: Sequence[Job], root: Path, about: Mapping[str, Any] | None = None) -> list[Job]:
    """Write the jobs' folders and `sweep.json`; what is there stays. Gives the jobs with the folders that they have.

    Holds the sweep's lock: another driver may extend it at the same moment.

    Args:
        jobs: of the sweep, all or some more.
        root: the sweep's folder.
        about: of the sweep as a whole, fields of `Manifest`.

    Raises:
        InputError: the folder cannot be written, or it holds another sweep.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / "sweep.lock"):
            before = Manifest.read(root)
            _refuse_changed(jobs, before.entries.values(), root)
            entries = dict(before.entries)
            for job in jobs:
                entry = entries.get(job.fingerprint) or job.entry(job.run.folder.name)
                entries[job.fingerprint] = job.entry(entry.folder)
            jobs = [replace(job, run=entries[job.fingerprint].run(root)) for job in jobs]
            for job in jobs:
                freeze(job)
            replace(before, entries=entries, **(about or {})).write(root)
    except OSError as error:
        raise InputError(f"hydra.sweep.dir={root} cannot be written: {error.strerror}") from None
    return list(jobs)


def placed(jobs: Sequence[Job], root: Path) -> list[Job]:
    """The jobs with the folders that `sweep.json` has for them; nothing is written.

    Raises:
        InputError: the folder holds another sweep, or its `sweep.json` is damaged.
    """
    entries = Manifest.read(root).entries
    _refuse_changed(jobs, entries.values(), root)
    return [replace(job, run=entries[job.fingerprint].run(root)) if job.fingerprint in entries else job for job in jobs]


def _refuse_changed(jobs: Iterable[Job], entries: Iterable[Entry], root: Path) -> None:
    """Raise InputError when overrides that the folder knows now mean another config, with the differences."""
    known = {_deciding(entry.overrides): entry for entry in entries}
    for job in jobs:
        entry = known.get(_deciding(job.point.overrides))
        if entry is None or entry.fingerprint == job.fingerprint or not entry.run(root).folder.is_dir():
            continue
        changes = "\n  ".join(configs.differences(entry.run(root).config(), job.config))
        raise InputError(
            f"{root} holds this sweep with another config; {' '.join(job.point.overrides)} was run with\n  {changes}\n"
            "(old -> new). Give hydra.sweep.dir=NEW_FOLDER, or take the change back."
        )


def _deciding(overrides: Iterable[str]) -> tuple[str, ...]:
    """The overrides without those that say what the command does with the jobs, or where they are shown."""
    return tuple(line for line in overrides if not line.startswith(configs.ABOUT_THE_COMMAND))


def freeze(job: Job) -> None:
    """Write a job's config and its first status, unless it has ended well or runs."""
    job.run.folder.mkdir(parents=True, exist_ok=True)
    if job.run.state() not in (*ENDED_WELL, "running"):
        write_atomically(job.run.config_path, OmegaConf.to_yaml(job.config))
        if not job.run.status_path.is_file():
            job.run.write_status(Status(fingerprint=job.fingerprint))
