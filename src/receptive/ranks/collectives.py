"""What the processes of a run tell one another; in one process there is nobody to wait for.

Every process has to call them at the same points. What is handed over lies on the CPU and goes through gloo, also where
gradients go through NCCL; see `receptive.ranks.world.World.join`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Value = TypeVar("Value")


def several() -> bool:
    """Whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gathered(value: Value) -> list[Value]:
    """The values of all processes, by rank: anything that can be pickled."""
    if not several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def per_rank(value: Value) -> Value | list[Value]:
    """What a checkpoint keeps of a value that each process has its own of: a list by rank; in one process the value."""
    return gathered(value) if several() else value


def own(kept: Any) -> Any:
    """This process's value of what `per_rank` gave."""
    return kept[dist.get_rank()] if several() else kept


def of_first(value: Value) -> Value:
    """The value of rank 0."""
    if not several():
        return value
    values: list[Any] = [value]
    dist.broadcast_object_list(values, 0)
    found: Value = values[0]
    return found


def highest(*values: int) -> list[int]:
    """The largest that any process has, of each of the values."""
    if not several():
        return list(values)
    together = torch.tensor(values, dtype=torch.int64)
    dist.all_reduce(together, dist.ReduceOp.MAX)
    return [int(value) for value in together.tolist()]


def summed(*values: float) -> list[float]:
    """The sums over the processes, in float64."""
    if not several():
        return list(values)
    together = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(together)
    return [float(value) for value in together.tolist()]


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors, on whatever device, with those of rank 0."""
    if several():
        for tensor in tensors:
            dist.broadcast(tensor, 0)
