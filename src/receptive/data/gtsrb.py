"""GTSRB: 26,640 + 12,630 photographs of German traffic signs in 43 classes.

J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, "The German Traffic Sign Recognition Benchmark", IJCNN 2011.
A track is 30 frames of one sign that a car came towards: near copies, so validation holds out whole tracks.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from receptive.data.cache import cached_images
from receptive.data.files import ensure_files
from receptive.data.images import BILINEAR, read_image, to_tensor
from receptive.data.source import ArraySplit, Facts, Source, SplitName
from receptive.errors import InputError
from receptive.files import absolute

# fmt: off
CLASSES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70",
    "speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120", "no overtaking",
    "no overtaking by lorries", "priority at next crossing", "priority road", "give way", "stop",
    "no vehicles", "no lorries", "no entry", "danger", "bend left",
    "bend right", "double bend", "uneven road", "slippery road", "road narrows on the right",
    "road works", "traffic lights", "pedestrians", "children", "cyclists",
    "snow or ice", "wild animals", "end of all limits", "turn right", "turn left",
    "straight on", "straight on or right", "straight on or left", "keep right", "keep left",
    "roundabout", "end of no overtaking", "end of no overtaking by lorries",
)
# fmt: on
# over the pixels of the 26,640 training images, whole, resized to 28x28 (from a copy of them at 32x32)
MEAN = (0.3412, 0.3124, 0.3210)
STD = (0.2704, 0.2571, 0.2621)

TRAINING = "gtsrb/GTSRB/Training"
TEST = "gtsrb/GTSRB/Final_Test"
TEST_LABELS = "gtsrb/GT-final_test.csv"
CACHE = "gtsrb/.cache"
TRACKS = 10_000  # more than any class has: class * TRACKS + track numbers all of them

SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg")

Box = tuple[int, int, int, int]  # left, upper, right, lower edge of the sign


@dataclass(frozen=True)
class GTSRB(Source):
    """Traffic signs, (3, image_size, image_size), 43 classes.

    The decoded images are cached below root/gtsrb/.cache.

    Args:
        root: folder that holds gtsrb/, in torchvision's layout.
        download: get what is missing.
        image_size: side to which each image is resized (bilinear; the aspect ratio is not kept), pixels.
        crop_to_roi: cut the border of about a tenth around the sign away before, by the annotated region.
    """

    root: str
    download: bool = True
    image_size: Annotated[int, Ge(8)] = 28
    crop_to_roi: bool = False

    def facts(self) -> Facts:
        """The facts."""
        return Facts(3, (self.image_size, self.image_size), CLASSES, MEAN, STD)

    def prepare(self) -> None:
        """Make both parts be there; see Source.prepare."""
        ensure_files(
            name="GTSRB",
            root=absolute(self.root),
            files=[TRAINING, TEST, TEST_LABELS],
            archives="GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip, "
            "each unpacked to gtsrb/",
            download=_download if self.download else None,
        )

    def load(self, split: SplitName) -> ArraySplit:
        """Read a split; see Source.load. The training images' groups are their tracks."""
        root = absolute(self.root)
        if split == "train":
            labels = _training_files(root / TRAINING)
            groups = torch.tensor([_track(path, label) for path, label in labels.items()])
        else:
            labels = _test_files(root)
            groups = None
        options = f"{self.image_size} {self.crop_to_roi}"
        images = cached_images(root / CACHE, split, list(labels), options, lambda: self._decode(list(labels)))
        return ArraySplit(images, torch.tensor(list(labels.values())), groups)

    def _decode(self, paths: list[Path]) -> Tensor:
        """The images (N, 3, image_size, image_size) uint8."""
        images = torch.empty(len(paths), 3, self.image_size, self.image_size, dtype=torch.uint8)
        boxes = _boxes(absolute(self.root)) if self.crop_to_roi else {}
        for image, path in zip(images, paths, strict=True):
            picture = read_image(path, "RGB")
            if self.crop_to_roi:
                if path.with_suffix("") not in boxes:
                    raise InputError(f"{path} has no region in its annotation file (GT-*.csv): download it again")
                picture = picture.crop(boxes[path.with_suffix("")])
            image.copy_(to_tensor(picture.resize((self.image_size, self.image_size), BILINEAR)))
        return images


def _training_files(folder: Path) -> dict[Path, int]:
    """The training images and their classes, by folder and name."""
    files: dict[Path, int] = {}
    for label in range(len(CLASSES)):
        own = folder / f"{label:05d}"
        names = [name for name in os.listdir(own) if name.lower().endswith(SUFFIXES)] if own.is_dir() else []
        if not names:
            raise InputError(f"{own} holds no images: delete {folder} and download GTSRB again")
        files |= {own / name: label for name in sorted(names)}
    return files


def _test_files(root: Path) -> dict[Path, int]:
    """The test images and their classes, in the order of the annotation file."""
    rows = _annotations(root / TEST_LABELS)
    return {root / TEST / "Images" / row["Filename"]: int(row["ClassId"]) for row in rows}


def _track(path: Path, label: int) -> int:
    """The number of an image's track: TTTTT_FFFFF.ppm is frame F of its class's track T."""
    track, _, frame = path.stem.partition("_")
    if not (track.isdigit() and frame.isdigit()):
        raise InputError(f"{path} does not name its track (TRACK_FRAME{path.suffix}): download GTSRB again")
    return label * TRACKS + int(track)


def _boxes(root: Path) -> dict[Path, Box]:
    """The sign's region in every image; the keys are paths without suffix."""
    boxes: dict[Path, Box] = {}
    tables = [(table, table.parent) for table in sorted((root / TRAINING).glob("*/GT-*.csv"))]
    for table, folder in [*tables, (root / TEST_LABELS, root / TEST / "Images")]:
        for row in _annotations(table):
            left, upper, right, lower = (int(row[f"Roi.{edge}"]) for edge in ("X1", "Y1", "X2", "Y2"))
            boxes[(folder / row["Filename"]).with_suffix("")] = left, upper, right, lower
    return boxes


def _annotations(table: Path) -> list[dict[str, str]]:
    """Read an annotation file and hold its columns against what is asked of them."""
    columns = {"Filename", "ClassId", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2"}
    try:
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table} cannot be read ({error}): download it again") from None
    if not rows or any(not columns <= row.keys() or None in row.values() for row in rows):
        raise InputError(f"{table} is truncated or corrupt: delete it and download it again")
    return rows


def _download(folder: str) -> None:
    from torchvision.datasets import GTSRB as Torchvision

    Torchvision(folder, split="train", download=True)
    Torchvision(folder, split="test", download=True)
