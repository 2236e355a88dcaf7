"""At which point of a real fit a real signal stops it."""

import os
import signal
import threading
from typing import Any

import pytest
import pytorch_lightning as pl

from receptive.callbacks.interruption import Interruption
from receptive.signals import Interrupted, listening

EXIT_CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


class Signals(pl.Callback):
    """Sends a signal to this process at each of the named events, and notes all events.

    An event is a hook and, where there is one, the number of the batch: "train 1 start", "validation 0 end".
    """

    def __init__(self, number: int, at: dict[str, int]) -> None:
        self.number = number
        self.at = at
        self.events: list[str] = []

    def note(self, event: str) -> None:
        self.events.append(event)
        for _ in range(self.at.get(event, 0)):
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, *arguments: Any) -> None:
        self.note(f"train {arguments[-1]} start")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.note("step")

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.note(f"train {arguments[-1]} end")

    def on_validation_batch_start(self, *arguments: Any) -> None:
        self.note(f"validation {arguments[3]} start")

    def on_validation_batch_end(self, *arguments: Any) -> None:
        self.note(f"validation {arguments[4]} end")

    def on_train_epoch_end(self, *_: Any) -> None:
        self.note("epoch end")

    def on_test_batch_start(self, *arguments: Any) -> None:
        self.note("test start")


def stopped(fit: Any, number: int, at: dict[str, int], exit_code: int) -> list[str]:
    """The events of a fit that signals stop."""
    before = signal.getsignal(number)
    signals, interruption = Signals(number, at), Interruption()
    with pytest.raises(Interrupted) as stop, listening(interruption.receive):
        fit(signals, interruption)
    assert stop.value.exit_code == exit_code
    assert signal.getsignal(number) == before
    return signals.events


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_in_training_it_waits_for_the_end_of_the_batch(fit: Any, number: int, exit_code: int):
    events = stopped(fit, number, {"train 1 start": 1}, exit_code)
    assert events == ["train 0 start", "step", "train 0 end", "train 1 start", "step", "train 1 end"]


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_a_second_signal_stops_at_once(fit: Any, number: int, exit_code: int):
    events = stopped(fit, number, {"train 1 start": 2}, exit_code)
    assert events == ["train 0 start", "step", "train 0 end", "train 1 start"]


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_in_validation_it_waits_for_the_end_of_the_batch(fit: Any, number: int, exit_code: int):
    events = stopped(fit, number, {"validation 1 start": 1}, exit_code)
    assert events[-3:] == ["validation 0 end", "validation 1 start", "validation 1 end"]


def test_a_signal_after_the_last_batch_is_not_forgotten(fit: Any):
    events = stopped(fit, signal.SIGINT, {"epoch end": 1}, 130)
    assert events[-1] == "epoch end"


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_outside_of_training_it_stops_at_once(number: int, exit_code: int):
    interruption = Interruption()
    with pytest.raises(Interrupted) as stop, listening(interruption.receive):
        os.kill(os.getpid(), number)
        pytest.fail("still here")
    assert stop.value.exit_code == exit_code


def test_after_training_it_stops_at_once(fit: Any):
    signals, interruption = Signals(signal.SIGINT, {"test start": 1}), Interruption()
    with listening(interruption.receive):
        trainer = fit(signals, interruption)
        loader = trainer.val_dataloaders
        with pytest.raises(Interrupted):
            trainer.test(trainer.lightning_module, loader, verbose=False)
    assert signals.events.count("test start") == 1


def test_no_signal_stops_nothing(fit: Any):
    signals, interruption = Signals(signal.SIGINT, {}), Interruption()
    with listening(interruption.receive):
        trainer = fit(signals, interruption, epochs=2)
    assert trainer.global_step == signals.events.count("step") == 6


def test_a_fit_in_another_thread_listens_to_nothing(fit: Any):
    """Python hands signals to the main thread alone; a run elsewhere still works."""
    done: list[int] = []

    def run() -> None:
        interruption = Interruption()
        with listening(interruption.receive):
            done.append(fit(interruption).global_step)

    before = [signal.getsignal(number) for number, _ in EXIT_CODES]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [3]
    assert [signal.getsignal(number) for number, _ in EXIT_CODES] == before
