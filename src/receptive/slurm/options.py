"""What is asked of Slurm for each job of a sweep."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

_TIME = re.compile(r"(\d+-)?\d+(:\d{1,2}){0,2}")  # minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S
_MEMORY = re.compile(r"\d+[KMGT]?")


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """The launcher's options, most of them sbatch's own; conf/hydra/launcher/slurm.yaml says what each means.

    Raises:
        ValueError: a value that sbatch would not take.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int | str | None = None
    cpus_per_task: Annotated[int, Ge(1)] = 1
    mem: int | str | None = None
    gpus_per_node: Annotated[int, Ge(1)] | str | None = None
    nodes: Annotated[int, Ge(1)] = 1
    ntasks_per_node: Annotated[int, Ge(1)] = 1
    array_parallelism: Annotated[int, Ge(1)] | None = None
    signal_seconds: Annotated[int, Ge(1)] = 120
    requeue: bool = True
    setup: list[str] | tuple[str, ...] = ()
    sbatch: list[str] | tuple[str, ...] = ()
    poll_seconds: Annotated[float, Ge(1)] = 5.0

    def __post_init__(self) -> None:
        if self.time is not None and not _TIME.fullmatch(str(self.time)):
            raise ValueError(f"time={self.time}: give minutes, or days-hours:minutes:seconds as sbatch takes them")
        if self.mem is not None and not _MEMORY.fullmatch(str(self.mem)):
            raise ValueError(f"mem={self.mem}: give megabytes, or a number with K, M, G or T")
        if wrong := [text for text in self.sbatch if not text.startswith("-")]:
            raise ValueError(f"sbatch={wrong}: give options as sbatch takes them, e.g. --exclusive")

    @property
    def tasks(self) -> int:
        """Processes of a job."""
        return self.nodes * self.ntasks_per_node

    def directives(self) -> list[str]:
        """Options of sbatch, without those of the array itself."""
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.time,
            "nodes": self.nodes,
            "ntasks-per-node": self.ntasks_per_node,
            "cpus-per-task": self.cpus_per_task,
            "mem": self.mem,
            "gpus-per-node": self.gpus_per_node,
            "signal": f"B:USR1@{self.signal_seconds}",
        }
        fixed = ["--requeue" if self.requeue else "--no-requeue", "--open-mode=append"]
        return [*(f"--{key}={value}" for key, value in given.items() if value is not None), *fixed, *self.sbatch]
