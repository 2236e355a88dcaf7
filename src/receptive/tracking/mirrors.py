"""The mirrors of this process's runs: what they are asked, what is said of them. Imports neither torch nor wandb."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from receptive.manifest import Manifest
from receptive.runs import Run, State, shown
from receptive.tracking.companion import Answer, Companion
from receptive.tracking.record import Record


class Mirrors:
    """One run after the other, and what is said of them on a console; nothing here raises or waits but `dismiss`."""

    def __init__(self) -> None:
        self._companion: Companion | None = None
        self._console = Console(quiet=True)
        self._current: Path | None = None  # folder of the run that is followed
        self._offline: list[str] = []  # folders
        self._lost: dict[str, str] = {}  # folder -> why
        atexit.register(self.dismiss)

    def begin(self, run: Run, outputs: Path, console: Console) -> None:
        """Follow a run that this process trains."""
        self._console = console
        try:
            if self._companion is not None and not self._companion.alive:
                self._collect(self._companion)
                self._companion = None
            if self._companion is None:
                self._companion = Companion(outputs, self._hear)
            self._companion.ask("open", run.folder, pid=os.getpid())
            self._current = run.folder
        except OSError as error:
            self._say(f"no mirror: {error}")

    def end(self, run: Run, state: State) -> None:
        """A run has ended, as its status.json says, whether it was followed or not."""
        if self._companion is not None and self._current == run.folder:
            self._current = None
            self._companion.ask("close", run.folder, state=state)

    def send_tables(self, root: Path, console: Console) -> None:
        """Send the tables of a sweep's report, where its runs are in W&B, and tell where they all are."""
        self.dismiss()  # what is said of a single job is not said of a sweep's
        runs = [entry.run(root) for entry in Manifest.read(root).entries.values()]
        records = {run: record for run in runs if (record := Record.read(run.folder)).id}
        if not records:
            return
        self._console = Console(quiet=True)
        with contextlib.suppress(OSError):  # then its record says that nothing was sent
            self._companion = Companion(Path(next(iter(records)).config().paths.output_dir), self._hear)
            self._companion.ask("table", root)
        self.dismiss()
        self._console = console
        for text in _told_of_sweep(root, list(records.values()), Record.read(root)):
            self._say(text)

    def dismiss(self) -> None:
        """Wait until all is sent, for a bounded time, and tell what was not."""
        if self._companion is None:
            return
        companion, self._companion = self._companion, None
        self._collect(companion)
        told, self._offline, self._lost = {**dict.fromkeys(self._offline, ""), **self._lost}, [], {}
        for folder, why in told.items():
            command = f"receptive wandb sync {shlex.quote(shown(Path(folder)))}"
            self._say(f"{why}; {command} sends it" if why else f"{command} sends it")

    def _collect(self, companion: Companion) -> None:
        """Let a companion finish; remember what it did not."""
        for folder in companion.dismiss():
            self._lost.setdefault(folder, companion.fault)

    def _hear(self, answer: Answer) -> None:
        if answer["event"] == "open":
            online = answer["kind"] == "online"
            self._say(answer["url"] if online else f"recorded offline: {answer['why']}")
        elif answer["event"] == "lost":
            self._lost[answer["folder"]] = answer["why"]
        elif answer["kind"] == "offline":
            self._offline.append(answer["folder"])

    def _say(self, text: str) -> None:
        self._console.print(f"{'W&B':<8} {text}", highlight=False, soft_wrap=True)


def _told_of_sweep(root: Path, runs: Sequence[Record], tables: Record) -> list[str]:
    """What is to be said of a sweep's pages at its end."""
    complete = [record for record in runs if record.kind == "online" and record.digest]
    lacking = [record for record in (*runs, tables) if not (record.kind == "online" and record.digest)]
    lines = [f"{len(complete)} of {len(runs)} runs; the sweep's tables: {tables.url}"] if complete else []
    if lacking:
        count = len(runs) - len(complete)
        why = next((record.why for record in lacking if record.why), "the mirror has died")
        what = f"{count} run{'s' if count != 1 else ''}" if count else "the tables"
        lines.append(f"{what} recorded offline: {why}")
        lines.append(f"receptive wandb sync {shlex.quote(shown(root))} sends them")
    return lines


MIRRORS = Mirrors()
