"""Between tensors and lists of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def as_tensor(numbers: Sequence[float], shape: Sequence[int], like: Tensor) -> Tensor:
    """Numbers in row order as a tensor of `shape`, with dtype and device of `like`."""
    return torch.tensor(numbers, dtype=like.dtype, device=like.device).reshape(*shape)


def inside(row: int, column: int, height: int, width: int) -> bool:
    """Whether a place lies on the plane, and not on the padding."""
    return 0 <= row < height and 0 <= column < width
