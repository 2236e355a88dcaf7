"""What a training run shows: a bar with the time left on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time
from typing import Any, Literal

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from receptive.metrics import metric_text
from receptive.tasks.base import Task

ProgressStyle = Literal["auto", "bar", "lines", "none"]

_REFRESH = 1.0  # seconds between two updates of the bar: one costs as much as two steps of a small net
_LINES = 10  # lines in all when there is no bar


def epoch_text(metrics: dict[str, Any]) -> str:
    """The epoch's metrics in a line: accuracies in percent, the rest with four digits."""
    parts = []
    for key in ("train/loss", "train/accuracy", "train/f1", "val/loss", "val/accuracy", "val/f1_mean"):
        if key in metrics:
            parts.append(f"{key} {metric_text(key, float(metrics[key]))}")
    return "  ".join(parts)


class RunProgress(pl.Callback):
    """One bar over all batches of all epochs, or at most ten lines.

    Args:
        console: where to.
        style: "auto" is a bar on a terminal, lines elsewhere.
    """

    def __init__(self, console: Console, style: ProgressStyle = "auto") -> None:
        self._console = console
        self._style = (
            ("bar" if console.is_terminal and not console.is_dumb_terminal else "lines") if style == "auto" else style
        )
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._next = 0.0
        self._done = 0
        self._unsaid = ""  # the line of an epoch that has not been shown

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        if self._style != "bar":
            return
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[metrics]}"),
            console=self._console,
            transient=True,
            expand=True,
            auto_refresh=False,
        )
        total = int(trainer.num_training_batches) * int(trainer.max_epochs or 1)
        self._done = trainer.global_step  # a batch each; more than 0 where a run goes on
        self._task = self._bar.add_task(
            "",
            total=total,
            completed=self._done,
            epoch=trainer.current_epoch + 1,
            epochs=trainer.max_epochs,
            metrics="",
        )
        self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Move the bar, now and then."""
        self._done += 1
        if self._bar is not None and (now := time.monotonic()) >= self._next:
            self._next = now + _REFRESH
            self._bar.update(self._task, completed=self._done, epoch=trainer.current_epoch + 1)
            self._bar.refresh()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's metrics."""
        epoch, epochs = trainer.current_epoch + 1, int(trainer.max_epochs or 1)
        assert isinstance(pl_module, Task)
        text = epoch_text(pl_module.epoch_metrics())
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, metrics=text)
            self._bar.refresh()
        self._unsaid = f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {text}"
        if epoch == epochs or epoch % max(1, -(-epochs // _LINES)) == 0:
            self._say_line()

    def _say_line(self) -> None:
        if self._style == "lines" and self._unsaid:
            self._console.print(self._unsaid)
        self._unsaid = ""

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away; tell the last epoch of a run that stopped early."""
        self._stop()
        self._say_line()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Take the bar away."""
        self._stop()
