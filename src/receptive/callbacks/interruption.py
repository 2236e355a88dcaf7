"""A signal ends a run at the end of the batch in which it came, once that is saved."""

from __future__ import annotations

import signal
from typing import Any, NoReturn

import pytorch_lightning as pl

from receptive.ranks.collectives import any_of
from receptive.signals import Interrupted, hold, take_held


class Interruption(pl.Callback):
    """Notes a signal while a run trains; outside of training, and on a second signal, it raises `Interrupted` at once.

    That its time is nearly up (USR1) is held back until the training has begun, see `receptive.signals.hold`.

    Of several processes each notes its own; `RunCheckpoints` asks all.

    Attributes:
        together: all processes have left the training by `stop`.

    Hand `receive` to `receptive.signals.listening`. `RunCheckpoints` looks at `asked` at the end of every batch, saves
    and calls `stop`: a signal in the last batch of an epoch waits for the validation after it.
    """

    def __init__(self) -> None:
        self.together = False
        self._begun = self._training = False
        self._pending: int | None = None

    def receive(self, number: int) -> None:
        """Take a signal."""
        if not self._begun:
            hold(number)
        elif not self._training or self._pending is not None:
            raise Interrupted(number)
        else:
            self._pending = number

    @property
    def asked(self) -> bool:
        """Whether the run is to stop."""
        return self._pending is not None

    def stop(self) -> NoReturn:
        """Leave the training, all processes at the same point.

        Raises:
            Interrupted: as by SIGTERM where another process was signalled.
        """
        self.together = True
        raise Interrupted(self._pending if self._pending is not None else signal.SIGTERM)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keep Lightning from listening to SIGTERM: it would end the process with exit code 0, and of several processes
        call the others within the handler, where they wait for something else.
        """
        connector: Any = trainer._signal_connector
        connector.register_signal_handlers = _nothing
        loop: Any = trainer.fit_loop.epoch_loop
        loop._broadcast_sigterm_tensor = _nothing  # before every step

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on a signal waits for the end of a batch, and one that was held back counts."""
        self._training = True
        self._begun = True  # a signal that comes now is kept below
        if (held := take_held()) is not None:
            self._pending = held

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Act on a signal that came last."""
        asked = any_of(self.asked)
        self._training = False
        if asked or self.asked:  # the second: of one that came since
            self.stop()


def _nothing() -> None:
    pass
