"""What a job knows of the Slurm task that it runs in."""

from __future__ import annotations

import os
import signal

from receptive.errors import InputError
from receptive.slurm import scheduler

REQUEUE = "RECEPTIVE_REQUEUE"  # set by the sweeps' scripts where a job may put itself into the queue again
TIME_IS_UP = signal.SIGUSR1  # comes before the time limit; asked for with --signal


def slurm_job() -> str | None:
    """The task, such as 12_3, or job that this process belongs to; the same when it was requeued."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID")


def may_requeue(number: int) -> bool:
    """Whether a run that this signal stopped is to go on in the same job: time was up, and the script allows it."""
    return number == TIME_IS_UP and os.environ.get(REQUEUE) == "1" and slurm_job() is not None


def is_first() -> bool:
    """Whether this is the first, or only, of the processes that srun has started: it sees to what is to be done."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def requeue() -> str:
    """Put this process's own job into the queue again, which stops it; gives what is to be said of it."""
    job = slurm_job() or ""
    try:
        scheduler.requeue(job)
    except InputError as error:
        return f"Slurm job {job} could not be requeued: {error}"
    return f"Slurm job {job} was requeued"
