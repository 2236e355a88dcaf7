"""`python -m receptive.tracking.follower`: mirrors runs to W&B for another process, which never waits for it.

Whatever W&B does (its server hangs, its client dies, its exit hooks wait) happens here. Requests come as JSON lines on
stdin, see `receptive.tracking.companion`; all else is read from the runs' folders. When stdin ends, the process that
trained is done, or gone: a run that is still open is then ended in W&B as its folder says.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

from receptive.lease import Taken
from receptive.runs import Run, State
from receptive.tracking.companion import end_children
from receptive.tracking.mirror import RunMirror
from receptive.tracking.mode import Mode, choose_mode, words_of
from receptive.tracking.record import Record
from receptive.tracking.tables import send_tables

_LOOK = 1.0  # seconds between two looks at metrics.csv
_GRACE = 30.0  # seconds for what is left to be sent when the process that asks was killed
_NICE = 10  # the training goes before


class Follower:
    """Mirrors one run at a time; what goes wrong is answered, never raised.

    Args:
        answer: gets an answer to be sent.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], None]) -> None:
        self._answer = answer
        self._mode: Mode | None = None
        self._mirror: RunMirror | None = None
        self._why: dict[str, str] = {}  # folder -> why W&B has not all of it

    @property
    def mode(self) -> Mode:
        """Asked of the network once."""
        self._mode = self._mode or choose_mode()
        return self._mode

    @property
    def busy(self) -> bool:
        """Whether a run is open."""
        return self._mirror is not None

    def open(self, folder: str, pid: int) -> None:
        """Begin with a run that trains in the process `pid`."""
        self._begin(Run(Path(folder)), pid)

    def _begin(self, run: Run, pid: int) -> None:
        self.end()  # of a run whose end was not told: not even its state could be written
        try:
            mode = self.mode
            try:
                self._mirror = RunMirror(run, mode, pid)
            except Exception as error:
                if mode.kind == "offline" or isinstance(error, Taken) or not pid:  # not pid: it is to be sent now
                    raise
                _renew_client()
                mode = Mode("offline", _words(error))  # the next run asks the server again
                self._mirror = RunMirror(run, mode, pid)
            url = self._mirror.page.record.url
            self._answer({"event": "open", "folder": str(run.folder), "kind": mode.kind, "url": url, "why": mode.why})
        except Exception as error:
            self._lose(run.folder, error)

    def look(self) -> None:
        """Send what has come to the open run's folder."""
        if self._mirror is not None:
            with contextlib.suppress(Exception):  # a row that is being written, a client that has died: told at the end
                self._mirror.look()

    def close(self, folder: str, state: State) -> None:
        """End the open run."""
        mirror, self._mirror = self._mirror, None
        if mirror is None:
            self._answer({"event": "lost", "folder": folder, "why": self._why.get(folder, "it was not begun")})
            return
        try:
            mirror.close(state)
            kind = mirror.page.record.kind
            self._answer({"event": "closed", "folder": folder, "sent": mirror.sent, "kind": kind})
        except Exception as error:
            self._lose(Path(folder), error)

    def send(self, folder: str) -> None:
        """Bring a run that has ended up to date."""
        run = Run(Path(folder))
        self._begin(run, 0)
        if self.busy:
            self.close(folder, run.state())

    def table(self, folder: str) -> None:
        """Send a sweep's own tables."""
        try:
            new = send_tables(Path(folder), self.mode)
            self._answer({"event": "closed", "folder": folder, "sent": int(new), "kind": self.mode.kind})
        except Exception as error:
            self._lose(Path(folder), error)

    def _lose(self, folder: Path, error: Exception) -> None:
        """Note that W&B does not have all of a folder."""
        self._why[str(folder)] = _words(error)
        if not isinstance(error, Taken):
            with contextlib.suppress(OSError):
                Record.read(folder).lost(_words(error)).write(folder)
            _renew_client()
        self._answer({"event": "lost", "folder": str(folder), "why": _words(error)})

    def end(self) -> None:
        """End the run that is still open as its folder says."""
        if self._mirror is not None:
            run = self._mirror.run
            self.close(str(run.folder), run.state())


def _renew_client() -> None:
    """The next run gets a new process of the client's: this one may be dead, or try for hours to send what it has."""
    end_children(os.getpid())
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()


def _words(error: BaseException) -> str:
    if isinstance(error, Taken):
        return "another process mirrors it"
    return words_of(error)


def _requests(follower: Follower) -> None:
    """Do what stdin asks, and look at the open run between."""
    asked: dict[str, Callable[..., None]] = {
        "open": follower.open,
        "close": follower.close,
        "send": follower.send,
        "table": follower.table,
    }
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], _LOOK if follower.busy else None)
        if not ready:
            follower.look()
            continue
        if not (part := os.read(0, 65536)):
            return
        *lines, waiting = (waiting + part).split(b"\n")
        for line in lines:
            request = json.loads(line)
            asked[request.pop("ask")](**request)


def _outlive(parent: int) -> None:
    """End this process some time after the one that asks, whatever the client still waits for."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    time.sleep(_GRACE)
    end_children(os.getpid())
    os._exit(1)


def main() -> None:
    """Serve until stdin ends; signals are for the process that asks, whose id is the argument."""
    threading.Thread(target=_outlive, args=(int(sys.argv[1]),), daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))  # a packed worker's own core is for its training
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(message), file=answers, flush=True)

    follower = Follower(answer)
    _requests(follower)
    follower.end()


if __name__ == "__main__":
    main()
