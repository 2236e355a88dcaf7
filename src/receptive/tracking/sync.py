"""`receptive wandb sync`: what W&B lacks of runs that have ended, sent from their folders.

The folder is the truth: whether the offline recording of a run is whole, torn or missing, W&B gets what metrics.csv
and result.json say, and no epoch twice.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import track
from rich.text import Text

from receptive.config import fingerprint
from receptive.console import STATE_COLORS
from receptive.errors import InputError
from receptive.manifest import runs_in
from receptive.runs import Busy, Run, State, shown
from receptive.tracking.companion import Answer, Companion
from receptive.tracking.identity import new_id
from receptive.tracking.options import keep_below
from receptive.tracking.record import Record, digest_of_run

_PATIENCE = 60.0  # seconds for one run
_READING = 30.0  # seconds to look through a recording
_TRIED = 3  # runs one after the other that the server does not take, until the others are not tried


@dataclass(frozen=True)
class Sent:
    """What has become of a run.

    Args:
        run: its folder.
        state: its own.
        said: what was done, in a few words.
        well: whether W&B has all that it should.
    """

    run: Run
    state: State
    said: str
    well: bool = True


def sync(folders: Sequence[Path], console: Console) -> bool:
    """Bring W&B up to date with runs and sweeps; gives whether it has all of those that have ended.

    Raises:
        InputError: there is no run in a folder, no key, or the server does not answer.
    """
    from receptive.tracking.mode import choose_mode  # the client only now

    found = [(root, runs_of(root, console)) for root in folders]
    outputs = place_of_cache(*found[0])
    os.environ |= keep_below(outputs)
    if trouble := choose_mode(asked=True).why:
        raise InputError(f"nothing can be sent: {trouble}")
    sender = _Sender(outputs)
    well = True
    try:
        for root, runs in found:
            sent = [
                sender.send(run)
                for run in track(runs, "sending", console=console, transient=True, disable=not console.is_terminal)
            ]
            _print(sent, console)
            well = well and all(run.well for run in sent)
            if (root / "runs.csv").is_file():
                table = sender.send_tables(root)
                well = well and table.well
                console.print(f"tables of {shown(root)}: {table.said}")
    finally:
        sender.companion.dismiss()
    return well


class _Sender:
    """Sends one run after the other; one that hangs costs its own time and no other's."""

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._answers: dict[str, Answer] = {}
        self._refused = 0  # runs, one after the other
        self.companion = self._start()

    def _start(self) -> Companion:
        return Companion(self._outputs, lambda answer: self._answers.update({answer["folder"]: answer}), asked=True)

    def send(self, run: Run) -> Sent:
        """Bring a run up to date."""
        state = run.state()
        if self._refused >= _TRIED:
            return Sent(run, state, "not tried, after those above", well=False)
        if state == "running":
            return Sent(run, state, "runs still: nothing sent")
        if state == "waiting":
            return Sent(run, state, "has not begun: nothing to send")
        try:
            if Record.read(run.folder).has(digest_of_run(run)):
                return Sent(run, state, "up to date")
            recorded = recording_of(run)
            _name(run)
        except Busy:
            return Sent(run, state, "runs still: nothing sent")
        except (InputError, OSError) as error:
            return Sent(run, state, f"not sent: {error}", well=False)
        trouble = self._ask("send", run.folder)
        self._refused = self._refused + 1 if trouble else 0
        if trouble:
            return Sent(run, state, f"not sent: {trouble}", well=False)
        epochs = self._answers[str(run.folder)]["sent"]
        told = f"; its offline recording was {recorded}" if recorded else ""
        return Sent(run, state, f"sent, {epochs} new epoch{'s' if epochs != 1 else ''}{told}")

    def send_tables(self, root: Path) -> Sent:
        """Bring the tables of a sweep up to date."""
        trouble = self._ask("table", root)
        if trouble:
            return Sent(Run(root), "done", f"not sent: {trouble}", well=False)
        return Sent(Run(root), "done", "sent" if self._answers[str(root)]["sent"] else "up to date")

    def _ask(self, what: str, folder: Path) -> str:
        """Ask for a folder to be sent; gives what went wrong."""
        if not self.companion.alive:
            self.companion.dismiss(0.0)
            self.companion = self._start()
        self.companion.ask(what, folder)
        if not self.companion.wait_for(folder, _PATIENCE):
            self.companion.dismiss(0.0)
            return f"no end within {_PATIENCE:.0f} s"
        answer = self._answers.get(str(folder), {"event": "lost", "why": "the client has died"})
        if answer["event"] == "lost":
            return str(answer["why"])
        return "" if answer["kind"] == "online" else "W&B did not answer; recorded offline"


def place_of_cache(root: Path, runs: Iterable[Run]) -> Path:
    """The folder of all outputs, or that of these runs where they come from another machine, or cannot be read."""
    for run in runs:
        with contextlib.suppress(InputError, OmegaConfBaseException):
            outputs = Path(run.config().paths.output_dir)
            return outputs if os.access(outputs, os.W_OK) else root.absolute()
    return root.absolute()


def _name(run: Run) -> None:
    """Give a run that was trained without W&B its id.

    Raises:
        Busy: it runs.
        InputError: status.json is damaged; it would be replaced.
    """
    status = run.status()
    if run.status_path.is_file() and not status.attempts:
        raise InputError(status.error or f"{run.status_path} tells of no attempt")
    if status.wandb_id is None:
        with run.lock():
            status = run.status()
            status.wandb_id = new_id(status.fingerprint or fingerprint(run.config()))
            run.write_status(status)


def recording_of(run: Run) -> str:
    """How an offline recording of a run is that is not its whole story: "torn", or "" where it is whole or missing.

    Torn is one without an end: the client writes in blocks, what a kill leaves of them ends somewhere.
    """
    from wandb.util import get_core_path

    for path in (run.folder / "wandb").glob("offline-run-*/*.wandb"):
        # `wandb leet inspect` itself takes 1 s more
        read = [get_core_path(), "leet", "inspect", "-no-observability", "-json", "-run-file", str(path)]
        try:
            said = subprocess.run(read, capture_output=True, text=True, check=False, timeout=_READING)
        except subprocess.TimeoutExpired:
            return "torn"
        if said.returncode or not any('"type":"exit"' in line for line in said.stdout.splitlines()):
            return "torn"
    return ""


def _print(sent: Sequence[Sent], console: Console) -> None:
    """A line a run, whole however long it is: causes are."""
    wide = max(len(run.run.folder.name) for run in sent)
    console.print(Text(f"{'run':<{wide}}  {'state':<11}  W&B", "bold"))
    for run in sent:
        state, said = (f"{run.state:<11}", STATE_COLORS[run.state]), (run.said, "" if run.well else "red")
        console.print(Text.assemble(f"{run.run.folder.name:<{wide}}  ", state, "  ", said))


def runs_of(root: Path, console: Console) -> list[Run]:
    """The run that a folder is, or those in it, which have a config; a damaged `sweep.json` is told.

    Raises:
        InputError: there is none.
    """
    content = runs_in(root)
    if content.note:
        console.print(content.note, style="yellow")
    if kept := [run for run in content.runs if run.config_path.is_file()]:
        return kept
    raise InputError(f"{root} holds no run; give the folder of a run or sweep, or the name of a study")
