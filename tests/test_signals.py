"""Signals as one exception, and handlers that are put back."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from receptive.signals import STOPPING, Interrupted, interrupt, listening, postponed

EXIT_CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGUSR2, 140)]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every test leaves the handlers as it found them."""
    before = [signal.getsignal(number) for number in STOPPING]
    yield
    assert [signal.getsignal(number) for number in STOPPING] == before


@pytest.mark.parametrize(("number", "exit_code"), EXIT_CODES)
def test_a_signal_becomes_an_exception_with_its_exit_code(number: signal.Signals, exit_code: int) -> None:
    with pytest.raises(Interrupted, match=f"stopped by {number.name}") as stop, listening():
        os.kill(os.getpid(), number)
        pytest.fail("still here")
    assert stop.value.exit_code == exit_code
    assert stop.value.signal is number


def test_what_catches_errors_does_not_catch_it() -> None:
    with pytest.raises(Interrupted):
        try:
            interrupt(signal.SIGTERM)
        except Exception:
            pytest.fail("caught")


@pytest.mark.parametrize("number", STOPPING)
def test_signals_go_to_the_receiver(number: signal.Signals) -> None:
    received: list[int] = []
    with listening(received.append):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert received == [number, number]


def test_a_postponed_signal_comes_at_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(Interrupted, match="SIGUSR2"), listening():
        with postponed():
            os.kill(os.getpid(), signal.SIGUSR2)
            done.append("in the block")
        pytest.fail("after it")
    assert done == ["in the block"]


def test_a_postponed_signal_comes_after_an_error_too() -> None:
    received: list[int] = []
    with listening(received.append):
        with pytest.raises(OSError, match="full"), postponed():
            os.kill(os.getpid(), signal.SIGTERM)
            raise OSError("full")
        assert received == [signal.SIGTERM]


def test_listening_can_be_nested() -> None:
    outer: list[int] = []
    inner: list[int] = []
    with listening(outer.append):
        with listening(inner.append):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert (outer, inner) == ([signal.SIGINT], [signal.SIGTERM])


def test_handlers_are_put_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="wrong"), listening():
        raise ValueError("wrong")


def test_another_thread_changes_no_handler() -> None:
    found: list[bool] = []

    def run() -> None:
        before = [signal.getsignal(number) for number in STOPPING]
        with listening():
            found.append([signal.getsignal(number) for number in STOPPING] == before)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [True]


INTERRUPTED_IMPORT = """
import signal
try:
    signal.raise_signal(signal.{name})
except BaseException:
    raise ImportError("as compiled modules do it") from None
"""


@pytest.mark.parametrize("number", STOPPING)
def test_an_import_is_not_torn(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal counts once the module is there."""
    module = f"torn_by_{number.name.lower()}"
    (tmp_path / f"{module}.py").write_text(INTERRUPTED_IMPORT.format(name=number.name))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}"), listening():
        __import__(module)
        time.sleep(10)
    assert sys.modules.pop(module)
