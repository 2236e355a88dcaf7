"""SIGKILL to the driver and the workers of real sweeps, at moments drawn from a fixed seed: the same command ends with
all jobs done, none run again that was done, and everything equal to the bit to a sweep that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.processes import alive, descendants, kill, wait_for

from receptive.runs import Run
from receptive.sweeps.observation import complete_rows
from scripts import chaos

EPOCHS = 4
SMALL = (
    "data=digits", "data.batch_size=8", f"trainer.max_epochs={EPOCHS}", "trainer.limit_train_batches=40",
    "optimizer=sgd", "optimizer.momentum=0.9", "trainer.threads=1", "trainer.checkpoint_minutes=null",
    "trainer.checkpoint_steps=10", "augment=[affine]", "scheduler=one_cycle",
)  # fmt: skip
PACKED = ("hydra/launcher=packed", "hydra.launcher.workers=2")
TWELVE = (*SMALL, "optimizer.lr=0.01,0.02,0.03", "seed=range(4)")


@dataclass
class Sweep:
    """A sweep's command, started as often as needed, and what was seen of its jobs."""

    root: Path
    arguments: tuple[str, ...]
    driver: subprocess.Popen[str] | None = None
    pids: set[int] = field(default_factory=set)
    done: dict[str, tuple[int, int, float | None]] = field(default_factory=dict)
    starts: int = 0

    @property
    def jobs(self) -> list[Run]:
        """In the order of sweep.json."""
        if not (self.root / "sweep.json").is_file():
            return []
        return [Run(self.root / job["folder"]) for job in json.loads((self.root / "sweep.json").read_text())["jobs"]]

    @property
    def epochs(self) -> int:
        """Rows of all metrics.csv."""
        return sum(len(complete_rows(run.metrics_path)) for run in self.jobs if run.metrics_path.is_file())

    def start(self) -> None:
        """Give the command."""
        self.starts += 1
        with open(self.root.with_suffix(f".{self.starts}.log"), "w") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "receptive", "train", "-m", *self.arguments, f"hydra.sweep.dir={self.root}"],
                cwd=self.root.parent, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        self.pids.add(self.driver.pid)

    def said(self) -> str:
        """What the last command has printed."""
        return self.root.with_suffix(f".{self.starts}.log").read_text()

    def look(self) -> None:
        """Hold every job that is done against how it was first seen done."""
        for run in self.jobs:
            if run.state() == "done":
                status = run.status()
                seen = (run.result_path.stat().st_mtime_ns, status.attempts, status.ended)
                assert self.done.setdefault(run.folder.name, seen) == seen, f"{run.folder.name} was run again"
            else:
                assert run.folder.name not in self.done, f"{run.folder.name} was done and is {run.state()}"

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait, and give the command again where it ends before: a killed worker's job is left to the next one."""
        deadline = time.monotonic() + 180
        while not condition():
            assert time.monotonic() < deadline, self.said()
            self.look()
            assert self.driver is not None
            if self.driver.poll() is not None:
                self.start()
            time.sleep(0.05)

    def kill(self, whom: str, draw: random.Random) -> None:
        """Kill "all", the driver's process group and its workers; or the "driver" alone; or a "worker"."""
        assert self.driver is not None
        workers = [run.status().pid for run in self.jobs if run.state() == "running"]
        if whom == "worker":
            kill(draw.choice([pid for pid in workers if pid is not None] or [self.driver.pid]))
            return
        found = descendants(self.driver.pid)
        with suppress(ProcessLookupError):
            os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait()
        self.pids |= set(found)
        for pid in found if whom == "all" else []:
            kill(pid)
        self.start()

    def stop(self) -> None:
        """Leave no process behind."""
        for pid in (*self.pids, *(descendants(self.driver.pid) if self.driver else [])):
            kill(pid)
        if self.driver:
            self.driver.wait()


