"""Mirrors without a training, trainings that wait for a test, and what W&B's server is to have of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from tests.processes import kill
from tests.resume.conftest import CLASSIFIER, NoisyNet, folder_of
from tests.tracking.stored import BackendRun
from torch import Tensor

from receptive.runs import Run
from receptive.tracking.companion import Companion

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {"_step", "_timestamp", "_runtime", "_wandb"}  # the client's own in a row


class HeldNet(NoisyNet):
    """Trains two epochs, says that it has, and waits for a file."""

    def __init__(self, *, gate: str, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels=in_channels, num_classes=num_classes)
        self.gate, self.batches = Path(gate), 0

    def forward(self, images: Tensor) -> Tensor:
        self.batches += self.training
        if self.training and self.batches > 6:
            while not self.gate.exists():
                time.sleep(0.02)
        return super().forward(images)


class Held:
    """A training in a process of its own, mirrored, that waits after two epochs of four."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *overrides: str) -> None:
        self.folder, self.gate = folder, folder / "gate"
        self.run = folder_of(folder / "run", *CLASSIFIER, "logger=[wandb]", "trainer.max_epochs=4", *overrides)
        config = OmegaConf.load(self.run.config_path)
        config.model = {"_target_": f"{__name__}.HeldNet", "gate": str(self.gate)}
        config.paths.output_dir = str(folder / "outputs")
        OmegaConf.save(config, self.run.config_path)
        self.environment = dict(environment) | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
        self.start()

    def start(self) -> None:
        """The command of a worker, which says on stderr what it has to say."""
        command = [sys.executable, "-m", "receptive.job", str(self.run.folder)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self.watch = threading.Thread(target=self._watch, args=(self.process,))
        self.watch.start()

    def children(self) -> list[int]:
        """Processes of the mirror: the follower and the client's own."""
        return [
            pid
            for pid, words in processes().items()
            if ("receptive.tracking.follower" in words or "wandb-core" in words) and at(pid) == self.folder
        ]

    def kill(self, word: str, signal: int) -> None:
        """Send a signal to one of the mirror's processes."""
        [pid] = [pid for pid in self.children() if word in processes().get(pid, "")]
        os.kill(pid, signal)

    def end(self) -> tuple[int, str, float]:
        """Let it train to its end; gives exit code, what it said, and seconds from its result to its last line.

        What the interpreter and torch take to leave is not W&B's.
        """
        self.gate.touch()
        self.wait()
        return self.process.returncode, "".join(self.lines), self.last - self.run.result_path.stat().st_mtime

    def wait(self) -> None:
        """Until it ends, whatever ends it."""
        self.process.wait(120)
        self.watch.join()

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Note what it says, and when: several of them end at once."""
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                self.lines.append(line)
                self.last = time.time()

    def close(self) -> None:
        """Leave no process."""
        found = self.children()
        self.process.kill()
        for pid in found:
            kill(pid)
        self.wait()


def processes() -> dict[int, str]:
    """The command line of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def at(pid: int) -> Path | None:
    """The folder in which a process works."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def named(run: Run, name: str) -> Run:
    """Give a made-up run its id in W&B."""
    run.write_status(replace(run.status(), wandb_id=name))
    return run


def follow(outputs: Path, *requests: tuple[str, Run, dict[str, Any]]) -> list[dict[str, Any]]:
    """What the mirror answers to requests, in order; none of them is left without an answer."""
    answers: list[dict[str, Any]] = []
    companion = Companion(outputs, lambda answer: answers.append(dict(answer)))
    for ask, run, more in requests:
        companion.ask(ask, run.folder, **more)
    assert companion.dismiss(60) == [], companion.fault
    return answers


def send(outputs: Path, *runs: Run) -> list[dict[str, Any]]:
    """Bring runs up to date; gives what is answered at their ends."""
    answers = follow(outputs, *(("send", run, {}) for run in runs))
    return [answer for answer in answers if answer["event"] != "open"]


def assert_rows(rows: list[dict[str, Any]], run: Run) -> None:
    """Every epoch once, all its numbers, whole ones as such."""
    epochs = [row for row in rows if "epoch" in row]
    assert [row["_step"] for row in epochs] == [row["epoch"] for row in run.metrics()]
    for row, own in zip(epochs, run.metrics(), strict=True):
        assert {key: value for key, value in row.items() if key not in NUMBERS} == own
        assert type(row["epoch"]) is type(row["step"]) is int


def assert_complete(page: BackendRun, run: Run) -> None:
    """A page has all of a done run, and nothing twice."""
    ended = (page.state, page.exit_code, page.overwritten)
    assert ended == ("finished", 0, 0), f"{ended}, steps {page.steps}"
    assert_rows(page.rows, run)
    [end] = [row for row in page.rows if "epoch" not in row]
    assert end["_step"] == len(run.metrics()) + 1
    for key, value in run.result()["metrics"].items():
        assert page.summary[key] == value, key
    for key, value in end.items():
        if isinstance(value, dict) and "path" in value:
            assert value["path"] in page.files, key


def stored(page: BackendRun) -> tuple[int, list[str], int]:
    """What must not change when nothing is new."""
    return len(page.rows), sorted(page.files), page.overwritten
