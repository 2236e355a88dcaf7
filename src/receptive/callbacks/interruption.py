"""A signal ends a run at the end of the batch in which it came."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from receptive.signals import Interrupted


class Interruption(pl.Callback):
    """Raises `Interrupted` at the end of a batch; outside of training, and on a second signal, at once.

    Hand `receive` to `receptive.signals.listening`.
    """

    def __init__(self) -> None:
        self._training = False
        self._pending: int | None = None
        self._lightning: Any = None

    def receive(self, number: int) -> None:
        """Take a signal."""
        if not self._training or self._pending is not None:
            raise Interrupted(number)
        self._pending = number
        self._lightning.received_sigterm = False  # else Lightning ends the process itself, with exit code 0

    def _stop_if_asked(self) -> None:
        if self._pending is not None:
            raise Interrupted(self._pending)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on a signal waits for the end of a batch."""
        self._training = True
        self._lightning = trainer._signal_connector

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """The place to stop."""
        self._stop_if_asked()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """The place to stop in a long validation."""
        self._stop_if_asked()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Act on a signal that came last."""
        self._training = False
        self._stop_if_asked()
