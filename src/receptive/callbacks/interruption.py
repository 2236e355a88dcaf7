"""A signal ends a run at the end of the batch in which it came, once that is saved."""

from __future__ import annotations

from typing import Any, NoReturn

import pytorch_lightning as pl

from receptive.ranks.collectives import highest
from receptive.signals import Interrupted, hold, take_held


class Interruption(pl.Callback):
    """Notes a signal while a run trains; outside of training, and on a second signal, it raises `Interrupted` at once.

    That its time is nearly up (USR1) is held back until the training has begun, see `receptive.signals.hold`.

    Of several processes each notes its own; `RunCheckpoints` asks all.

    Attributes:
        noted: the signal by which the run is to stop; 0: none.
        together: this process has left the training by `stop`, as the others do.

    Hand `receive` to `receptive.signals.listening`. `RunCheckpoints` looks at `noted` at the end of every batch, saves
    and calls `stop`: a signal in the last batch of an epoch waits for the validation after it.
    """

    def __init__(self) -> None:
        self.together = False
        self._begun = self._training = False
        self.noted = 0

    def receive(self, number: int) -> None:
        """Take a signal."""
        if not self._begun:
            hold(number)
        elif not self._training or self.noted:
            raise Interrupted(number)
        else:
            self.noted = number

    def stop(self, number: int) -> NoReturn:
        """Leave the training, all processes at the same point.

        Args:
            number: of the signal, which may have come to another process.

        Raises:
            Interrupted: by that signal.
        """
        self.together = True
        raise Interrupted(number)

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
            self.noted = held

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Act on a signal that came last."""
        [number] = highest(self.noted)
        self._training = False
        if number := number or self.noted:  # the second: of one that came since
            self.stop(number)


def _nothing() -> None:
    pass
