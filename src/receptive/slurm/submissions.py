"""What of a sweep was given to Slurm: a folder for each array, that tells which job each of its tasks runs.

    SWEEP/slurm/NAME/{folders.txt, job.sh, job_id, 0.log, 1.log, ...}

NAME is the array's name in the queue, too. `sbatch` itself writes job_id, as its standard output, and holds the lock
of the sweep's submissions until it has ended: whoever kills the command that called it loses nothing.
"""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from receptive.files import wait_for_lock, write_atomically
from receptive.slurm import scheduler
from receptive.slurm.inside import REQUEUE
from receptive.slurm.options import SlurmOptions
from receptive.slurm.scheduler import SchedulerError, Task

_NAME_LENGTH = 60

_SCRIPT = """\
#!/bin/bash
{directives}
set -e
trap '' USR1 # that time is nearly up: heard when the job listens
{setup}
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}"{requeue}
job=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {folders})
exec {starter}{python} -m receptive.job {root}/"$job"
"""
# ranks of several processes: one that dies takes the others with it; rank 0 tests when they have left
_STARTER = 'srun --kill-on-bad-exit=1 --wait=0 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" '


@dataclass(frozen=True)
class Submission:
    """An array of jobs that was handed over, or is about to be.

    Args:
        place: its folder.
    """

    place: Path

    @property
    def name(self) -> str:
        """Of the array in the queue."""
        return self.place.name

    @property
    def folders(self) -> list[Path]:
        """The jobs' folders, in the order of the tasks."""
        root = self.place.parent.parent
        return [root / name for name in (self.place / "folders.txt").read_text(errors="replace").splitlines()]

    @property
    def job(self) -> int | None:
        """The array's id; None where sbatch did not get that far."""
        try:
            said = (self.place / "job_id").read_text(errors="replace")
        except FileNotFoundError:
            return None
        number = said.partition(";")[0].strip()  # ;CLUSTER where there are several
        return int(number) if number.isdecimal() else None


class Assignment(NamedTuple):
    """The task that a job was given as, and the file with what it printed beside the run's log."""

    task: Task
    log: Path


def submissions(root: Path) -> list[Submission]:
    """All of a sweep, the oldest first."""
    places = [path for path in (root / "slurm").glob("*/") if (path / "folders.txt").is_file()]
    return [Submission(path) for path in sorted(places, key=lambda path: (path / "folders.txt").stat().st_mtime_ns)]


@contextmanager
def submitting(root: Path) -> Iterator[int]:
    """Be the only one who submits jobs of a sweep; gives the lock's descriptor for `submit` to hand on."""
    (root / "slurm").mkdir(exist_ok=True)
    with open(root / "slurm" / "lock", "a") as file:
        wait_for_lock(file.fileno())
        yield file.fileno()


def assigned(root: Path) -> dict[Path, Assignment]:
    """The jobs of a sweep that were ever given to Slurm, each with its newest task: folder -> task."""
    return {
        folder: Assignment(Task(submission.job, index), submission.place / f"{index}.log")
        for submission in submissions(root)
        if submission.job is not None
        for index, folder in enumerate(submission.folders)
    }


def adopt_lost(root: Path) -> None:
    """Write down the id of arrays that were accepted when their sbatch died before it could say so.

    Raises:
        SchedulerError: the queue cannot be asked.
    """
    for submission in submissions(root):
        if submission.job is None and (job := scheduler.job_named(submission.name)) is not None:
            write_atomically(submission.place / "job_id", f"{job}\n")


def submit(folders: Sequence[Path], root: Path, options: SlurmOptions, lock: int, after: int | None) -> Submission:
    """Hand jobs over as one array.

    Args:
        folders: of the jobs, at most as many as an array may have.
        root: the sweep's folder.
        options: what is asked for.
        lock: the descriptor from `submitting`.
        after: an array that has to end before; None: none.

    Raises:
        SchedulerError: sbatch refuses, in its own words; or it has failed, and it cannot be told whether it submitted.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", root.name)[:_NAME_LENGTH] + f"-{secrets.token_hex(4)}"
    submission = Submission(root / "slurm" / name)
    submission.place.mkdir()
    write_atomically(submission.place / "job.sh", script(submission, len(folders), options, after))
    write_atomically(submission.place / "folders.txt", "".join(f"{folder.name}\n" for folder in folders))
    try:
        # The options again, past SBATCH_... variables. Not run(), which kills sbatch where this process is interrupted:
        # this waits for it.
        with open(submission.place / "job_id", "w") as answer, subprocess.Popen(
            ["sbatch", "--parsable", f"--job-name={name}", *options.directives(), str(submission.place / "job.sh")],
            stdout=answer, stderr=subprocess.PIPE, text=True, pass_fds=[lock], start_new_session=True,
        ) as sbatch:  # fmt: skip
            said = scheduler.in_a_line(sbatch.communicate()[1])
    except FileNotFoundError:
        shutil.rmtree(submission.place)
        raise SchedulerError("sbatch is not installed here: submit from a cluster's login node") from None
    if submission.job is None:
        try:
            adopt_lost(root)  # as after a time-out: Slurm may have taken it none the less
        except SchedulerError as error:
            raise SchedulerError(f"{said}; {error}") from None
    if submission.job is None:
        shutil.rmtree(submission.place)
        raise SchedulerError(said or "sbatch gave no job id")
    return submission


def script(submission: Submission, jobs: int, options: SlurmOptions, after: int | None = None) -> str:
    """The batch script of an array: each task becomes the process of its job, which gets Slurm's signals itself."""
    log = str(submission.place).replace("%", "%%")
    limit = f"%{options.array_parallelism}" if options.array_parallelism else ""
    directives = [f"--job-name={submission.name}", f"--array=0-{jobs - 1}{limit}", f"--output={log}/%a.log"]
    directives += [f"--dependency=afterany:{after}"] if after is not None else []
    root = submission.place.parent.parent
    return _SCRIPT.format(
        directives="\n".join(f"#SBATCH {_quoted(text)}" for text in [*directives, *options.directives()]),
        setup="\n".join(options.setup) or "# (no lines of hydra.launcher.setup)",
        requeue=f"\nexport {REQUEUE}=1" if options.requeue else "",
        root=shlex.quote(str(root)),
        folders=shlex.quote(str(submission.place / "folders.txt")),
        starter=_STARTER if options.tasks > 1 else "",
        python=shlex.quote(sys.executable),
    )


def _quoted(option: str) -> str:
    """An option as it stands behind #SBATCH."""
    key, equals, value = option.partition("=")
    if not re.search(r"[\s\"'\\#]", value):
        return option
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'{key}{equals}"{escaped}"'
