"""Which of a run's processes this is, as torchrun, srun or rank 0 have told it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from receptive.errors import InputError
from receptive.ranks.team import LEADER


@dataclass(frozen=True)
class Place:
    """Which of a run's processes this is.

    Args:
        rank: counted from 0, over all nodes.
        ranks: number of processes.
        local_rank: counted on this node.
        node: counted from 0.
        sharing: processes that share the cores that this one may use.
        started_by: who started it; "us": rank 0, or for rank 0 that it has to start the others.
        address: where rank 0, or torchrun, listens.
        port: there; 0: not known yet.
    """

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    node: int = 0
    sharing: int = 1
    started_by: Literal["us", "torchrun", "srun"] = "us"
    address: str = "127.0.0.1"
    port: int = 0


def place_of(trainer: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Place:
    """The place of this process in a run.

    A batch script's own variables of Slurm are not taken for srun's, nor those of a job array.

    Args:
        trainer: the config's, with devices and num_nodes.
        environment: None: os.environ.

    Raises:
        InputError: as many processes as were started do not fit the config.
    """
    variables = os.environ if environment is None else environment
    nodes, found = int(trainer.get("num_nodes", 1)), _given(variables)
    if trainer.get("devices", 1) == "auto" and found is not None and found.ranks % nodes == 0:
        return found
    devices = _devices(trainer)
    wanted = devices * nodes
    if found is not None and found.ranks != wanted:
        fitting = {
            "torchrun": f"torchrun --nnodes={nodes} --nproc-per-node={devices}",
            "srun": f"srun --nodes={nodes} --ntasks-per-node={devices}",
        }
        remedy = fitting.get(found.started_by, "")
        raise InputError(
            f"trainer.devices={devices} and trainer.num_nodes={nodes} make {wanted} "
            f"process{'es' if wanted > 1 else ''}, but {found.started_by} has started {found.ranks}: give {remedy}, or "
            "the number of devices on each node in the config"
        )
    if found is not None:
        return found
    if nodes > 1:
        raise InputError(
            f"trainer.num_nodes={nodes}: on several nodes the processes are started by srun or torchrun, as "
            f"`srun --nodes={nodes} --ntasks-per-node={devices} python -m receptive.job FOLDER`"
        )
    return Place(ranks=wanted, sharing=wanted)


def _devices(trainer: Mapping[str, Any]) -> int:
    """The devices of a node; auto: all that CUDA has, one without any."""
    devices = trainer.get("devices", 1)
    if devices != "auto":
        return int(devices)
    if trainer.get("accelerator", "auto") not in ("auto", "cuda"):
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def _given(variables: Mapping[str, str]) -> Place | None:
    """The place that torchrun, srun or rank 0 has given; None where nobody has."""

    def number(key: str, otherwise: int = 0) -> int:
        return int(variables.get(key) or otherwise)

    if {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= variables.keys():
        ranks = number("WORLD_SIZE")
        return Place(
            rank=number("RANK"),
            ranks=ranks,
            local_rank=number("LOCAL_RANK"),
            node=number("GROUP_RANK"),
            sharing=number("LOCAL_WORLD_SIZE", ranks),
            started_by="us" if LEADER in variables else "torchrun",
            address=variables["MASTER_ADDR"],
            port=number("MASTER_PORT"),
        )
    # of a step that srun has started; a batch script has SLURM_PROCID and SLURM_NTASKS too
    if (ranks := number("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in variables:
        one_node = number("SLURM_STEP_NUM_NODES", 1) == 1
        own_port = 15000 + (number("SLURM_JOB_ID") + 1009 * number("SLURM_STEP_ID")) % 15000
        first = _first_host(variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_NODELIST", ""))
        return Place(
            rank=number("SLURM_PROCID"),
            ranks=ranks,
            local_rank=number("SLURM_LOCALID"),
            node=number("SLURM_NODEID"),
            started_by="srun",  # which gives each its own cores
            address=variables.get("MASTER_ADDR") or ("127.0.0.1" if one_node else first),
            port=number("MASTER_PORT", own_port),
        )
    return None


def _first_host(hosts: str) -> str:
    """node07 of `node[07-09,12],other`."""
    match = re.match(r"([^,\[]*)(?:\[([^,\-\]]+)[^\]]*\])?([^,]*)", hosts)
    return "".join(part or "" for part in match.groups()) if match else hosts


def is_first() -> bool:
    """Whether this process is rank 0, which speaks for all; one that runs alone is."""
    found = _given(os.environ)
    return found is None or found.rank == 0


def refuse_started_by_others() -> None:
    """Raise InputError in a process that torchrun or srun has started among others: it shall not make a folder."""
    if (found := _given(os.environ)) is not None and found.ranks > 1:
        raise InputError(
            f"{found.started_by} has started {found.ranks} processes of `receptive train`: it is "
            "`python -m receptive.job FOLDER` that is started so, for a folder that holds the run's config.yaml"
        )
