"""At which point of a real fit a real signal stops it."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from receptive.callbacks.checkpoints import RunCheckpoints
from receptive.callbacks.interruption import Interruption
from receptive.signals import Interrupted, listening, take_held

USR1 = signal.SIGUSR1
EXIT_CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGUSR2, 140)]


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

    def on_validation_end(self, *_: Any) -> None:
        self.note("validation end")

    def on_train_epoch_end(self, *_: Any) -> None:
        self.note("epoch end")

    def on_save_checkpoint(self, *_: Any) -> None:
        self.note("save")

    def on_test_batch_start(self, *arguments: Any) -> None:
        self.note("test start")


@pytest.fixture
def stopped(fit: Any, tmp_path: Path) -> Callable[..., list[str]]:
    """The events of a fit that signals stop; what is saved when it ends holds all steps that were done."""

    def run(number: int, at: dict[str, int], exit_code: int, *, epochs: int = 1, saved: bool = True) -> list[str]:
        before = signal.getsignal(number)
        signals, interruption = Signals(number, at), Interruption()
        with pytest.raises(Interrupted) as stop, listening(interruption.receive):
            fit(signals, interruption=interruption, epochs=epochs)
        assert stop.value.exit_code == exit_code
        assert signal.getsignal(number) == before
        if saved:
            assert "save" in signals.events[-2:]  # last.ckpt, at the end of an epoch best.ckpt too
            signals.events[:] = [event for event in signals.events if event != "save"]
            state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
            assert state["global_step"] == signals.events.count("step")
        return signals.events

    return run


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_in_training_it_waits_for_the_end_of_the_batch(stopped: Any, number: int, exit_code: int) -> None:
    events = stopped(number, {"train 1 start": 1}, exit_code)
    assert events == ["train 0 start", "step", "train 0 end", "train 1 start", "step", "train 1 end"]


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_a_second_signal_stops_at_once(stopped: Any, number: int, exit_code: int) -> None:
    events = stopped(number, {"train 1 start": 2}, exit_code, saved=False)
    assert events == ["train 0 start", "step", "train 0 end", "train 1 start"]


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
@pytest.mark.parametrize("event", ["train 2 start", "train 2 end", "validation 1 start", "validation end"])
def test_in_the_last_batch_and_in_validation_it_waits_for_the_end_of_the_epoch(
    stopped: Any, number: int, exit_code: int, event: str
) -> None:
    """What is saved between the two would neither be the old epoch's nor the new one's."""
    events = stopped(number, {event: 1}, exit_code, epochs=2)
    assert events.count("step") == 3
    assert events[-3:] == ["validation 2 end", "validation end", "epoch end"]


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_twice_in_validation_it_stops_at_once(stopped: Any, number: int, exit_code: int) -> None:
    events = stopped(number, {"validation 1 start": 2}, exit_code, saved=False)
    assert events[-2:] == ["validation 0 end", "validation 1 start"]


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
@pytest.mark.parametrize(("hook", "at", "steps"), [("batch", 2, 3), ("batch", 4, 5), ("epoch", 3, 4), ("epoch", 6, 6)])
def test_a_signal_after_the_checkpoints_turn_is_not_forgotten(
    stopped: Any, monkeypatch: pytest.MonkeyPatch, number: int, exit_code: int, hook: str, at: int, steps: int
) -> None:
    """The next batch is the last one. Lightning's own SystemExit for SIGTERM would end the process with 0."""
    kept = getattr(RunCheckpoints, f"on_train_{hook}_end")

    def late(self: RunCheckpoints, trainer: pl.Trainer, *arguments: Any) -> None:
        kept(self, trainer, *arguments)
        if trainer.global_step == at:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(RunCheckpoints, f"on_train_{hook}_end", late)
    assert stopped(number, {}, exit_code, epochs=2).count("step") == steps


@pytest.mark.parametrize(("number", "exit_code"), [(number, code) for number, code in EXIT_CODES if number != USR1])
def test_before_training_it_stops_at_once(number: int, exit_code: int) -> None:
    interruption = Interruption()
    with pytest.raises(Interrupted) as stop, listening(interruption.receive):
        os.kill(os.getpid(), number)
        pytest.fail("still here")
    assert stop.value.exit_code == exit_code


def test_that_time_is_nearly_up_waits_for_the_first_batch(fit: Any) -> None:
    """A cluster tells it some time before: enough to have something to go on from."""
    signals, interruption = Signals(USR1, {}), Interruption()
    with pytest.raises(Interrupted) as stop, listening(interruption.receive):
        os.kill(os.getpid(), USR1)
        fit(signals, interruption=interruption)
    assert stop.value.exit_code == 138
    assert signals.events == ["train 0 start", "step", "train 0 end", "save"]
    assert take_held() is None


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_a_signal_while_training_begins_is_not_forgotten(
    stopped: Any, monkeypatch: pytest.MonkeyPatch, number: int, exit_code: int
) -> None:
    def late() -> int | None:
        os.kill(os.getpid(), number)
        return take_held()

    monkeypatch.setattr("receptive.callbacks.interruption.take_held", late)
    assert stopped(number, {}, exit_code) == ["train 0 start", "step", "train 0 end"]


def test_told_twice_before_training_it_stops_at_once() -> None:
    interruption = Interruption()
    with pytest.raises(Interrupted), listening(interruption.receive):
        os.kill(os.getpid(), USR1)
        os.kill(os.getpid(), USR1)
        pytest.fail("still here")
    assert take_held() == USR1


def test_after_training_it_stops_at_once(fit: Any) -> None:
    signals, interruption = Signals(signal.SIGINT, {"test start": 1}), Interruption()
    with listening(interruption.receive):
        trainer = fit(signals, interruption=interruption)
        loader = trainer.val_dataloaders
        with pytest.raises(Interrupted):
            trainer.test(trainer.lightning_module, loader, verbose=False)
    assert signals.events.count("test start") == 1


def test_no_signal_stops_nothing(fit: Any) -> None:
    signals, interruption = Signals(signal.SIGINT, {}), Interruption()
    with listening(interruption.receive):
        trainer = fit(signals, interruption=interruption, epochs=2)
    assert trainer.global_step == signals.events.count("step") == 6


def test_a_fit_in_another_thread_listens_to_nothing(fit: Any) -> None:
    """Python hands signals to the main thread alone; a run elsewhere still works."""
    done: list[int] = []

    def run() -> None:
        interruption = Interruption()
        with listening(interruption.receive):
            done.append(fit(interruption=interruption).global_step)

    before = [signal.getsignal(number) for number, _ in EXIT_CODES]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [3]
    assert [signal.getsignal(number) for number, _ in EXIT_CODES] == before
