"""metrics.csv: a row an epoch, on disk at its end."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from receptive.callbacks.gradients import GradientNorm
from receptive.files import write_atomically
from receptive.recording.memory import peak_memory
from receptive.tasks.base import Task


class EpochRecords(pl.Callback):
    """Writes a row with everything that is known at the end of every epoch.

    Of several processes rank 0 writes; the values are those of all.

    Args:
        path: of metrics.csv; an old file is replaced.
        gradients: asked for the epoch's gradient norm; None: that column is left out.
    """

    def __init__(self, path: Path, gradients: GradientNorm | None = None) -> None:
        self.path = path
        self.gradients = gradients
        self.rows: list[dict[str, float]] = []
        self._columns: list[str] = []
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The rows so far and the seconds of the epoch that runs, in plain containers."""
        return {"rows": self.rows, "seconds": time.perf_counter() - self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])
        self._started = time.perf_counter() - state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the file, empty or with the rows of the checkpoint that is gone on from."""
        self._columns = list(dict.fromkeys(key for row in self.rows for key in row))
        if trainer.is_global_zero:
            write_atomically(self.path, self._text(self.rows, header=True) if self.rows else "")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row: epoch, step, rate, seconds, memory, gradient norm, training and validation metrics."""
        assert isinstance(pl_module, Task)
        training = pl_module.train_metrics()
        pl_module.log_dict(training)
        norm = None if self.gradients is None else self.gradients.mean()
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - self._started, 3),
            "memory_mb": peak_memory(pl_module.device),
            **({} if norm is None else {"gradient_norm": norm}),
            **training,
            **{key: float(value) for key, value in pl_module.epoch_metrics().items() if key.startswith("val/")},
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write(row)

    def _write(self, row: dict[str, float]) -> None:
        if set(row) - set(self._columns):  # a metric that came later: the whole file anew
            self._columns = list(dict.fromkeys([*self._columns, *row]))
            write_atomically(self.path, self._text(self.rows, header=True))
        else:
            with open(self.path, "a", newline="") as file:
                file.write(self._text([row], header=False))

    def _text(self, rows: list[dict[str, float]], *, header: bool) -> str:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()
