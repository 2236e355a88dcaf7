"""Who works in a folder: a lock of the kernel's, and for those whom it does not reach a heartbeat.

Between the nodes of a cluster `flock` holds on some network file systems and on others not, and some refuse it. So who
holds the lock also touches its file every few seconds.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from receptive.files import try_lock

BEAT = 10.0  # seconds between two
DEAD = 45.0  # seconds without one after which nobody is there; clocks of the nodes may differ by some
_PATIENCE = 0.5  # seconds; a reader of the state holds the lock for microseconds


class Taken(Exception):
    """Another process holds the lock."""


@contextmanager
def leased(path: Path) -> Iterator[None]:
    """Hold a lock file and touch it now and then; the kernel lets go when the process dies.

    Raises:
        Taken: another process holds it.
    """
    with open(path, "a") as file:
        deadline = time.monotonic() + _PATIENCE
        while not try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise Taken(str(path))
            time.sleep(0.02)
        ended = threading.Event()
        beats = threading.Thread(target=_beat, args=(path, ended), daemon=True)
        beats.start()
        try:
            yield
        finally:
            ended.set()
            beats.join()


def is_leased(path: Path) -> bool:
    """Whether a process that this machine's kernel knows of holds the lock; raises OSError for another user's file."""
    try:
        with open(path) as file:
            return not try_lock(file.fileno(), fcntl.LOCK_SH)  # shared: two that look do not see one another
    except FileNotFoundError:
        return False


def knows_locks(path: Path) -> bool:
    """Whether the file system has locks at all; where it refuses them only the heartbeat tells."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    except OSError:
        return False
    return True


def is_beating(path: Path) -> bool:
    """Whether the lock file was touched a short while ago."""
    try:
        return time.time() - path.stat().st_mtime < DEAD
    except OSError:
        return False


def _beat(path: Path, ended: threading.Event) -> None:
    while True:
        with suppress(OSError):  # the folder may have vanished: the run notices it
            os.utime(path)
        if ended.wait(BEAT):
            return
