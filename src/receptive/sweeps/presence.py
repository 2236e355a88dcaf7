"""Who runs a sweep: so long as a driver, the command that does, is alive it holds a lock in the sweep's folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from receptive.files import locked, try_lock, wait_for_lock, write_atomically

_LOCK, _LIST = "driver.lock", "drivers"  # the list: a line a driver, its machine and process


@contextmanager
def driving(root: Path) -> Iterator[None]:
    """Be a driver of the sweep in this folder, beside others; the kernel lets go when the process dies."""
    me = f"{socket.gethostname()} {os.getpid()}"
    with open(root / _LOCK, "a") as file:
        with locked(root / "sweep.lock"):
            others = _listed(root) if is_driven(root) else []  # else they were killed
            wait_for_lock(file.fileno(), fcntl.LOCK_SH)
            _write(root, [*others, me])
        try:
            yield
        finally:
            with locked(root / "sweep.lock"):
                _write(root, [line for line in _listed(root) if line != me])


def is_driven(root: Path) -> bool:
    """Whether any driver of this sweep is alive."""
    try:
        with open(root / _LOCK) as file:
            return not try_lock(file.fileno())
    except OSError:
        return False


def drivers(root: Path) -> list[tuple[str, int]]:
    """Machine and process of the drivers that are alive, as far as can be told from here."""
    if not is_driven(root):
        return []
    return [(host, int(pid)) for host, _, pid in (line.rpartition(" ") for line in _listed(root))]


def _listed(root: Path) -> list[str]:
    try:
        return (root / _LIST).read_text().splitlines()
    except FileNotFoundError:
        return []


def _write(root: Path, lines: list[str]) -> None:
    if lines:
        write_atomically(root / _LIST, "".join(f"{line}\n" for line in lines))
    else:
        (root / _LIST).unlink(missing_ok=True)
