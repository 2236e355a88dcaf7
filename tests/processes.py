"""Real processes that tests start and wait for: none outlives its block, and no wait is without an end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from receptive.ranks.team import LEADER


@contextmanager
def started(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process, with pipes unless `options` of Popen say else; at the end it is killed, and what it has started."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen([str(word) for word in command], **(pipes | options))
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> tuple[str | None, str | None]:
    """Kill a process and what it has started; gives what it still had to say."""
    found = descendants(process.pid) if process.poll() is None else []
    process.kill()
    for pid in found:
        kill(pid)
    with suppress(ValueError):  # its pipes were read to their end and closed
        return process.communicate(timeout=60)
    return None, None


def kill(pid: int) -> None:
    """SIGKILL to a process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_for(
    condition: Callable[[], object], *processes: subprocess.Popen[str], what: str = "", seconds: float = 120
) -> None:
    """Wait until it holds; fails where it takes longer, or one of the processes ends before."""
    deadline = time.monotonic() + seconds
    while not condition():
        gone = [process.returncode for process in processes if process.poll() is not None]
        if gone or time.monotonic() > deadline:
            said = [end(process) for process in processes]
            pytest.fail(f"it did not come to pass: {what or condition}; ended with {gone}; {said}")
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    return [found for child in _children(pid) for found in (child, *descendants(child))]


def _children(pid: int) -> list[int]:
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(word) for text in tasks for word in text.split()]


def other_ranks(pid: int) -> list[int]:
    """The ranks that rank 0 has started, and nothing else that it has, as `ldconfig` by the import of torch."""
    return [child for child in _children(pid) if LEADER.encode() in _environment(child)]


def _environment(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def alive(pid: int) -> bool:
    """Whether a process is there, and not only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_until(screen: int, word: bytes | None, seconds: float = 120) -> bytes:
    """What is written to a terminal until a word comes; None: until its other end is closed."""
    said, deadline = b"", time.monotonic() + seconds
    while word is None or word not in said:
        if not select.select([screen], [], [], max(0, deadline - time.monotonic()))[0]:
            pytest.fail(f"nothing more for long: {said.decode(errors='replace')}")
        try:
            part = os.read(screen, 4096)
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        said += part
    return said
