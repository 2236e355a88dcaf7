"""The journal of a search: Optuna's storage in a file of the sweep's folder, shared by the driver and its jobs.

Optuna is imported within: only searches need it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from annotated_types import Ge

from receptive.errors import InputError
from receptive.files import read_json, wait_for_lock, write_atomically
from receptive.runs import Run
from receptive.signatures import option_faults

if TYPE_CHECKING:
    import optuna
    from optuna.storages.journal import JournalFileOpenLock

NAME = "journal.log"
STUDY = "search"


@dataclass(frozen=True, kw_only=True)
class PrunerOptions:
    """Which trials are stopped early; conf/hydra/sweeper/optuna.yaml says what each option means."""

    pruner: Literal["median", "none"]
    startup_trials: Annotated[int, Ge(0)]
    warmup_epochs: Annotated[int, Ge(0)]

    def build_pruner(self) -> optuna.pruners.BasePruner:
        """Optuna's; its steps are epochs counted from 1."""
        import optuna

        if self.pruner == "none":
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(self.startup_trials, self.warmup_epochs + 1)


@dataclass(frozen=True, kw_only=True)
class TrialFile(PrunerOptions):
    """`trial.json`: which trial of which search a run is.

    Args:
        journal: the search's journal, relative to the run's folder, so that a sweep can be moved.
        number: of the trial.
    """

    journal: str
    number: Annotated[int, Ge(0)]

    @staticmethod
    def read(run: Run) -> TrialFile | None:
        """Of a run's folder; None where the run is no trial.

        Raises:
            InputError: it is damaged.
        """
        if not run.trial_path.is_file():
            return None
        content = read_json(run.trial_path)
        missing = [field.name for field in dataclasses.fields(TrialFile) if field.name not in content]
        if faults := [f"no {name}" for name in missing] or option_faults(TrialFile, content):
            raise InputError(f"{run.trial_path} is damaged ({faults[0]}): the command of the search writes it anew")
        return TrialFile(**content)

    def write(self, run: Run) -> None:
        """Replace it in a run's folder; raises OSError."""
        write_atomically(run.trial_path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    def study(self, run: Run) -> optuna.Study:
        """The search, with the pruner of these options.

        Raises:
            InputError: its journal is gone or damaged, or knows no such trial; or Optuna is missing.
        """
        require_optuna()
        import optuna

        path = run.folder / self.journal
        if not path.is_file():
            raise InputError(
                f"{run.trial_path}: there is no {path}: bring it back, or delete trial.json to run without"
            )
        try:
            return optuna.load_study(
                study_name=STUDY,
                storage=open_journal(path),
                sampler=optuna.samplers.RandomSampler(0),  # never asked
                pruner=self.build_pruner(),
            )
        except KeyError:
            raise InputError(f"{path} knows no search: run the command of the search again") from None


def require_optuna() -> None:
    """Make sure that Optuna is there, and that it says nothing by itself; raises InputError."""
    try:
        import optuna
    except ImportError:
        raise InputError("hydra/sweeper=optuna needs Optuna: pip install optuna") from None
    optuna.logging.disable_default_handler()


def open_journal(path: Path) -> optuna.storages.JournalStorage:
    """Optuna's storage in a file, which is begun where it is not there.

    A record that was cut off when its writer was killed has never counted, and is taken away.

    Raises:
        InputError: the file is damaged.
        OSError: it cannot be read or written.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock = _KernelLock(path)
    lock.acquire()
    try:
        _mend(path)
    finally:
        lock.release()
    backend = JournalFileBackend(str(path), lock_obj=cast("JournalFileOpenLock", lock))
    try:
        return JournalStorage(backend)
    except Exception as error:  # whatever the replay of unexpected records raises
        raise _damaged(path, f"{type(error).__name__}: {error}") from None


class _KernelLock:
    """For Optuna's backend: the kernel lets go when the process dies, and nobody waits for the dead."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._handle: int | None = None

    def acquire(self) -> bool:
        self._handle = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        wait_for_lock(self._handle)
        return True

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _mend(path: Path) -> None:
    """Take away a last line that has no end; raises InputError where another one holds no record."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record: Any = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or "op_code" not in record:
            raise _damaged(path, f"line {number} holds no record")
    if len(whole) < len(content):
        with open(path, "r+b") as file:
            file.truncate(len(whole))


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path} is damaged ({reason}): restore it, or delete it: what its trials have given is found in their folders"
    )
