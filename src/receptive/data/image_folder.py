"""Your own images, one folder a class: ROOT/train/CLASS/*.png and ROOT/test/CLASS/*.png."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from PIL import Image, ImageOps
from torch import Tensor

from receptive.data.images import BILINEAR, STATISTICS, Mode, check_header, is_image, read_image, to_tensor
from receptive.data.source import Facts, FileSplit, Source, SplitName
from receptive.errors import InputError
from receptive.files import absolute


@dataclass(frozen=True)
class ImageFolder(Source):
    """Images in any format that Pillow reads, read when due; the classes are the folders of train/.

    Args:
        root: folder that holds train/ and test/.
        image_size: the shorter side is resized to it (bilinear), then the centre is cropped, pixels.
        mode: RGB, or L for grey.
    """

    FILES: ClassVar[bool] = True

    root: str
    image_size: Annotated[int, Ge(1)] = 224
    mode: Mode = "RGB"

    def facts(self) -> Facts:
        """The facts; the class names are the sorted folders of train/.

        Raises:
            InputError: there are none.
        """
        mean, std = STATISTICS[self.mode]
        return Facts(len(mean), (self.image_size, self.image_size), tuple(self._classes("train")), mean, std)

    def prepare(self) -> None:
        """Open every file without decoding its pixels.

        Raises:
            InputError: a folder is missing or empty, or a file is not an image; the text names it.
        """
        for split in ("train", "test"):
            for path in self._files(split):
                check_header(path)

    def load(self, split: SplitName) -> FileSplit:
        """List a split; see Source.load. Reading a truncated image raises InputError naming it."""
        files = self._files(split)
        read = functools.partial(_read, size=self.image_size, mode=self.mode)
        return FileSplit(tuple(files), torch.tensor(list(files.values())), read)

    def fit(self, image: Image.Image) -> Tensor:
        """An image from elsewhere resized and cropped; see Source.fit."""
        return _fit(image.convert(self.mode), self.image_size)

    def _files(self, split: SplitName) -> dict[Path, int]:
        """The images of a split and their classes, by folder and name."""
        labels = {name: label for label, name in enumerate(self._classes("train"))}
        files: dict[Path, int] = {}
        for name in self._classes(split):
            folder = absolute(self.root) / split / name
            if name not in labels:
                raise InputError(f"{folder} is a class that {folder.parents[1] / 'train'} does not have")
            own = sorted(path for path in folder.rglob("*") if path.is_file() and is_image(path))
            if not own:
                raise InputError(f"{folder} holds no images: fill it, or remove it if there is no such class")
            files |= dict.fromkeys(own, labels[name])
        return files

    def _classes(self, split: SplitName) -> list[str]:
        folder = absolute(self.root) / split
        names = [path.name for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")]
        if not names:
            raise InputError(
                f"{folder} holds no folders of images: put them at {folder}/CLASS/*.png (any image format), or set "
                f"data.source.root to the folder that has {split}/ (of a run: paths.data_dir)"
            )
        return sorted(names)


def _read(path: Path, size: int, mode: Mode) -> Tensor:
    """An image as (C, size, size) uint8."""
    return _fit(read_image(path, mode), size)


def _fit(image: Image.Image, size: int) -> Tensor:
    return to_tensor(ImageOps.fit(image, (size, size), BILINEAR))
