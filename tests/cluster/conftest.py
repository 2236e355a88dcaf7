"""A real Slurm of one node, started once a session: with accounting, and without."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "slurm_test_cluster.sh"
CANNOT = 3  # the script's exit code where the machine lacks something


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
    if done.returncode == CANNOT and not os.environ.get("RECEPTIVE_REQUIRE_SLURM"):
        pytest.skip(done.stderr.strip())
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
