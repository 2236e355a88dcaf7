"""flatten and sigmoid."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim as one, in row order: the index i of (d1, ..., dk) is ((i1 d2 + i2) d3 + ...).

    Source: torch.flatten's documentation.

    Args:
        input: any shape; of no dimension it becomes (1,).
        start_dim: first dimension, from the end if negative.
        end_dim: last dimension, included.

    Returns:
        A view where the memory allows it, otherwise a copy.

    Raises:
        IndexError: a dimension is out of range.
        RuntimeError: the first comes after the last.
        TypeError: a dimension is not a whole number.
    """
    dimensions = max(input.dim(), 1)
    for name, dim in (("start_dim", start_dim), ("end_dim", end_dim)):
        if not isinstance(dim, int):
            raise TypeError(f"flatten: {name}={dim!r}: give a whole number")
        if not -dimensions <= dim < dimensions:
            raise IndexError(f"flatten: {name}={dim} is beyond {-dimensions} to {dimensions - 1}")
    first, last = start_dim % dimensions, end_dim % dimensions
    if first > last:
        raise RuntimeError(f"flatten: start_dim={start_dim} comes after end_dim={end_dim}")
    shape = tuple(input.shape)
    return input.reshape(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def sigmoid(input: Tensor) -> Tensor:
    """The logistic function: y = 1 / (1 + exp(-x)).

    Computed as min(1, e^x) / (1 + e^-|x|), with no exponential of a positive number: neither tail overflows, and
    the lower one keeps its relative precision. Its gradient, y (1 - y), follows by autograd.
    Source: torch.nn.Sigmoid's documentation.

    Args:
        input: any shape; whole numbers are taken as floating-point.

    Returns:
        The same shape, in [0, 1].
    """
    numbers = input if input.is_floating_point() else input.to(torch.get_default_dtype())
    # Not -abs(x): its gradient at 0 is 0, the sigmoid's a quarter.
    small = torch.where(numbers >= 0, -numbers, numbers).exp()
    return torch.where(numbers >= 0, torch.ones_like(small), small) / (1 + small)
