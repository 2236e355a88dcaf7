"""Checkpoint files: last.ckpt and best.ckpt, replaced atomically, plain data only."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint

from receptive.errors import InputError
from receptive.tasks.base import Task


class AtomicCheckpointIO(TorchCheckpointIO):
    """Saves beside the target, syncs, replaces: whoever reads finds the old file or the new one, never a part."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`; an OSError leaves an old file as it was."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # torch's own writer hides why a file could not be written
        torch.save(checkpoint, content)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


class RunCheckpoints(ModelCheckpoint):
    """last.ckpt after every epoch and best.ckpt by the monitored metric, in the run's folder.

    Args:
        folder: of the two files.
        monitor: metric that chooses the best.
        mode: "min" or "max".
    """

    CHECKPOINT_NAME_LAST = "last"

    def __init__(self, folder: Path, *, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )

    @functools.cached_property
    def state_key(self) -> str:
        """Lightning's, which never changes and is asked for at every hook of every step."""
        return super().state_key

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Nothing: saved is at the end of an epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, unless the epoch's losses hold a NaN: the last good checkpoint stays.

        Raises:
            InputError: the monitored metric has no value, as the F1 of images that are all left out.
        """
        assert isinstance(pl_module, Task)
        pl_module.check_finite()
        try:
            super().on_train_epoch_end(trainer, pl_module)
        except MisconfigurationException:
            given = ", ".join(key for key in trainer.callback_metrics if "/" in key)
            raise InputError(
                f"trainer.monitor={self.monitor}: these images give no such value (they give {given}); choose another "
                "metric, or hold other images out for validation"
            ) from None
        if self._last_global_step_saved != trainer.global_step:  # Lightning saves the last only along with a best
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
