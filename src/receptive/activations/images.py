"""The images that are looked at: a part of the run's data, or one's own files."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from receptive.data.images import image_files, read_image
from receptive.data.module import Examples, ImageData, Part
from receptive.data.sizes import by_size, stacked
from receptive.errors import InputError


class Images(abc.ABC):
    """A set of images in a fixed order, as the model takes them."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield normalised images (B, C, H, W) of one size, B at most `size`."""

    @abc.abstractmethod
    def examples(self, places: Sequence[int]) -> Examples:
        """Those that `maps` names, with pixels and names; raises InputError where there is no such place."""


class SplitImages(Images):
    """A part of the run's data.

    Args:
        data: of the run.
        split: the part.
        positions: places in it; None: all.

    Raises:
        InputError: there is no such place.
    """

    def __init__(self, data: ImageData, split: Part, positions: Sequence[int] | None = None) -> None:
        self.data = data
        self.split = split
        self.positions = positions
        self._size = len(data.ordered_loader(split, positions).indices)

    def __len__(self) -> int:
        return self._size

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield the images without augmentation, in order but for what data of several sizes change in it."""
        for inputs, _ in self.data.ordered_loader(self.split, self.positions, size):
            yield inputs

    def examples(self, places: Sequence[int]) -> Examples:
        """Images by their places in the split, whatever `positions` are."""
        return self.data.examples(self.split, places, "maps")


class FileImages(Images):
    """Image files.

    Args:
        data: of the run; says how an image is made to fit.
        source: an image, or a folder with all images below it.
        output: folder whose images are left out.
        limit: the first so many by name; None: all.

    Raises:
        InputError: there is none.
    """

    def __init__(self, data: ImageData, source: Path, output: Path, limit: int | None = None) -> None:
        self.data = data
        self.files = image_files(source, output)
        self._names = list(self.files)[:limit]

    def __len__(self) -> int:
        return len(self._names)

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield the images in the order of their names; raises InputError where one cannot be read."""
        for start in range(0, len(self), size):
            inputs = self.data.inputs([self._read(name) for name in self._names[start : start + size]])
            yield from (images for _, images in by_size(inputs))

    def examples(self, places: Sequence[int]) -> Examples:
        """Images by their places in the order of their names, whatever the limit is."""
        names = list(self.files)
        if strange := [place for place in places if not 0 <= place < len(names)]:
            raise InputError(f"maps={strange[0]}: input holds {len(names)} images, counted from 0")
        images = [self._read(names[place]) for place in places]
        pixels = stacked([self.data.source.fit(image) for image in images])
        return Examples(pixels, self.data.inputs(images), torch.zeros(0), tuple(names[place] for place in places))

    def _read(self, name: str) -> Image:
        return read_image(self.files[name], self.data.facts.mode)
