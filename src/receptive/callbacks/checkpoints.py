"""When a run is saved: last.ckpt at short intervals and after every epoch, best.ckpt by the monitored metric."""

from __future__ import annotations

import functools
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint

from receptive.callbacks.interruption import Interruption
from receptive.checkpoints import BEST, LAST
from receptive.errors import InputError
from receptive.ranks.collectives import highest, of_first
from receptive.tasks.base import Task

_SHARE = 100  # the next checkpoint waits so many times as long as the last one took: 1 % of the time at most
_ASKED_EVERY = 16  # steps between two questions to all of several processes


class RunCheckpoints(ModelCheckpoint):
    """Checkpoints in the run's folder; where a run is asked to stop, it is saved and stopped here.

    Args:
        folder: of the files.
        monitor: metric that chooses the best.
        mode: "min" or "max".
        minutes: between two checkpoints within an epoch, longer where these are costly; None: none.
        steps: the same in steps.
        interruption: tells whether the run is to stop.
    """

    CHECKPOINT_NAME_LAST = Path(LAST).stem

    def __init__(
        self,
        folder: Path,
        *,
        monitor: str,
        mode: str,
        minutes: float | None = None,
        steps: int | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        super().__init__(
            dirpath=folder,
            filename=Path(BEST).stem,
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self._folder = folder
        self._interval = float("inf") if minutes is None else 60 * minutes
        self._steps = steps
        self._interruption = interruption
        self._due = float("inf")

    @functools.cached_property
    def state_key(self) -> str:
        """Lightning's, which never changes and is asked for at every hook of every step."""
        return super().state_key

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """As Lightning's, without its warning that there are checkpoints already: they are gone on from."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best so far, in the folder where the run lies now."""
        here = str(self.dirpath)

        def moved(path: str) -> str:
            return str(Path(here) / Path(path).name) if path else path

        paths = {key: moved(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": here})
        self.current_score = state_dict["current_score"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._due = time.monotonic() + self._interval

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Save where it is time to, or the run is asked to stop: then stop. Last of all callbacks, so that all have
        done their part of the step.

        The last batch of an epoch waits for the validation and the end of the epoch.
        """
        stopping = 0 if self._interruption is None else self._interruption.noted
        due = bool(stopping) or time.monotonic() >= self._due
        if trainer.world_size > 1:  # all save, or none; the clock is rank 0's
            if trainer.global_step % _ASKED_EVERY:
                stopping, due = 0, False
            else:
                stopping, asked = highest(stopping, due and trainer.is_global_zero)
                due = bool(stopping or asked)
        due = due or (self._steps is not None and trainer.global_step % self._steps == 0)
        if not due or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        assert isinstance(pl_module, Task)
        pl_module.check_finite()
        self._save(trainer)
        if stopping and self._interruption is not None:
            self._interruption.stop(stopping)

    def _save(self, trainer: pl.Trainer) -> None:
        started = time.monotonic()
        trainer.save_checkpoint(self._folder / LAST)
        ended = time.monotonic()
        self._due = ended + max(self._interval, _SHARE * (ended - started))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, unless the epoch's losses hold a NaN: the last good checkpoint stays.

        Raises:
            InputError: the monitored metric has no value, as the F1 of images that are all left out.
        """
        assert isinstance(pl_module, Task)
        pl_module.check_finite()
        # without a validation in this epoch there is nothing to compare; of an earlier one a resumed run knows nothing
        if pl_module.validated or not str(self.monitor).startswith("val/"):
            try:
                super().on_train_epoch_end(trainer, pl_module)
            except MisconfigurationException:
                given = ", ".join(key for key in trainer.callback_metrics if "/" in key)
                raise InputError(
                    f"trainer.monitor={self.monitor}: these images give no such value (they give {given}); choose "
                    "another metric, or hold other images out for validation"
                ) from None
        if of_first(self._last_global_step_saved != trainer.global_step or not (self._folder / LAST).is_file()):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        self._due = time.monotonic() + self._interval
        if self._interruption is not None:
            [stopping] = highest(self._interruption.noted)
            if stopping:
                self._interruption.stop(stopping)
