"""Whether a driver, the command that runs a sweep, is alive: so long it holds a lock in the sweep's folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "driver.lock"


@contextmanager
def driving(root: Path) -> Iterator[None]:
    """Be a driver of the sweep in this folder, beside others; the kernel lets go when the process dies."""
    with open(root / _NAME, "a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_driven(root: Path) -> bool:
    """Whether any driver of this sweep is alive."""
    try:
        with open(root / _NAME) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
