"""A real Slurm of one node, started once a session: with accounting, and without."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from receptive.manifest import Manifest
from receptive.runs import Run
from receptive.slurm.submissions import Assignment, assigned
from scripts import chaos

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "slurm_test_cluster.sh"


class Cluster:
    """A Slurm that is up. Its partitions: `debug` (the default) and `high`, which preempts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What the driver has its jobs get too: sbatch hands the environment on.
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))},
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        }

    def run(
        self, *command: str | Path, cwd: Path | None = None, timeout: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that sees this cluster; fails with what it wrote where it fails and `check` is set."""
        done = subprocess.run(
            [str(part) for part in command],
            env=self.env,
            cwd=cwd or self.folder,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        told = f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert not check or done.returncode == 0, told
        return done

    def receptive(
        self, *arguments: str, cwd: Path, timeout: float = 180, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `receptive` in a folder."""
        return self.run(sys.executable, "-m", "receptive", *arguments, cwd=cwd, timeout=timeout, check=check)

    def sbatch(self, script: str, *options: str, cwd: Path) -> str:
        """Submit a bash script; the job's id. Its outputs lie in `cwd`."""
        path = cwd / "job.sh"
        path.write_text(f"#!/bin/bash\n{script}\n")
        return self.run("sbatch", "--parsable", *options, path, cwd=cwd).stdout.strip()

    def queue(self, job: str | None = None) -> dict[str, str]:
        """What waits or runs: id, with `_index` in an array -> state. Nothing where Slurm has forgotten the job."""
        asked = ("--jobs", job) if job else ()
        listed = self.run("squeue", "--array", "--noheader", "--format=%i %T", *asked, check=not job).stdout
        return dict(line.split() for line in listed.splitlines())

    def accounts(self, job: str) -> dict[str, tuple[str, str]]:
        """What sacct tells of a job: id, with `_index` in an array -> (state, exit code)."""
        told = self.run("sacct", "-X", "--noheader", "--parsable2", "--format=JobID,State,ExitCode", "--jobs", job)
        rows = (line.split("|") for line in told.stdout.splitlines())
        return {name: (state.split(" ")[0], code) for name, state, code in rows}  # "CANCELLED by 0"

    def wait_for(self, holds: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait until it holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not after {seconds:g} s: {what}\n{self.run('squeue', '--array').stdout}"
            time.sleep(0.2)

    def clear(self) -> None:
        """Leave no job, running or waiting."""
        for options in (
            ("--state=PENDING",),
            ("--full", "--signal=KILL", "--state=RUNNING"),  # not asked first: that takes KillWait
            (),  # what was requeued between
        ):
            self.run("scancel", *options, f"--user={os.getuid()}", check=False)
        self.wait_for(lambda: not self.queue(), "all jobs are gone")


def started(folder: Path, *options: str) -> Iterator[Cluster]:
    done = subprocess.run([SCRIPT, "start", folder, *options], timeout=90, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    try:
        yield Cluster(folder)
    finally:
        subprocess.run([SCRIPT, "stop", folder], timeout=30, check=True, capture_output=True)


@pytest.fixture(scope="session")
def slurm_with_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from started(tmp_path_factory.mktemp("slurm"))


@pytest.fixture(scope="session")
def slurm_without_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from started(tmp_path_factory.mktemp("slurm"), "--no-accounting")


@pytest.fixture
def cluster(slurm_with_accounting: Cluster) -> Iterator[Cluster]:
    """A Slurm with accounting; a test's jobs end with it."""
    yield slurm_with_accounting
    slurm_with_accounting.clear()


@pytest.fixture
def unaccounted(slurm_without_accounting: Cluster) -> Iterator[Cluster]:
    """A Slurm without accounting, where sacct answers nothing; a test's jobs end with it."""
    yield slurm_without_accounting
    slurm_without_accounting.clear()


SMALL = (
    "data=digits", "data.batch_size=8", "trainer.limit_train_batches=60", "optimizer=sgd", "optimizer.momentum=0.9",
    "trainer.threads=1", "trainer.checkpoint_minutes=null", "trainer.checkpoint_steps=20", "augment=[affine]",
    "scheduler=one_cycle", "trainer.progress=none",
)  # fmt: skip
SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll_seconds=1", "hydra.launcher.partition=debug")


class Sweep:
    """A command that may be given again and again, and its jobs."""

    def __init__(self, cluster: Cluster, root: Path, *arguments: str) -> None:
        self.cluster, self.root, self.arguments = cluster, root, arguments
        self.starts = 0
        self.driver: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Give the command."""
        self.starts += 1
        with open(self.root.with_suffix(f".{self.starts}.log"), "w") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "receptive", "train", "-m", *self.arguments, f"hydra.sweep.dir={self.root}"],
                cwd=self.root.parent, env=self.cluster.env, stdout=log, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """The driver, and what it has started, at once."""
        assert self.driver is not None
        with suppress(ProcessLookupError):
            os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait()

    def said(self) -> str:
        """What the last command has printed."""
        return self.root.with_suffix(f".{self.starts}.log").read_text()

    def end(self, seconds: float = 120) -> int:
        """Wait for the command; gives its exit code. pytest shows what is printed here where a test fails."""
        assert self.driver is not None
        try:
            return self.driver.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.cluster.run("squeue", "--array").stdout) from None
        finally:
            print(self.said(), *(run.status() for run in self.runs.values()), sep="\n")
            for log in sorted(self.root.glob("slurm/*/*.log")):
                print(f"== {log}", log.read_text(), sep="\n")

    @property
    def runs(self) -> dict[str, Run]:
        """The jobs that there are by now, by seed or variant."""
        if not (self.root / "sweep.json").is_file():
            return {}
        entries = Manifest.read(self.root).entries.values()
        return {next(iter(entry.labels.values()), ""): entry.run(self.root) for entry in entries}

    def states(self) -> dict[str, str]:
        """How they stand."""
        return {name: run.state() for name, run in self.runs.items()}

    def given(self, name: str) -> Assignment:
        """The task of a job."""
        return assigned(self.root)[self.runs[name].folder]

    def wait_for(self, holds: Callable[[], object], what: str, seconds: float = 90) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not after {seconds:g} s: {what}\n{self.states()}\n{self.said()}"
            time.sleep(0.1)

    def trains(self, name: str) -> bool:
        """Whether a job runs and has finished an epoch."""
        return name in self.runs and self.runs[name].state() == "running" and bool(self.runs[name].metrics())


Make = Callable[..., Sweep]


@pytest.fixture
def sweep(cluster: Cluster, tmp_path: Path) -> Iterator[Make]:
    """Gives a command; drivers do not outlive the test."""
    made: list[Sweep] = []

    def make(name: str, *arguments: str, on: Cluster = cluster) -> Sweep:
        made.append(Sweep(on, tmp_path / name, *arguments))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.kill()


def assert_identical(runs: dict[str, Run], straight: dict[str, Run]) -> None:
    """To the bit: weights, optimizers, metrics.csv and result.json, without times."""
    assert set(runs) <= set(straight)
    for name, run in runs.items():
        assert chaos.differences(chaos.everything(straight[name]), chaos.everything(run)) == []