@pytest.fixture
def sweep_in(tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """Makes sweeps, whose processes do not outlive the test."""
    made: list[Sweep] = []

    def make(name: str, *arguments: str) -> Sweep:
        made.append(Sweep(tmp_path / name, arguments))
        made[-1].start()
        return made[-1]

    yield make
    for sweep in made:
        sweep.stop()


def assert_ended_well(sweep: Sweep, jobs: int) -> None:
    """The command ends, and says the second time that there is nothing to do."""
    sweep.wait_for(lambda: len(sweep.jobs) == jobs and all(run.state() == "done" for run in sweep.jobs))
    assert sweep.driver is not None
    assert sweep.driver.wait(timeout=60) == 0, sweep.said()
    sweep.start()
    assert sweep.driver.wait(timeout=60) == 0, sweep.said()
    assert f"{jobs} jobs in {sweep.root.name} ({jobs} done), 0 to run" in sweep.said()
    sweep.look()
    assert len(sweep.done) == jobs


def assert_equal(sweep: Sweep, straight: Sweep) -> None:
    """To the bit: weights, optimizers, metrics.csv and result.json, without times."""
    for run in sweep.jobs:
        whole = Run(straight.root / run.folder.name)
        assert chaos.differences(chaos.everything(whole), chaos.everything(run)) == []


def undisturbed(sweep_in: Callable[..., Sweep], *arguments: str) -> Sweep:
    sweep = sweep_in("straight", *arguments)
    assert sweep.driver is not None
    assert sweep.driver.wait(timeout=120) == 0, sweep.said()
    assert {run.status().attempts for run in sweep.jobs} == {1}
    return sweep


@pytest.mark.slow
def test_twelve_jobs_survive_ten_kills(sweep_in: Callable[..., Sweep]) -> None:
    """Of driver and workers together, of workers, of the driver alone; spread over the sweep's epochs."""
    straight = undisturbed(sweep_in, *PACKED, *TWELVE)
    draw = random.Random(0)
    kinds = ["all"] * 4 + ["worker"] * 4 + ["driver"] * 2
    draw.shuffle(kinds)
    moments = sorted(draw.sample(range(1, 12 * EPOCHS - EPOCHS), len(kinds)))
    sweep = sweep_in("killed", *PACKED, *TWELVE)
    for moment, whom in zip(moments, kinds, strict=True):
        sweep.wait_for(lambda moment=moment: sweep.epochs >= moment)  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.3))
        sweep.kill(whom, draw)
    assert_ended_well(sweep, 12)
    assert sum(run.status().attempts for run in sweep.jobs) >= 12 + 4
    assert_equal(sweep, straight)


@pytest.mark.slow
def test_jobs_in_the_drivers_own_process_survive_three_kills(sweep_in: Callable[..., Sweep]) -> None:
    arguments = ("hydra/launcher=local", *SMALL, "seed=range(4)")
    straight = undisturbed(sweep_in, *arguments)
    draw, sweep = random.Random(1), sweep_in("killed", *arguments)
    for moment in sorted(draw.sample(range(1, 4 * EPOCHS - 2), 3)):
        sweep.wait_for(lambda moment=moment: sweep.epochs >= moment)  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.2))
        sweep.kill("driver", draw)
    assert_ended_well(sweep, 4)
    assert sum(run.status().attempts for run in sweep.jobs) > 4
    assert_equal(sweep, straight)


@pytest.mark.slow
def test_workers_without_a_driver_end_their_job_and_leave(sweep_in: Callable[..., Sweep]) -> None:
    """The same command waits for them, and runs none of their jobs."""
    sweep = sweep_in("orphans", *PACKED, *SMALL, "trainer.max_epochs=20", "seed=0,1")
    sweep.wait_for(lambda: [run.state() for run in sweep.jobs].count("running") == 2 and sweep.epochs >= 2)
    assert sweep.driver is not None
    workers = descendants(sweep.driver.pid)
    assert len(workers) == 2
    for pid in workers:  # until the next command has met them
        os.kill(pid, signal.SIGSTOP)
    sweep.kill("driver", random.Random())
    assert all(alive(pid) for pid in workers)
    sweep.wait_for(lambda: "waiting for 2 jobs that another process runs" in sweep.said())
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert_ended_well(sweep, 2)
    assert [run.status().attempts for run in sweep.jobs] == [1, 1]
    wait_for(lambda: not any(alive(pid) for pid in workers), what="no worker stays without a driver", seconds=30)
