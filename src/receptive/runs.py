"""A run is a folder: its files, its state, its lock.

    config.yaml  status.json  lock  result.json  metrics.csv  log.txt  checkpoints/{last,best}.ckpt  figures/

Everything that looks at results reads these files through this module, which imports no torch.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from receptive.errors import InputError
from receptive.files import read_json, whole_lines, write_atomically
from receptive.lease import Taken, is_beating, is_leased, knows_locks, leased

# In the order in which they are told. Pruned: stopped by its search as hopeless.
State = Literal["done", "pruned", "running", "failed", "interrupted", "waiting"]
ENDED_WELL: tuple[State, ...] = ("done", "pruned")

_NUMBERS = ("best_epoch", "epochs", "seconds", "seconds_per_epoch", "parameters")  # of result.json
_LATEST = 1e11  # seconds since the epoch of any time that a calendar can show


class Busy(InputError):
    """The run folder is locked by another process."""


@dataclasses.dataclass
class Status:
    """What `status.json` holds.

    Times are seconds since the epoch (UTC). `state` is what the process that trains wrote last; whether "running" is
    still true is decided by the lock, see `Run.state`.
    """

    state: State = "waiting"
    fingerprint: str = ""
    code: str = ""
    attempts: int = 0
    started: int | float | None = None
    ended: int | float | None = None
    pid: int | None = None
    host: str | None = None
    slurm_job: str | None = None
    wandb_id: str | None = None
    error: str | None = None


_HINTS = get_type_hints(Status)


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of one run. The files need not exist yet."""

    folder: Path

    @property
    def config_path(self) -> Path:
        """The frozen config: what a job reads, composed and checked before."""
        return self.folder / "config.yaml"

    @property
    def result_path(self) -> Path:
        """Metrics and provenance of a finished run; of a pruned one those of its best epoch."""
        return self.folder / "result.json"

    @property
    def trial_path(self) -> Path:
        """Which trial of which search the run is; only trials have it."""
        return self.folder / "trial.json"

    @property
    def metrics_path(self) -> Path:
        """A row an epoch."""
        return self.folder / "metrics.csv"

    @property
    def test_images_path(self) -> Path:
        """A row a test image, of tasks that score each image."""
        return self.folder / "test_images.csv"

    @property
    def test_masks_path(self) -> Path:
        """The predicted masks of the test images, (N, H, W) uint8 in a compressed NumPy file."""
        return self.folder / "test_masks.npz"

    @property
    def examples_path(self) -> Path:
        """Test images with their masks, of runs with a logger and a task that predicts masks: a compressed NumPy file.

        Of N images, each once: pixels, (N, H, W) or (N, H, W, 3), targets and predicted, (N, H, W), all uint8; names,
        indices in the test set, f1; groups, each "first", "worst" or "best": the figure that shows it first.
        """
        return self.folder / "examples.npz"

    @property
    def activations_path(self) -> Path:
        """A row a layer and epoch, of runs with record=activations."""
        return self.folder / "activations.csv"

    @property
    def activations(self) -> Path:
        """Folder of what `receptive activations` writes."""
        return self.folder / "activations"

    @property
    def log_path(self) -> Path:
        """Everything that the run said, tracebacks and warnings too."""
        return self.folder / "log.txt"

    @property
    def status_path(self) -> Path:
        """State and bookkeeping."""
        return self.folder / "status.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of `last.ckpt` and `best.ckpt`."""
        return self.folder / "checkpoints"

    @property
    def figures(self) -> Path:
        """Folder of the pictures."""
        return self.folder / "figures"

    @property
    def tensorboard(self) -> Path:
        """Folder of event files, of runs with logger=tensorboard."""
        return self.folder / "tensorboard"

    def status(self) -> Status:
        """What the training process wrote last; waiting when there is no file, failed when it is damaged."""
        if not self.status_path.is_file():
            return Status()
        try:
            values = {key: value for key, value in read_json(self.status_path).items() if key in _HINTS}
            for key, value in values.items():
                if not _fits(key, value):
                    raise InputError(f"{self.status_path} is damaged ({key}={value!r}): restore it or delete it")
        except InputError as error:
            return Status(state="failed", error=str(error))
        return Status(**values)

    def write_status(self, status: Status) -> None:
        """Replace `status.json`."""
        write_atomically(self.status_path, json.dumps(dataclasses.asdict(status), indent=2) + "\n")

    def state(self) -> State:
        """The true state: "running" without the lock, or ended well without a result, is interrupted."""
        state = self.status().state
        if (state == "running" and not self.locked()) or (state in ENDED_WELL and not self.result_path.is_file()):
            return "interrupted"
        return state

    def clear(self) -> None:
        """Leave nothing of earlier attempts but config, log and status."""
        for folder in (self.checkpoints, self.figures, self.tensorboard, self.activations):
            shutil.rmtree(folder, ignore_errors=True)
        tests = (self.test_images_path, self.test_masks_path, self.examples_path)
        for path in (self.metrics_path, self.result_path, self.activations_path, *tests):
            path.unlink(missing_ok=True)

    def start_over(self) -> None:
        """Forget what earlier attempts have computed, so that the next one begins anew; not while a process runs it."""
        with contextlib.suppress(Busy), self.lock():
            self.clear()
            before = self.status()
            self.write_status(Status(fingerprint=before.fingerprint, attempts=before.attempts))

    def config(self) -> DictConfig:
        """The frozen config; InputError when the file is damaged."""
        try:
            config = OmegaConf.load(self.config_path)
        except (YAMLError, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.config_path} cannot be read ({reason}): restore it or delete the folder") from None
        if not isinstance(config, DictConfig) or not config:
            raise InputError(f"{self.config_path} holds no config: restore it or delete the folder")
        return config

    def locked(self) -> bool:
        """Whether a living process holds the run, here or on another machine."""
        path = self.folder / "lock"
        return is_leased(path) or self._beats_beyond_locks()

    def _beats_beyond_locks(self) -> bool:
        """Whether a process runs it, by its heartbeat, whose lock may not be seen here: another machine's, or any where
        the file system has no locks.
        """
        path, status = self.folder / "lock", self.status()
        beyond = status.state == "running" and (
            status.host not in (None, socket.gethostname()) or not knows_locks(path)
        )
        return beyond and is_beating(path)

    @contextlib.contextmanager
    def lock(self, slurm_job: str | None = None) -> Iterator[None]:
        """Hold the run for this process; the kernel lets go when the process dies.

        Args:
            slurm_job: that this process is: where it was requeued on another machine its former process is dead.

        Raises:
            Busy: another process holds it.
        """
        mine = slurm_job is not None and self.status().slurm_job == slurm_job
        try:
            with contextlib.ExitStack() as stack:
                if not mine and self._beats_beyond_locks():
                    raise Taken
                stack.enter_context(leased(self.folder / "lock"))
                yield
        except Taken:
            raise Busy(f"{self.folder} is being run by another process") from None

    def result(self) -> dict[str, Any]:
        """`result.json` of a done or pruned run, {} before; InputError when it is damaged."""
        result = read_json(self.result_path) if self.result_path.is_file() else {}
        if fault := _fault(result):
            raise InputError(f"{self.result_path} is damaged ({fault}): restore it or delete it")
        return result

    def write_result(self, result: dict[str, Any]) -> None:
        """Replace `result.json`."""
        write_atomically(self.result_path, json.dumps(result, indent=2) + "\n")

    def metrics(self) -> list[dict[str, float]]:
        """The rows of `metrics.csv`, one an epoch; empty cells and half a last row are left out.

        Raises:
            InputError: it is damaged.
        """
        try:
            rows = csv.DictReader(whole_lines(self.metrics_path) if self.metrics_path.is_file() else [])
            return [{key: float(value) for key, value in row.items() if value} for row in rows]
        except (TypeError, ValueError, csv.Error) as error:
            raise InputError(f"{self.metrics_path} is damaged ({error}): restore it or delete it") from None


