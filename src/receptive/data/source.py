"""What a data set is: its facts, where its files are, and its two official splits."""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from PIL import Image
from torch import Tensor

from receptive.data.images import BILINEAR, Mode, to_tensor
from receptive.data.sizes import SizedSplit, checksum_of

SplitName = Literal["train", "test"]
Target = Literal["label", "mask"]


@dataclass(frozen=True)
class Facts:
    """What models and tasks must know of a data set.

    Args:
        in_channels: channels of the images.
        image_size: (height, width) of the images in pixels; of several sizes the largest.
        class_names: one name a class, in the order of the labels.
        mean: mean of each channel over the training images, pixels in [0, 1].
        std: standard deviation of each channel over the training images, pixels in [0, 1].
        target: what belongs to an image: one "label", or a "mask" with the class of each pixel (class 0: background).
        image_sizes: all sizes, ascending, where there are several; empty: there is one.
    """

    in_channels: int
    image_size: tuple[int, int]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target: Target = "label"
    image_sizes: tuple[tuple[int, int], ...] = ()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Every (height, width) that there is: one or several."""
        return self.image_sizes or (self.image_size,)

    @property
    def shapes(self) -> str:
        """CxHxW of every size, in words."""
        return ", ".join("x".join(map(str, (self.in_channels, *size))) for size in self.sizes)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def mode(self) -> Mode:
        """The kind of Pillow image that fits the channels."""
        return "L" if self.in_channels == 1 else "RGB"

    def plain(self) -> dict[str, Any]:
        """The facts as JSON holds them."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_plain(values: dict[str, Any]) -> Facts:
        """The facts that `plain` gave; raises TypeError or KeyError where they are not all there."""
        lists = {name: tuple(values[name]) for name in ("image_size", "class_names", "mean", "std")}
        sizes = tuple((height, width) for height, width in values.get("image_sizes", ()))  # older runs have none
        return Facts(**(values | lists | {"image_sizes": sizes}))


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """A split in memory.

    Args:
        images: (N, C, H, W) uint8.
        targets: (N,) int64 labels, or (N, H, W) uint8 masks.
        groups: (N,) int64; images with one value (frames of one track) are never parted between training and
            validation. None: every image stands for itself.
        names: of the N images, where they have any; results speak of them.
    """

    images: Tensor
    targets: Tensor
    groups: Tensor | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) uint8 and their targets."""
        return self.images[list(rows)], self.targets[list(rows)]

    def on(self, device: str) -> Self:
        """The split with images and targets on a device."""
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    @functools.cached_property
    def checksum(self) -> str:
        """16 hexadecimal digits of the SHA-256 of images and targets."""
        return checksum_of(self.images, self.targets)


@dataclass(frozen=True, eq=False)
class FileSplit:
    """A split too big for memory: image files that are read when their batch is due.

    Args:
        paths: N image files.
        targets: (N,) int64 labels, or the N files of the masks.
        read: turns a file into a uint8 image (C, H, W) and raises InputError naming the file where it cannot;
            pickles, since worker processes call it.
        read_mask: the same for a file of a mask, giving uint8 (H, W).
        groups: as in ArraySplit.
    """

    paths: tuple[Path, ...]
    targets: Tensor | tuple[Path, ...]
    read: Callable[[Path], Tensor]
    read_mask: Callable[[Path], Tensor] | None = None
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names without suffix."""
        return tuple(path.stem for path in self.paths)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Read images (B, C, H, W) uint8 and their targets; raises InputError naming an unreadable file."""
        return torch.stack([self.read(self.paths[row]) for row in rows]), self.target_batch(rows)

    def target_batch(self, rows: Sequence[int]) -> Tensor:
        """The targets alone: labels as they are, masks read."""
        if isinstance(self.targets, Tensor):
            return self.targets[list(rows)]
        assert self.read_mask is not None
        return torch.stack([self.read_mask(self.targets[row]) for row in rows])

    @functools.cached_property
    def checksum(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the files' folders, names and sizes."""
        digest = hashlib.sha256()
        masks = () if isinstance(self.targets, Tensor) else self.targets
        for path in (*self.paths, *masks):
            digest.update(repr((path.parent.name, path.name, path.stat().st_size)).encode())
        return digest.hexdigest()[:16]


Split = ArraySplit | SizedSplit | FileSplit


class Source(abc.ABC):
    """A data set on disk. Its classes are frozen dataclasses: two of one value are one data set."""

    FILES: ClassVar[bool] = False  # whether `load` gives files of labelled images instead of arrays

    @property
    def title(self) -> str:
        """What it is called on the console."""
        return type(self).__name__

    @abc.abstractmethod
    def facts(self) -> Facts:
        """The facts without reading a pixel."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the files be there.

        Raises:
            InputError: files are missing and cannot be downloaded; the text says which go where.
        """

    def fit(self, image: Image.Image) -> Tensor:
        """An image from elsewhere in the form of the data set's own: (C, H, W) uint8.

        Here: its colours or their luma, resized (bilinear) without regard to the aspect ratio.
        """
        facts = self.facts()
        height, width = facts.image_size
        return to_tensor(image.convert(facts.mode).resize((width, height), BILINEAR))

    @abc.abstractmethod
    def load(self, split: SplitName) -> Split:
        """Read a split.

        Raises:
            InputError: a file is missing, truncated or corrupt; the text names it and the remedy.
        """


@functools.lru_cache(maxsize=4)
def load_cached(source: Source, split: SplitName) -> Split:
    """Read a split once in a process: further jobs of a sweep pay nothing. The last four splits are kept."""
    return source.load(split)
