"""The process that mirrors this process's runs to W&B: started with the first of them, fed requests, never waited for
but once, at the end, for a bounded time. Imports neither torch nor wandb.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from receptive.files import last_line
from receptive.signals import Interrupted
from receptive.tracking.options import keep_below

PATIENCE = 18.0  # seconds in which all that waits must be sent, at the end of the process
_SLICE = 0.1  # seconds after which a signal is noticed
_LEAVE = 2.0  # seconds for the companion to end when it has told all

Answer = Mapping[str, Any]


class Companion:
    """A `receptive.tracking.follower`.

    Args:
        outputs: folder below which the client keeps its cache.
        hear: gets each answer, in a thread of its own.
        asked: the user wants what there is to be sent now, see `mode.choose_mode`.
        agent: its run is that of W&B's own sweep agent, which names it in the environment.

    Attributes:
        fault: why `dismiss` gave folders.
    """

    def __init__(
        self, outputs: Path, hear: Callable[[Answer], None], *, asked: bool = False, agent: bool = False
    ) -> None:
        self._hear = hear
        self._open: set[str] = set()  # folders that were asked for and not told to be at their end
        self.fault = ""
        self._changed = threading.Condition()
        # what it dies of, and what libraries print; closed by dismiss
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self._ended = False  # nothing more will be told
        self._process = subprocess.Popen(
            [sys.executable, "-m", "receptive.tracking.follower", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=_environment(outputs, asked, agent),
            start_new_session=True,  # a Ctrl-C is for the training, which tells of its end
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, ask: str, folder: Path, **more: Any) -> None:
        """Send a request, see `follower.Follower`; one that cannot be taken at once ends the companion."""
        assert self._process.stdin is not None
        with self._changed:
            self._open.add(str(folder))
        line = (json.dumps({"ask": ask, "folder": str(folder), **more}) + "\n").encode()
        try:
            taken = os.write(self._process.stdin.fileno(), line)
        except OSError:  # it is gone, or has taken nothing for hundreds of requests
            taken = 0
        if taken < len(line):  # what comes after half a line would not be understood
            self._process.kill()

    def wait_for(self, folder: Path, seconds: float) -> bool:
        """Whether the end of a folder's run was told within some seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: str(folder) not in self._open or self._ended, seconds)

    def dismiss(self, seconds: float = PATIENCE) -> list[str]:
        """Let it finish, for a bounded time; gives the folders whose end was not told.

        A signal ends the waiting, and nothing else: what was trained is done.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            if self._process.wait(_LEAVE if self._all_told(seconds) else 0.0):
                self.fault = f"the mirror has died ({self._last_words() or f'code {self._process.returncode}'})"
        except subprocess.TimeoutExpired:
            self.fault = f"no end within {seconds:.0f} s"
            end_children(self._process.pid)
            self._process.kill()
            self._process.wait()
        except (Interrupted, KeyboardInterrupt):
            self.fault = "not waited for"  # it goes on by itself
        self._listener.join(1.0)
        self._complaints.close()
        return sorted(self._open)

    def _all_told(self, seconds: float) -> bool:
        """Whether nothing more is to be heard, within some seconds; a signal that another thread gets ends it too."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (told := not self._open or self._ended) and time.monotonic() < deadline:
                self._changed.wait(_SLICE)
        return told

    def _last_words(self) -> str:
        """Of what it has died: the last line of a traceback."""
        return "" if self._complaints.closed else last_line(self._complaints)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                answer = json.loads(line)
                with contextlib.suppress(Exception):  # a console that is gone: what follows is to be heard all the same
                    self._hear(answer)
                if answer["event"] in ("closed", "lost"):  # only now: who waits for it looks at what was heard
                    with self._changed:
                        self._open.discard(answer["folder"])
                        self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def end_children(pid: int) -> None:
    """End the processes that a process has started: the client's own one outlives it, and sends for hours what it has.

    Where there is no /proc it is left to itself.
    """
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                os.kill(int(child), signal.SIGKILL)


def _environment(outputs: Path, asked: bool, agent: bool) -> dict[str, str]:
    """Nothing is said, nothing lies below the home folder unless the user wants it there."""
    known = dict(os.environ)
    if asked:
        for variable in ("WANDB_MODE", "WANDB_DISABLED", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"):
            known.pop(variable, None)
    if "WANDB_MODE" in known:
        known["WANDB_MODE"] = known["WANDB_MODE"].lower()  # the client knows no other
    known.pop("WANDB_SERVICE", None)  # the client's process of another program
    known |= keep_below(outputs)
    known.setdefault("WANDB_ERROR_REPORTING", "false")
    if not asked:
        known.setdefault("WANDB_HTTP_TIMEOUT", "5")  # seconds; with those of a run's end less than PATIENCE
    if not agent:  # these are of one run; every run has its own
        for variable in ("WANDB_RUN_ID", "WANDB_NAME", "WANDB_RESUME", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"):
            known.pop(variable, None)
    return known | {"WANDB_SILENT": "true"}
