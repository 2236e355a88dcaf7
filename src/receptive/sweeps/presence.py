"""Who runs a sweep: so long as a driver, the command that does, is alive it holds a lock of its own in the folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from receptive.files import locked, try_lock
from receptive.lease import is_leased

_NAME = "driver-{}-{}.lock"  # its machine and process; in containers several may have the same


@contextmanager
def driving(root: Path) -> Iterator[None]:
    """Be a driver of the sweep in this folder, beside others; the kernel lets go when the process dies."""
    with ExitStack() as stack:
        with locked(root / "sweep.lock"):  # else another driver takes the file for that of a dead one, before its lock
            for path in root.glob(_NAME.format("*", "*")):
                if not _is_held(path):  # it was killed
                    path.unlink(missing_ok=True)
            number = f"{os.getpid()}"
            while (own := root / _NAME.format(socket.gethostname(), number)).exists():
                number += "+"
            try_lock(stack.enter_context(open(own, "a")).fileno())
        stack.callback(own.unlink, missing_ok=True)
        yield


def is_driven(root: Path) -> bool:
    """Whether any driver of this sweep is alive."""
    return bool(drivers(root))


def drivers(root: Path) -> list[tuple[str, int]]:
    """Machine and process of the drivers that are alive, as far as can be told from here."""
    held = sorted(path for path in root.glob(_NAME.format("*", "*")) if _is_held(path))
    names = (path.stem.rstrip("+").removeprefix("driver-").rpartition("-") for path in held)
    return [(host, int(pid)) for host, _, pid in names if pid.isdecimal()]


def _is_held(path: Path) -> bool:
    try:
        return is_leased(path)
    except OSError:  # another user's
        return True
