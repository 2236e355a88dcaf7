"""Sweeps on a Slurm of one node that are disturbed at random, and end where the undisturbed sweep ends: bit for bit.

    python scripts/chaos_slurm.py 30 --seed 0 --folder outputs/chaos_slurm

For root, with scripts/slurm_test_cluster.sh installed. A real sweep, `receptive train -m hydra/launcher=slurm`; after
random moments its driver or a job gets SIGKILL, a task is cancelled or requeued, or a job of a partition with higher
priority preempts what runs. Where the command ends, or was killed, the same command is given again. In the end every
job is compared with that of a sweep that ran on this machine without Slurm: last.ckpt, best.ckpt, metrics.csv and
result.json, but for times. Exit code 1 when a job is lost, run again after it was done, or differs.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from receptive.manifest import Manifest
from receptive.runs import Run
from receptive.slurm.submissions import assigned, submissions
from receptive.source_code import code_hash
from scripts import chaos

CLUSTER = Path(__file__).resolve().parent / "slurm_test_cluster.sh"
JOBS = (
    "data=digits", "data.batch_size=8", "trainer.max_epochs=60", "optimizer=sgd", "optimizer.momentum=0.9",
    "trainer.threads=1", "trainer.checkpoint_minutes=null", "trainer.checkpoint_steps=20", "augment=[affine]",
    "scheduler=one_cycle", "trainer.progress=none", "seed=range(12)",
)  # fmt: skip
SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll_seconds=1", "hydra.launcher.partition=debug")
KINDS = ("driver", "job", "cancel", "requeue", "preempt")
PAUSE = 6.0  # seconds between two disturbances, at most


class Disturbed:
    """A sweep whose command is given again and again.

    Args:
        root: its folder.
        draw: chance.
    """

    def __init__(self, root: Path, draw: random.Random) -> None:
        self.root, self.draw = root, draw
        self.commands = 0
        self.again: list[str] = []  # jobs that were run after they were done
        self._done: dict[str, tuple[int, int]] = {}
        self._start()

    def _start(self) -> None:
        self.commands += 1
        with open(self.root.with_suffix(".log"), "a") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "receptive", "train", "-m", *SLURM, *JOBS, f"hydra.sweep.dir={self.root}"],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def runs(self) -> list[Run]:
        """Its jobs."""
        if not (self.root / "sweep.json").is_file():
            return []
        return [entry.run(self.root) for entry in Manifest.read(self.root).entries.values()]

    def look(self) -> None:
        """Hold what is done against how it was first seen done; give the command again where it has ended."""
        for run in self.runs():
            if run.state() == "done":
                seen = (run.result_path.stat().st_mtime_ns, run.status().attempts)
                if self._done.setdefault(run.folder.name, seen) != seen:
                    self.again.append(run.folder.name)
            elif run.folder.name in self._done:
                self.again.append(run.folder.name)
        if self.driver.poll() is not None:
            self._start()

    def disturb(self, kind: str) -> bool:
        """Do one kind of harm; gives whether there was anything to harm."""
        if kind == "driver":
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
            self._start()
            return True
        running = [run for run in self.runs() if run.state() == "running"]
        if not running:
            return False
        run = self.draw.choice(running)
        task = assigned(self.root)[run.folder].task
        if kind == "job":
            pid = run.status().pid
            with suppress(ProcessLookupError):
                os.kill(pid or 0, signal.SIGKILL)
            return pid is not None
        commands = {
            "cancel": ("scancel", str(task)),
            "requeue": ("scontrol", "requeue", str(task)),
            "preempt": ("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"),
        }
        return subprocess.run(commands[kind], capture_output=True, timeout=60).returncode == 0

    def finished(self) -> bool:
        """Whether all jobs are done, and the command too."""
        runs = self.runs()
        return bool(runs) and all(run.state() == "done" for run in runs) and self.driver.poll() == 0


def undisturbed(root: Path) -> list[Run]:
    """The same sweep on this machine's cores; what is done of it stays."""
    command = [sys.executable, "-m", "receptive", "train", "-m", "hydra/launcher=packed", *JOBS]
    subprocess.run([*command, f"hydra.sweep.dir={root}"], check=True, stdout=subprocess.DEVNULL)
    return [entry.run(root) for entry in Manifest.read(root).entries.values()]


def disturb(root: Path, times: int, seed: int) -> tuple[Disturbed, collections.Counter[str]]:
    """Run a sweep, disturb it so often, and let it end."""
    draw = random.Random(seed)
    sweep, kinds = Disturbed(root, draw), collections.Counter[str]()
    try:
        due = time.monotonic() + draw.uniform(0, PAUSE)
        while not sweep.finished():
            if kinds.total() < times and time.monotonic() >= due:
                kind = draw.choice(KINDS)
                if sweep.disturb(kind):
                    kinds[kind] += 1
                    due = time.monotonic() + draw.uniform(0, PAUSE)
                    print(f"{kinds.total()}/{times} {kind}: {told(sweep.runs())}", flush=True)
            time.sleep(0.2)
            if not sweep.finished():
                sweep.look()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(sweep.driver.pid, signal.SIGKILL)
    return sweep, kinds


def changes(run: Run, straight: Run) -> list[str]:
    """Where a job that is done is not what the undisturbed one is."""
    if run.state() != "done":
        return []
    return chaos.differences(chaos.everything(straight), chaos.everything(run))


def told(runs: list[Run]) -> str:
    """`3 done, 2 running` of jobs."""
    counts = collections.Counter(run.state() for run in runs)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def main() -> int:
    """Start a Slurm, disturb a sweep on it, compare, print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("times", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("outputs/chaos_slurm"))
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    straight = {run.folder.name: run for run in undisturbed(folder / f"straight-{code_hash()}")}
    subprocess.run([CLUSTER, "start", folder / "cluster"], check=True, stdout=subprocess.DEVNULL)
    os.environ["SLURM_CONF"] = str(folder / "cluster" / "slurm.conf")
    started = time.monotonic()
    try:
        sweep, kinds = disturb(folder / f"seed{given.seed}", given.times, given.seed)
        seconds = time.monotonic() - started
        arrays = len(submissions(sweep.root))
    finally:
        subprocess.run([CLUSTER, "stop", folder / "cluster"], check=True, stdout=subprocess.DEVNULL)
    runs = sweep.runs()
    lost = [run.folder.name for run in runs if run.state() != "done"]
    differ = {run.folder.name: found for run in runs if (found := changes(run, straight[run.folder.name]))}
    print(f"{kinds.total()} disturbances ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))})")
    attempts = sum(run.status().attempts for run in runs)
    print(f"{len(runs)} jobs, {attempts} attempts, {sweep.commands} commands, {arrays} arrays, {seconds:.0f} s")
    for name, found in differ.items():
        print(f"{name}: {'; '.join(found[:5])}")
    again = len(set(sweep.again))
    print(f"jobs lost: {len(lost)}; run again after they were done: {again}; states lost: {len(differ)}")
    return 1 if lost or differ or sweep.again else 0


if __name__ == "__main__":
    sys.exit(main())
