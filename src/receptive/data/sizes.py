"""Images of several sizes: what no single tensor holds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

# N images: (N, C, H, W), or where their sizes differ N times (C, H, W)
Stack = Tensor | tuple[Tensor, ...]


def stacked(images: Sequence[Tensor]) -> Stack:
    """Images (C, H, W) as one tensor if they are of one size."""
    one_size = len({image.shape for image in images}) == 1
    return torch.stack(list(images)) if one_size else tuple(images)


def by_size(images: Stack) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the images of each size: their places in `images`, ascending, and themselves (n, C, H, W)."""
    if isinstance(images, Tensor):
        yield list(range(len(images))), images
        return
    for shape in dict.fromkeys(image.shape for image in images):
        places = [place for place, image in enumerate(images) if image.shape == shape]
        yield places, torch.stack([images[place] for place in places])


@dataclass(frozen=True, eq=False)
class SizedSplit:
    """A split in memory whose images have several sizes.

    Args:
        stacks: of each size the images, (n, C, H, W) uint8, in the order of their rows.
        kinds: (N,) int64, the place in `stacks` of each row's size.
        targets: (N,) int64 labels.
        groups: as in ArraySplit.
        names: as in ArraySplit.
    """

    stacks: tuple[Tensor, ...]
    kinds: Tensor
    targets: Tensor
    groups: Tensor | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @functools.cached_property
    def places(self) -> Tensor:
        """(N,) int64, the place of each row in the stack of its size."""
        places = torch.empty_like(self.kinds)
        for kind in range(len(self.stacks)):
            own = self.kinds == kind
            places[own] = torch.arange(int(own.sum()))
        return places

    def batch(self, rows: Sequence[int]) -> tuple[Stack, Tensor]:
        """Images uint8, B times (C, H, W) where their sizes differ, and their labels (B,)."""
        images = [self.stacks[kind][place] for kind, place in zip(self.kinds[rows], self.places[rows], strict=True)]
        return stacked(images), self.targets[rows]

    def on(self, device: str) -> Self:
        """The split with images and labels on a device."""
        return replace(self, stacks=tuple(stack.to(device) for stack in self.stacks), targets=self.targets.to(device))

    @functools.cached_property
    def checksum(self) -> str:
        """16 hexadecimal digits of the SHA-256 of images, sizes and labels."""
        return checksum_of(*self.stacks, self.kinds, self.targets)


def checksum_of(*arrays: Tensor) -> str:
    """16 hexadecimal digits of the SHA-256 of arrays, with their shapes and types."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((tuple(array.shape), array.dtype)).encode())
        digest.update(array.contiguous().numpy().data)
    return digest.hexdigest()[:16]
