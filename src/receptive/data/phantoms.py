"""Phantoms: drawn chest radiographs with the outlines of lungs and heart; needs no download.

They stand in for JSRT where its files are not: as many training and test images, the same classes, the same
traps (air beside the patient and in the stomach is as dark as lung, a consolidated lung is as bright as tissue).
They are drawings: what a net reaches on them is no result about radiographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge

from receptive.data.radiograph import BACKGROUND, HEART, draw_radiograph
from receptive.data.source import ArraySplit, Facts, Source, SplitName

CLASSES = ("background", "lungs", "heart")
# over the pixels of the 124 training images of seed 0 at 256x256; other sizes and seeds differ by less than 0.01
MEAN = (0.4911,)
STD = (0.2842,)

_STREAMS: dict[SplitName, int] = {"train": 0, "test": 1}


@dataclass(frozen=True)
class Phantoms(Source):
    """Drawn chest radiographs, (1, image_size, image_size), masks (image_size, image_size), 2 or 3 classes.

    Every image is a function of seed, split and its own number: a bigger split begins with the smaller one, and
    the same patient is drawn at every size.

    Args:
        image_size: side of images and masks, pixels.
        train_images: number of training images.
        test_images: number of test images.
        seed: of all drawings.
        heart: label the heart too; without, it is background.
    """

    image_size: Annotated[int, Ge(32)] = 256
    train_images: Annotated[int, Ge(1)] = 124
    test_images: Annotated[int, Ge(1)] = 123
    seed: Annotated[int, Ge(0)] = 0
    heart: bool = False

    def facts(self) -> Facts:
        """The facts."""
        classes = CLASSES if self.heart else CLASSES[:HEART]
        return Facts(1, (self.image_size, self.image_size), classes, MEAN, STD, target="mask")

    def prepare(self) -> None:
        """Do nothing: the images are drawn when they are asked for."""

    def load(self, split: SplitName) -> ArraySplit:
        """Draw a split: images (N, 1, H, W) uint8, masks (N, H, W) uint8."""
        count = self.train_images if split == "train" else self.test_images
        images = np.empty((count, 1, self.image_size, self.image_size), np.uint8)
        masks = np.empty((count, self.image_size, self.image_size), np.uint8)
        for index in range(count):
            # SeedSequence mixes the three: neighbouring seeds share no image
            rng = np.random.default_rng((self.seed, _STREAMS[split], index))
            images[index, 0], masks[index] = draw_radiograph(rng, self.image_size)
        if not self.heart:
            masks[masks == HEART] = BACKGROUND
        names = tuple(f"{split}_{index:03}" for index in range(count))
        return ArraySplit(torch.from_numpy(images), torch.from_numpy(masks), names=names)
