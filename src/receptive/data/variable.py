"""Any data set at several resolutions (R3.5 to R3.11)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, NoReturn

import torch
from annotated_types import Ge
from PIL import Image
from pydantic import Strict
from torch import Tensor

from receptive.data.images import BILINEAR, to_tensor
from receptive.data.randomness import generator
from receptive.data.sizes import SizedSplit
from receptive.data.source import ArraySplit, Facts, Source, SplitName
from receptive.errors import InputError

Side = Annotated[int, Ge(1), Strict()]


@dataclass(frozen=True)
class VariableResolution(Source):
    """The images of another data set, each resized to one of several sizes, squares.

    Which image gets which size follows from seed and split alone; each size is given to equally many images of a
    split, or to one more. Resized by Pillow: bilinear and antialiased, in whole numbers, so that every processor gives
    the same bytes. Mean and deviation are told as those of the images before.

    Args:
        source: the data set: labelled images in memory.
        sizes: sides in pixels, in any order.
        resize: side in pixels to which every image is resized once more, so that all are of one size; None: they stay.
        seed: of the sizes.

    Raises:
        InputError: there is no size, or one comes twice, or `source` is none that can be resized.
    """

    source: Source
    sizes: list[Side] | tuple[Side, ...]
    resize: Side | None = None
    seed: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        if not self.sizes or len(set(self.sizes)) < len(self.sizes):
            raise InputError(f"data.source.sizes={list(self.sizes)}: give one size or more, each once")
        object.__setattr__(self, "sizes", tuple(sorted(self.sizes)))  # so that it can be hashed
        if reason := _unfit(self.source):
            self._refuse(reason)

    @property
    def title(self) -> str:
        """What it is called on the console."""
        return f"{self.source.title} at several resolutions"

    @property
    def _sides(self) -> tuple[int, ...]:
        """The sides that images have in the end."""
        return tuple(self.sizes) if self.resize is None else (self.resize,)

    def facts(self) -> Facts:
        """The facts; raises InputError where the data set is one of masks."""
        given = self.source.facts()
        if given.target == "mask":
            self._refuse("has masks")
        sizes = tuple((side, side) for side in self._sides)
        return dataclasses.replace(given, image_size=sizes[-1], image_sizes=sizes if len(sizes) > 1 else ())

    def prepare(self) -> None:
        """Make the data set's files be there; see Source.prepare."""
        self.source.prepare()

    def fit(self, image: Image.Image) -> Tensor:
        """An image from elsewhere, (C, S, S) uint8, resized without regard to the aspect ratio.

        S is the size that is nearest to the image's own, the root of its pixels; with `resize` that.
        """
        own = math.sqrt(image.width * image.height)
        side = min(self._sides, key=lambda side: abs(side - own))
        return to_tensor(_resized(image.convert(self.facts().mode), side))

    def load(self, split: SplitName) -> ArraySplit | SizedSplit:
        """Read a split and resize it; rows, labels, groups and names are the data set's own. See Source.load."""
        given = self.source.load(split)
        if not isinstance(given, ArraySplit) or given.targets.ndim > 1:
            self._refuse("gives no labelled images in memory")
        first = self._kinds(len(given), split)
        kinds = first if len(self._sides) > 1 else torch.zeros_like(first)
        counts = torch.bincount(kinds, minlength=len(self._sides)).tolist()
        stacks = tuple(
            torch.empty(count, given.images.shape[1], side, side, dtype=torch.uint8)
            for count, side in zip(counts, self._sides, strict=True)
        )
        found = SizedSplit(stacks, kinds, given.targets, given.groups, given.names)
        places = zip(first.tolist(), kinds.tolist(), found.places.tolist(), strict=True)
        for pixels, (size, kind, place) in zip(given.images, places, strict=True):  # one by one: nothing else is held
            stacks[kind][place] = self._at(pixels, self.sizes[size])
        return found if len(stacks) > 1 else dataclasses.replace(given, images=stacks[0])

    def _kinds(self, count: int, split: SplitName) -> Tensor:
        """The place in `sizes` that each image of a split gets: (count,) int64."""
        draws = generator("sizes", self.seed, 0 if split == "train" else 1)
        return torch.randperm(count, generator=draws) % len(self.sizes)

    def _at(self, pixels: Tensor, side: int) -> Tensor:
        """An image (C, H, W) uint8 with sides of that size, and resized once more where that is asked for."""
        image = Image.fromarray(pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())
        image = _resized(image, side)
        return to_tensor(image if self.resize is None else _resized(image, self.resize))

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(
            f"data.source.source: {type(self.source).__name__} {reason}; give a data set of labelled images that is "
            "held in memory, such as MNIST, Digits, CIFAR10 or GTSRB"
        )


def _unfit(source: object) -> str | None:
    """Why a data set cannot be resized, as far as its class tells."""
    if not isinstance(source, Source):
        return "is no data set"
    if source.FILES:
        return "reads its images from files when they are due"
    return "is resized already" if isinstance(source, VariableResolution) else None


def _resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), BILINEAR)
