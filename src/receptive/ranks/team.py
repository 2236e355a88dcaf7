"""The processes that rank 0 has started: their variables, their watch, their end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

from receptive.runs import Run
from receptive.signals import Interrupted, signal_name

Parting = Literal["wait", "ask", "kill"]  # what becomes of the others where rank 0 ends
LEADER = "RECEPTIVE_LEADER"  # the process that started this one, in its environment
_GRACE = 10.0  # seconds in which a process that has gone is noticed by those that wait for it
_PATIENCE = 30.0  # seconds that a process has to leave by itself
_ASKED = 5.0  # seconds that it has after SIGTERM: it writes nothing, and may be where it heeds none
_LOOK = 0.1  # seconds between two looks


class RankLost(Exception):
    """A process of the run has gone.

    Args:
        state: what that makes of the run: interrupted where it was killed, failed where it failed.
        cause: in a line.
    """

    def __init__(self, state: Literal["failed", "interrupted"], cause: str) -> None:
        super().__init__(cause)
        self.state = state


class Team:
    """All processes of a run but rank 0, on this machine, watched by a thread.

    Where one has gone and rank 0 takes no notice, because what it waits for never comes, `abandon` is called and this
    process ends.

    Args:
        ranks: number of processes, rank 0 among them.
        port: where rank 0 listens.
        run: whose log gets their stderr.
        abandon: writes how the run ended.

    Attributes:
        watching: false once nobody is needed any more.
        lost: set when a process has gone while it was needed.
    """

    def __init__(self, ranks: int, port: int, run: Run, abandon: Callable[[RankLost], None]) -> None:
        self.watching = True
        self.lost: RankLost | None = None
        self._abandon = abandon
        self._noticed = threading.Event()
        self._processes = {rank: _start(rank, ranks, port, run) for rank in range(1, ranks)}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def lost_soon(self) -> RankLost | None:
        """The lost process that an error of the connection comes from, which may be seen later than the error."""
        self._noticed.set()
        deadline = time.monotonic() + _GRACE
        while self.lost is None and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return self.lost

    def _watch(self) -> None:
        running = dict(self._processes)
        while self.watching and running:
            for rank, process in list(running.items()):
                if process.poll() is not None:
                    del running[rank]
                    if (lost := _lost(rank, process)) is not None and self.watching:
                        self.lost = lost
                        self._expect_notice(lost)
                        return
            time.sleep(_LOOK)

    def _expect_notice(self, lost: RankLost) -> None:
        if self._noticed.wait(_GRACE) or not self.watching:
            return
        try:
            self._abandon(lost)
        finally:
            for process in self._processes.values():
                process.kill()
            os._exit(1)

    def end(self, parting: Parting) -> None:
        """Wait for all to leave; those that are asked first get SIGTERM and are killed where they do not heed it.

        Raises:
            Interrupted: a signal came that is not the second one; all have ended.
        """
        self.watching = False
        self._noticed.set()
        for process in self._processes.values():
            if parting != "wait":
                process.send_signal(signal.SIGTERM if parting == "ask" else signal.SIGKILL)
        deadline = time.monotonic() + (_ASKED if parting == "ask" else _PATIENCE)
        stopped: Interrupted | None = None
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
            except Interrupted as stop:
                stopped, deadline = stop, time.monotonic()
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
        self._thread.join()
        if stopped is not None and parting != "ask":  # else it is the second signal
            raise stopped


def _start(rank: int, ranks: int, port: int, run: Run) -> subprocess.Popen[str]:
    """A process with torchrun's variables. It lives as long as its stdin: `receptive.ranks.world.end_with_leader`."""
    variables = {
        **{"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": ranks, "GROUP_RANK": 0},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, LEADER: os.getpid()},
    }
    with open(run.log_path, "ab") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "receptive.job", str(run.folder.absolute())],
            env={**os.environ, **{key: str(value) for key, value in variables.items()}},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # a Ctrl-C reaches rank 0 alone, which stops all in order
        )


def _lost(rank: int, process: subprocess.Popen[str]) -> RankLost | None:
    """What the end of a process means; None where it has come to its end."""
    code = process.returncode
    if code == 0:
        return None
    if code < 0:
        return RankLost("interrupted", f"rank {rank} was killed by {signal_name(-code)}")
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        state, _, cause = process.stdout.read().strip().rpartition("\n")[2].partition(" ")
        if state == "failed" and cause:
            return RankLost("failed", f"rank {rank}: {cause}")
    if code - 128 in {int(number) for number in signal.Signals}:
        return RankLost("interrupted", f"rank {rank} was stopped by {signal_name(code - 128)}")
    return RankLost("failed", f"rank {rank} ended with code {code}; see log.txt")
