"""Images and the masks that belong to them: finding the pairs, reading masks, from their values to classes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from PIL import Image
from torch import Tensor

from receptive.data.cache import cached_images
from receptive.data.images import BILINEAR, Mode, check_header, is_image, opened, read_image, to_tensor
from receptive.data.source import ArraySplit, FileSplit, Source
from receptive.errors import InputError

Pair = tuple[Path, Path]
Size = tuple[int, int]  # height, width in pixels


def find_pairs(images: Path, masks: Path) -> list[Pair]:
    """Match the images of one folder with the masks of another by name without suffix; sorted by it.

    Raises:
        InputError: a folder is missing or empty, an image has no mask, a mask no image, or two files share a name; the
            text names up to three of them.
    """
    found, partners = _by_stem(images), _by_stem(masks)
    for own, other, what in ((found, partners, "image(s) without mask"), (partners, found, "mask(s) without image")):
        lonely = sorted(own.keys() - other.keys())
        if lonely:
            listed = ", ".join(str(own[name]) for name in lonely[:3]) + (", ..." if len(lonely) > 3 else "")
            raise InputError(f"{len(lonely)} {what}: {listed}: add or remove the file")
    return [(found[name], partners[name]) for name in sorted(found)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in filter(is_image, sorted(folder.iterdir()) if folder.is_dir() else []):
        if path.stem in found:
            raise InputError(f"{found[path.stem]} and {path} have one name: remove one of them")
        found[path.stem] = path
    if not found:
        reason = "holds no images" if folder.is_dir() else "does not exist"
        raise InputError(
            f"{folder} {reason}: put image files there, or set data.source.root (of a run: paths.data_dir)"
        )
    return found


def check_pair(pair: Pair) -> None:
    """Hold the headers of image and mask together.

    Raises:
        InputError: one is no readable image, or their sizes differ.
    """
    image, mask = pair
    size = check_header(image)
    with opened(mask, any_depth=True) as picture:
        if picture.size != size:
            given = "x".join(map(str, picture.size)), "x".join(map(str, size))
            raise InputError(f"{mask} has {given[0]} pixels, its image {given[1]}: they must have one size")


def read_mask(path: Path, size: Size) -> Tensor:
    """Read a mask's values, of a palette its indices, resized to the nearest: (height, width) uint8.

    Raises:
        InputError: no readable image, several colour channels that differ, or values that are no
            whole numbers from 0 to 255.
    """
    with opened(path, any_depth=True) as picture:
        picture.load()
        values = np.array(picture.convert("L") if picture.mode in ("1", "LA") else picture)
    if values.ndim == 3:
        colours = values[..., :3]
        if (colours != colours[..., :1]).any():
            raise InputError(f"{path} is a mask in colours: save one value, the class, for each pixel")
        values = colours[..., 0]
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        raise InputError(f"{path} has values that are no whole numbers: save one value, the class, for each pixel")
    if values.min() < 0 or values.max() > 255:
        raise InputError(f"{path} has values from {values.min()} to {values.max()}: a mask's lie between 0 and 255")
    resized = Image.fromarray(values.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(resized))


Values = Sequence[Sequence[Annotated[int, Ge(0), Le(255)]]]  # grey values of a mask, for each class


@dataclass(frozen=True)
class LabelValues:
    """Which values of a mask stand for which class.

    Args:
        class_names: one a class, the first is the background.
        values: the mask's values of each class, 0 to 255.

    Raises:
        ValueError: fewer than two classes, a class without value, or a value of two classes.
    """

    class_names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.class_names) != len(self.values) or len(self.values) < 2:
            raise ValueError(
                f"class_names={list(self.class_names)}: give one for each of the {len(self.values)} lists of "
                "label_values, two at least (the first is the background)"
            )
        flat = [value for values in self.values for value in values]
        if len(set(flat)) < len(flat) or not all(self.values) or not all(0 <= value <= 255 for value in flat):
            raise ValueError(
                f"label_values={[list(values) for values in self.values]}: give each class one value at least, from "
                "0 to 255, and no value to two classes"
            )

    def classes(self, values: Tensor, paths: Sequence[Path]) -> Tensor:
        """From values uint8 (N, H, W) of the masks at `paths` to classes uint8 (N, H, W).

        Raises:
            InputError: a mask has a value of no class.
        """
        table = torch.full((256,), 255, dtype=torch.uint8)
        for label, own in enumerate(self.values):
            table[list(own)] = label
        classes = torch.take(table, values.long())
        known = torch.zeros(256, dtype=torch.bool)
        known[[value for own in self.values for value in own]] = True
        for path, mask in zip(paths, values, strict=True):
            present = torch.bincount(mask.flatten(), minlength=256) > 0
            if strange := (present & ~known).nonzero().flatten().tolist():
                remedy = f"add them to data.source.label_values (now {[list(own) for own in self.values]})"
                if path.suffix.lower() in (".jpg", ".jpeg"):
                    remedy = "JPEG blurs values, save masks as PNG"
                raise InputError(
                    f"{path} has the value(s) {', '.join(map(str, strange[:5]))}, which stand for no class: {remedy}"
                )
        return classes


class MaskSource(Source):
    """A data set with masks. Its dataclasses have `class_names` and `label_values`, lists in a config, tuples here.

    Raises:
        ValueError: names and values do not fit together.
    """

    class_names: Sequence[str]
    label_values: Values

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "label_values", tuple(tuple(values) for values in self.label_values))
        _ = self.labels

    @property
    def labels(self) -> LabelValues:
        """Which values of a mask stand for which class."""
        return LabelValues(tuple(self.class_names), tuple(tuple(values) for values in self.label_values))


def read_resized(path: Path, size: Size, mode: Mode) -> Tensor:
    """Read an image, resized (bilinear; the aspect ratio is not kept): (C, height, width) uint8."""
    picture = read_image(path, mode)
    return to_tensor(picture if picture.size == size[::-1] else picture.resize(size[::-1], BILINEAR))


def load_pairs(pairs: Sequence[Pair], size: Size, mode: Mode, labels: LabelValues, cache: Path) -> ArraySplit:
    """Read images and masks into memory; what was decoded once is kept below `cache`.

    Args:
        pairs: N images and their masks.
        size: to which both are resized.
        mode: of the images.
        labels: turns the masks' values into classes.
        cache: a folder.

    Raises:
        InputError: a file cannot be read, or a mask has a value of no class.
    """
    images, masks = [image for image, _ in pairs], [mask for _, mask in pairs]
    pixels = cached_images(
        cache,
        "images",
        images,
        f"{size} {mode} upright",
        lambda: torch.stack([read_resized(path, size, mode) for path in images]),
    )
    values = cached_images(
        cache, "masks", masks, f"{size}", lambda: torch.stack([read_mask(path, size) for path in masks])
    )
    return ArraySplit(pixels, labels.classes(values, masks), names=tuple(path.stem for path in images))


def list_pairs(pairs: Sequence[Pair], size: Size, mode: Mode, labels: LabelValues) -> FileSplit:
    """The same pairs to be read when their batch is due."""
    return FileSplit(
        paths=tuple(image for image, _ in pairs),
        targets=tuple(mask for _, mask in pairs),
        read=functools.partial(read_resized, size=size, mode=mode),
        read_mask=functools.partial(_read_classes, size=size, labels=labels),
    )


def _read_classes(path: Path, size: Size, labels: LabelValues) -> Tensor:
    return labels.classes(read_mask(path, size).unsqueeze(0), [path]).squeeze(0)
