"""Where the workers of a packed sweep run: which cores, how many threads, which GPU and how much of its memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from receptive.console import counted

_CAP = "per_process_memory_fraction"


@dataclass(frozen=True)
class WorkerPlace:
    """What a worker has of the machine.

    Args:
        cores: that it may use.
        threads: that it computes with; at least 1.
        gpu: what CUDA_VISIBLE_DEVICES calls its GPU; None: it sees what the sweep's own process sees.
        sharing: workers on that GPU; each may hold an equal part of its memory.
    """

    cores: tuple[int, ...]
    threads: int = 1
    gpu: str | None = None
    sharing: int = 1

    def environment(self) -> dict[str, str]:
        """The environment of a worker here: this process's, with threads, GPU and the cap on its memory."""
        threads = str(self.threads)
        made = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if self.gpu is not None:
            made["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.sharing > 1:
            # torch reads the older name first, and the other one not at all where that is set
            name = "PYTORCH_CUDA_ALLOC_CONF" if "PYTORCH_CUDA_ALLOC_CONF" in made else "PYTORCH_ALLOC_CONF"
            given = made.get(name, "")
            if _CAP not in given:  # else the user's own
                made[name] = ",".join(filter(None, [given, f"{_CAP}:{1 / self.sharing:.4f}"]))
        return made


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls the GPUs that torch may use here: numbers, UUIDs or names of MIG devices.

    They are counted by NVML where it is there: no CUDA context is made.
    """
    import torch  # only now: the jobs were checked with it

    count = torch.cuda.device_count()
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if not count or not names[0]:
        return [str(number) for number in range(count)]
    if names[0].startswith("MIG-"):  # a process sees one of them, however many are named
        return list(dict.fromkeys(name for name in names if name.startswith("MIG-")))
    return names[:count]


def places(workers: int | None, jobs_per_device: int, gpus: Sequence[str]) -> list[WorkerPlace]:
    """Where so many workers run.

    Without GPUs each has one core and one thread. With GPUs they are dealt out to them in turn, and each has an equal
    share of the cores, as many threads as that (at least 1), and an equal part of the memory of its GPU.

    Args:
        workers: number of them, from 1 on; None: one a core, with GPUs `jobs_per_device` a GPU.
        jobs_per_device: from 1 on.
        gpus: as `visible_gpus` gives them; none: the sweep computes on the CPU.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
    if not gpus:
        return [WorkerPlace((cores[number % len(cores)],)) for number in range(workers or len(cores))]
    count = workers or len(gpus) * jobs_per_device
    found = []
    for number in range(count):
        mine = cores[number * len(cores) // count : (number + 1) * len(cores) // count]
        found.append(
            WorkerPlace(
                cores=tuple(mine) if count <= len(cores) else (cores[number % len(cores)],),
                threads=max(1, len(cores) // count),  # the same for all, since it may change the last digits
                gpu=gpus[number % len(gpus)],
                sharing=len(range(number % len(gpus), count, len(gpus))),
            )
        )
    return found


def dealt_out(found: Sequence[WorkerPlace]) -> str:
    """`4 workers on 2 GPUs, 8 threads and 1/2 of a GPU's memory each`; nothing where no GPU is dealt out."""
    gpus = {place.gpu for place in found if place.gpu is not None}
    if not gpus:
        return ""
    most, threads = max(place.sharing for place in found), found[0].threads
    share = "" if most == 1 else f" and 1/{most} of a GPU's memory"
    numbers = (counted(len(found), "worker"), counted(len(gpus), "GPU"), counted(threads, "thread"))
    return "{} on {}, {}{} each".format(*numbers, share)
