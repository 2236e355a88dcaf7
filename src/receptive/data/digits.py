"""Digits: 1,797 handwritten digits of 8x8 pixels that scikit-learn brings along; needs no download.

The test part of E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998. It has no official split of its own: here the last 360 images, in scikit-learn's order, are
the test set.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from receptive.data.source import ArraySplit, Facts, Source, SplitName

TEST_IMAGES = 360
LEVELS = 16  # the brightest pixel of the original

# over the pixels of the 1,437 training images as uint8 / 255
FACTS = Facts(1, (8, 8), tuple("0123456789"), mean=(0.3054,), std=(0.3753,))


@dataclass(frozen=True)
class Digits(Source):
    """Handwritten digits, (1, 8, 8), 10 classes, 1,437 + 360 images."""

    def facts(self) -> Facts:
        """The facts."""
        return FACTS

    def prepare(self) -> None:
        """Do nothing: the images come with scikit-learn."""

    def load(self, split: SplitName) -> ArraySplit:
        """Read a split; the 17 grey levels are spread over 0 to 255."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).unsqueeze(1).mul(255 / LEVELS).round().to(torch.uint8)
        targets = torch.from_numpy(digits.target).long()
        part = slice(-TEST_IMAGES) if split == "train" else slice(-TEST_IMAGES, None)
        return ArraySplit(images[part].clone(), targets[part].clone())
