"""The mirrors of this process's runs: what they are asked, what is said of them. Imports neither torch nor wandb."""

from __future__ import annotations

import atexit
import os
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from receptive.console import new_console
from receptive.errors import InputError
from receptive.manifest import Manifest
from receptive.runs import Run, State, shown
from receptive.tracking.companion import PATIENCE, Answer, Companion
from receptive.tracking.identity import id_of_agent
from receptive.tracking.options import switched_off
from receptive.tracking.record import Record, digest_of_run


class Mirrors:
    """One run after the other, and what is said of them on a console; nothing here raises or waits but `dismiss`."""

    def __init__(self) -> None:
        self._companion: Companion | None = None
        self._console = new_console(quiet=True)
        self._current: Path | None = None  # folder of the run that is followed
        self._offline: list[str] = []  # folders
        self._lost: dict[str, str] = {}  # folder -> why
        atexit.register(self.dismiss)

    def begin(self, run: Run, outputs: Path, console: Console) -> None:
        """Follow a run that this process trains."""
        if switched_off():
            return
        self._console = console
        try:
            if self._companion is not None and not self._companion.alive:
                self.dismiss()  # tells what it has left undone
            if self._companion is None:
                self._companion = Companion(outputs, self._hear, agent=id_of_agent(run) is not None)
            self._companion.ask("open", run.folder, pid=os.getpid())
            self._current = run.folder
        except (OSError, RuntimeError) as error:  # no more processes, no more threads
            self._say(f"no mirror: {error}")

    def end(self, run: Run, state: State) -> None:
        """A run has ended, as its status.json says, whether it was followed or not."""
        if self._companion is not None and self._current == run.folder:
            self._current = None
            self._companion.ask("close", run.folder, state=state)

    def send_tables(self, root: Path, console: Console, asked: bool) -> None:
        """Send the tables of a sweep's report, where its runs are in W&B, and tell where they all are.

        Args:
            root: the sweep's folder.
            console: is told.
            asked: the command names W&B; then runs are told of too that were trained without it.
        """
        if switched_off():
            return
        deadline = time.monotonic() + PATIENCE
        self._console = new_console(quiet=True)  # what is said of a single job is not said of a sweep's
        self.dismiss()
        runs = [entry.run(root) for entry in Manifest.read(root).entries.values()]
        known = [run for run in runs if run.status().wandb_id is not None]  # a mirror that died at once left no record
        fault = ""
        if known:
            try:
                self._companion = companion = Companion(Path(known[0].config().paths.output_dir), self._hear)
                companion.ask("table", root)
                self.dismiss(max(0.0, deadline - time.monotonic()))
                fault = companion.fault
            except (OSError, RuntimeError, InputError) as error:
                fault = str(error)
        self._console = console
        for text in _told_of_sweep(root, runs if asked else known, Record.read(root), fault):
            self._say(text)

    def tell(self, run: Run, console: Console) -> None:
        """Say how a run that has ended long since comes to W&B, where it is not there."""
        self._console = console
        if not switched_off() and not Record.read(run.folder).has(digest_of_run(run)):
            self._say(f"receptive wandb sync {shlex.quote(shown(run.folder))} sends it")

    def dismiss(self, seconds: float = PATIENCE) -> None:
        """Wait until all is sent, for a bounded time, and tell what was not."""
        if self._companion is None:
            return
        companion, self._companion = self._companion, None
        for folder in companion.dismiss(seconds):
            self._lost.setdefault(folder, companion.fault)
        told, self._offline, self._lost = {**dict.fromkeys(self._offline, ""), **self._lost}, [], {}
        for folder, why in told.items():
            command = f"receptive wandb sync {shlex.quote(shown(Path(folder)))}"
            self._say(f"{why}; {command} sends it" if why else f"{command} sends it")

    def _hear(self, answer: Answer) -> None:
        if answer["event"] == "open":
            online = answer["kind"] == "online"
            self._say(answer["url"] if online else f"recorded offline: {answer['why']}")
        elif answer["event"] == "lost":
            self._lost[answer["folder"]] = answer["why"]
        elif answer["kind"] == "offline":
            self._offline.append(answer["folder"])

    def _say(self, text: str) -> None:
        self._console.print(f"{'W&B':<8} {text}")


def _told_of_sweep(root: Path, runs: Iterable[Run], tables: Record, fault: str) -> list[str]:
    """What is to be said of a sweep's pages at its end; `fault`: of the process that was to send the tables."""
    records = {run: Record.read(run.folder) for run in runs if run.state() not in ("waiting", "running")}
    lacking = [record for run, record in records.items() if not record.has(digest_of_run(run))]
    complete = len(records) - len(lacking)
    where = f"; the sweep's tables: {tables.url}" if tables.url else ""
    lines = [f"{complete} of {len(records)} runs{where}"] if complete else []
    if count := len(lacking):
        what = f"{count} run{'s' if count != 1 else ''}"
    elif records and not (tables.kind == "online" and tables.digest):
        what, lacking = "the tables", [tables]
    else:
        return lines
    recorded = all(record.kind == "offline" and record.digest for record in lacking)
    why = next((record.why for record in lacking if record.why), fault)
    told = f"{what} {'recorded offline' if recorded else 'not in W&B, or not all of it'}"
    return [*lines, f"{told}: {why}" if why else told, f"receptive wandb sync {shlex.quote(shown(root))} sends them"]


MIRRORS = Mirrors()
