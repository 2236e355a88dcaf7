"""A sweep as it stands, read from its files while others write them; what has not changed is not read again."""

from __future__ import annotations

import csv
import math
import re
import time
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from receptive.errors import InputError
from receptive.files import read_yaml, whole_lines
from receptive.manifest import NAME, Manifest, runs_in
from receptive.runs import ENDED_WELL, Run, State, shown
from receptive.slurm import scheduler
from receptive.slurm.scheduler import SchedulerError
from receptive.slurm.submissions import assigned
from receptive.sweeps.estimate import max_epochs
from receptive.sweeps.presence import is_driven
from receptive.sweeps.snapshot import Progress, Snapshot

# of a config as it is frozen: to parse that as YAML takes 1 ms a job, this 0.02 ms
_EPOCHS = re.compile(r"^trainer:\n(?:[ -].*\n)*?  max_epochs: (\d+)\n", re.MULTILINE)
_SHOWN = ("val/accuracy", "val/f1_mean", "val/iou_mean", "val/loss", "train/loss")

_QUEUE_ASKED_EVERY = 5.0  # seconds

Read = TypeVar("Read")


@dataclass
class _Known:
    """What was read of a job, and of which status.json."""

    status: tuple[int, int]
    progress: Progress
    settled: bool


class Observer:
    """Looks at a folder again and again.

    Args:
        root: of a sweep, or of a run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[Path, tuple[tuple[int, int], Any]] = {}
        self._jobs: dict[str, _Known] = {}
        self._asked = -math.inf  # when Slurm was, on time.monotonic's clock
        self._queued = 0
        self._unsaid: tuple[str, ...] = ()  # of jobs that ended in Slurm and did not say how

    def look(self) -> Snapshot:
        """The folder as it stands; what is damaged is shown as such, nothing is raised for it."""
        now = time.time()
        content = runs_in(self.root, self._manifest)
        jobs = []
        for run, labels in zip(content.runs, content.labels, strict=True):
            listed = content.manifest.entries or run.folder == self.root
            jobs.append(self._job(run.folder, labels if listed else {"folder": run.folder.name}))
        title = content.manifest.name or self.root.resolve().name
        self._ask({job.name for job in jobs if job.state == "waiting"})
        notes = (*([content.note] if content.note else []), *self._unsaid)
        return Snapshot(title, tuple(jobs), is_driven(self.root), now, notes, self._queued)

    def _manifest(self, root: Path) -> Manifest:
        return self._cached(root / NAME, lambda: Manifest.read(root)) or Manifest()

    def _ask(self, waiting: Container[str]) -> None:
        """How many jobs Slurm's queue holds, where it answers, and which began there without a word; now and then."""
        if time.monotonic() - self._asked > _QUEUE_ASKED_EVERY and (known := assigned(self.root)):
            self._asked, self._queued, self._unsaid = time.monotonic(), 0, ()
            with suppress(SchedulerError):
                queue = scheduler.queue()
                self._queued = len(set(queue) & {given.task for given in known.values()})
                # Slurm makes the log when it starts the task
                logs = [
                    given.log
                    for folder, given in known.items()
                    if folder.name in waiting and given.task not in queue and given.log.is_file()
                ]
                if logs:
                    said = f"{len(logs)} ended in Slurm before the run began; see {shown(logs[0])}"
                    self._unsaid = (said,)

    def _job(self, folder: Path, labels: dict[str, str]) -> Progress:
        run = Run(folder)
        try:
            written = _written(run.status_path)
            known = self._jobs.get(folder.name)
            if known is None or known.status != written or not known.settled:
                known = self._jobs[folder.name] = self._read(run, labels, written)
        except (InputError, OSError) as error:
            return Progress(folder.name, labels, "failed", " ".join(str(error).split()))
        return known.progress

    def _read(self, run: Run, labels: dict[str, str], written: tuple[int, int]) -> _Known:
        if not run.folder.is_dir():
            gone = "its folder has vanished: the same command runs it again"
            return _Known(written, Progress(run.folder.name, labels, "failed", gone), False)
        status, state, faults = run.status(), run.state(), []
        result: dict[str, Any] = {}
        epochs, rows = None, []
        try:
            epochs = self._cached(run.config_path, lambda: _epochs(run))
            rows = self._cached(run.metrics_path, lambda: complete_rows(run.metrics_path)) or []
            result = (self._cached(run.result_path, run.result) or {}) if state in ENDED_WELL else {}
        except InputError as error:
            faults.append(str(error))
        metric, value = _metric(result, rows)
        begun = max(_written(run.metrics_path)[0] / 1e9, status.started or 0.0)
        progress = Progress(
            run.folder.name,
            labels,
            "failed" if faults and state != "running" else state,
            "; ".join(faults) or _cause(state, status.error),
            epochs,
            tuple(row["seconds"] for row in rows if "seconds" in row),
            begun,
            metric,
            value,
            _number(result.get("seconds")),
            status.ended or 0.0,
        )
        return _Known(written, progress, state not in ("running", "interrupted", "waiting"))

    def _cached(self, path: Path, read: Callable[[], Read]) -> Read | None:
        """What `read` makes of a file; None where there is none. A fault is raised again only when the file changes."""
        written = _written(path)
        if written == _NOWHERE:
            return None
        known = self._files.get(path)
        if known is None or known[0] != written:
            try:
                found: Read | InputError = read()
            except InputError as error:
                found = error
            known = self._files[path] = written, found
        if isinstance(known[1], InputError):
            raise known[1]
        value: Read = known[1]
        return value


_NOWHERE = (0, -1)


def _written(path: Path) -> tuple[int, int]:
    """When a file was written, in nanoseconds, and its size."""
    try:
        status = path.stat()
    except OSError:
        return _NOWHERE
    return status.st_mtime_ns, status.st_size


def _epochs(run: Run) -> int | None:
    """The epochs of a frozen config; at once where it is written as we write it."""
    try:
        text = run.config_path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{run.config_path} is damaged ({error})") from None
    found = _EPOCHS.search(text)
    return int(found[1]) if found else max_epochs(read_yaml(run.config_path))


def complete_rows(path: Path) -> list[dict[str, float]]:
    """The numbers of a metrics.csv as `Run.metrics` reads them; lines that are damaged are left out."""
    rows = []
    for row in csv.DictReader(whole_lines(path, errors="replace")):
        try:
            rows.append({key: float(value) for key, value in row.items() if key and value})
        except (TypeError, ValueError):
            continue
    return rows


def _metric(result: dict[str, Any], rows: list[dict[str, float]]) -> tuple[str, float]:
    """The monitored metric of a finished run, or one of the last epoch's."""
    metrics, monitor = result.get("metrics"), result.get("monitor")
    if isinstance(metrics, dict) and isinstance(metrics.get(monitor), float):
        return str(monitor), metrics[monitor]
    last = rows[-1] if rows else {}
    return next(((name, last[name]) for name in _SHOWN if name in last), ("", 0.0))


def _cause(state: State, error: str | None) -> str:
    if state not in ("failed", "interrupted"):
        return ""
    return " ".join(error.split()) if error else "its process died"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
