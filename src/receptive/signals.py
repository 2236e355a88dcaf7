"""The signals that stop a process as one exception with the right exit code."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# USR1 and USR2 are how cluster schedulers tell that a job will be stopped or moved
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_IMPORTING = "<frozen importlib._bootstrap"  # the file of the frames that carry out an import
_AGAIN = 0.05  # seconds after which a signal that came during an import comes again


class Interrupted(BaseException):
    """A signal asked the process to stop. Not an Exception: only the end of a run or sweep may catch it."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        self.remedy = "the same command goes on"  # said to the user
        super().__init__(f"stopped by {self.signal.name}")

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + int(self.signal)


def signal_name(number: int) -> str:
    """SIGKILL of 9; of one that has no name, such as most real-time signals, `signal 53`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def interrupt(number: int) -> None:
    """The plainest way to receive a signal: stop here."""
    raise Interrupted(number)


_held: list[int] = []


def hold(number: int) -> None:
    """Receive a signal before a run trains: that its time is nearly up can wait until there is something to save."""
    if number != signal.SIGUSR1 or _held:
        raise Interrupted(number)
    _held.append(number)


def take_held() -> int | None:
    """The signal that `hold` keeps, which is forgotten with this."""
    return _held.pop() if _held else None


@contextmanager
def listening(receive: Callable[[int], None] = interrupt) -> Iterator[None]:
    """Give the STOPPING signals to `receive` while the block runs (in the main thread; elsewhere nothing changes).

    One that comes while a module is imported comes again until it is not: compiled modules turn an exception that meets
    them into an ImportError, or swallow it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if not _imports(frame):
            receive(number)
            return
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    before = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def postponed() -> Iterator[None]:
    """Let the STOPPING signals wait for the end of the block, as where a process is started (in the main thread).

    Where `receive` raises for one of several, the later ones are dropped.
    """
    came: list[int] = []
    try:
        with listening(came.append):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


def _imports(frame: FrameType | None) -> bool:
    """Whether what runs is part of an import."""
    while frame is not None and not frame.f_code.co_filename.startswith(_IMPORTING):
        frame = frame.f_back
    return frame is not None