def _fits(key: str, value: Any) -> bool:
    """Whether a value of status.json is one that all its readers can take."""
    kinds = get_args(_HINTS[key]) or (_HINTS[key],)
    if key == "state":
        return value in kinds
    is_time = key in ("started", "ended") and value is not None
    return isinstance(value, kinds) and (not is_time or 0 <= value < _LATEST)


def _fault(result: dict[str, Any]) -> str:
    """What in a result.json is not what all its readers take it for; "" where it is."""
    metrics = result.get("metrics", {})
    if not isinstance(metrics, dict):
        return "no metrics"
    if not isinstance(result.get("monitor", ""), str | None):
        return f"monitor={result['monitor']!r}"
    numbers = {f"metrics.{key}": value for key, value in metrics.items()}
    numbers |= {key: result[key] for key in _NUMBERS if result.get(key) is not None}
    wrong = [f"{key}={value!r}" for key, value in numbers.items() if type(value) not in (int, float)]
    return wrong[0] if wrong else ""


def shown(path: Path) -> str:
    """A path as short as it can be given on the command line: relative when it lies below the working directory."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def warn_of_unfinished(run: Run, what: str) -> None:
    """Say on stderr that figures, predictions ... are not of a finished run, where they are not."""
    if (state := run.state()) != "done":
        print(f"receptive: {shown(run.folder)} is {state}: these are not the {what} of a finished run", file=sys.stderr)


def open_run(folder: str | Path, key: str = "run") -> Run:
    """The run in an existing folder, that the option `key` names.

    Raises:
        InputError: the folder does not exist or holds no run.
    """
    run = Run(Path(folder).expanduser())
    if not run.config_path.is_file():
        reason = "holds no config.yaml" if run.folder.is_dir() else "does not exist"
        remedy = "give the folder of a run, as `receptive train` prints it"
        raise InputError(f"{key}={folder}: this folder {reason}; {remedy}")
    return run
