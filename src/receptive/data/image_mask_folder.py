"""Your own images and masks: ROOT/train/images/NAME.png and ROOT/train/masks/NAME.png, the same below ROOT/test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from receptive.data.images import STATISTICS, Mode
from receptive.data.masks import MaskSource, Pair, Size, Values, check_pair, find_pairs, list_pairs, load_pairs
from receptive.data.source import ArraySplit, Facts, FileSplit, SplitName
from receptive.files import absolute

Side = Annotated[int, Ge(8)]


@dataclass(frozen=True)
class ImageMaskFolder(MaskSource):
    """Pairs of images and masks in any format that Pillow reads, matched by name without suffix.

    Args:
        root: folder that holds train/ and test/, each with images/ and masks/.
        image_size: to which both are resized, [height, width] in pixels, or the side of a square; images bilinear,
            masks to the nearest, the aspect ratio is not kept.
        class_names: one a class, the first is the background.
        label_values: the masks' values, 0 to 255, that stand for each class; a value of none is refused.
        mode: RGB, or L for grey.
        in_memory: False: files are read when their batch is due.

    Raises:
        ValueError: names and values do not fit together.
    """

    root: str
    image_size: Side | tuple[Side, Side] = 256
    class_names: Sequence[str] = ("background", "foreground")
    label_values: Values = ((0,), (255,))
    mode: Mode = "RGB"
    in_memory: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.image_size, int):
            object.__setattr__(self, "image_size", tuple(self.image_size))

    @property
    def _size(self) -> Size:
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    def facts(self) -> Facts:
        """The facts; mean and deviation are ImageNet's, for want of the folder's own."""
        mean, std = STATISTICS[self.mode]
        return Facts(len(mean), self._size, tuple(self.class_names), mean, std, target="mask")

    def prepare(self) -> None:
        """Match all files and open each without decoding its pixels.

        Raises:
            InputError: a folder or a partner is missing, sizes differ, or a file is not an image; the text names it.
        """
        for split in ("train", "test"):
            for pair in self._pairs(split):
                check_pair(pair)

    def load(self, split: SplitName) -> ArraySplit | FileSplit:
        """Read or list a split; see Source.load."""
        pairs = self._pairs(split)
        if not self.in_memory:
            return list_pairs(pairs, self._size, self.mode, self.labels)
        # a cache of its own: files of both splits may have equal names, sizes and times
        return load_pairs(pairs, self._size, self.mode, self.labels, absolute(self.root) / split / ".cache")

    def _pairs(self, split: SplitName) -> list[Pair]:
        folder = absolute(self.root) / split
        return find_pairs(folder / "images", folder / "masks")
