"""JSRT: 247 chest radiographs, with the masks of lungs and heart that the SCR database adds.

J. Shiraishi et al., "Development of a digital image database for chest radiographs with and without a lung nodule",
AJR 174, 2000; B. van Ginneken, M. Stegmann, M. Loog, "Segmentation of anatomical structures in chest radiographs using
supervised methods", Medical Image Analysis 10, 2006. Neither may be passed on: scripts/prepare_jsrt.py makes the folder
that is read here from what both give to registered users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from receptive.data.masks import MaskSource, Pair, Values, check_pair, find_pairs, load_pairs
from receptive.data.source import ArraySplit, Facts, SplitName
from receptive.errors import InputError
from receptive.files import absolute

FOLDER = "jsrt"

# over the pixels of the 124 training images, resized to 256x256
MEAN = (0.5928,)
STD = (0.2729,)


@dataclass(frozen=True)
class JSRT(MaskSource):
    """Chest radiographs (1, image_size, image_size); the SCR database's split: 124 + 123 images.

    In the sorted list of names the images at even places, counted from 1, are the test set. Values of the prepared
    masks: 0 background, 150 right lung, 200 left lung, 250 heart.

    Args:
        root: folder that holds jsrt/images and jsrt/masks.
        image_size: side to which images and masks are resized, pixels.
        class_names: one a class, the first is the background.
        label_values: the masks' values that stand for each class.

    Raises:
        ValueError: names and values do not fit together.
    """

    root: str
    image_size: Annotated[int, Ge(8)] = 256
    class_names: Sequence[str] = ("background", "lungs")
    label_values: Values = ((0, 250), (150, 200))

    def facts(self) -> Facts:
        """The facts."""
        return Facts(1, (self.image_size, self.image_size), tuple(self.class_names), MEAN, STD, target="mask")

    def prepare(self) -> None:
        """Match all files and look at their headers.

        Raises:
            InputError: the prepared folder is missing, or files in it do not fit together.
        """
        folder = absolute(self.root) / FOLDER
        if not folder.is_dir():
            raise InputError(
                f"JSRT is missing: {folder} does not exist. Its terms forbid to pass it on: register with JSRT "
                "(images) and SCR (masks), download both, then run scripts/prepare_jsrt.py. Without them: data=phantoms"
            )
        for pair in self._all_pairs():
            check_pair(pair)

    def load(self, split: SplitName) -> ArraySplit:
        """Read a split; see Source.load."""
        pairs = self._all_pairs()[1 if split == "test" else 0 :: 2]
        size = (self.image_size, self.image_size)
        return load_pairs(pairs, size, "L", self.labels, absolute(self.root) / FOLDER / ".cache")

    def _all_pairs(self) -> list[Pair]:
        folder = absolute(self.root) / FOLDER
        return find_pairs(folder / "images", folder / "masks")
