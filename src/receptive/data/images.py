"""Reading image files."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from receptive.errors import InputError

Mode = Literal["RGB", "L"]
BILINEAR = Image.Resampling.BILINEAR

# ImageNet's, as in torchvision's weights, for want of the folder's own (set data.mean and data.std); grey:
# their luma
STATISTICS: dict[Mode, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "RGB": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "L": ((0.459,), (0.226,)),
}


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image that Pillow reads; hidden files are none."""
    suffixes = Image.registered_extensions()
    return not path.name.startswith(".") and suffixes.get(path.suffix.lower()) in Image.OPEN


def image_files(source: Path, output: Path) -> dict[str, Path]:
    """The images that `source` names, by their path below it without suffix; with suffix where two share one.

    Raises:
        InputError: there are none, or the results would lie among them.
    """
    if source.is_file():
        return {source.stem: source}
    if not source.is_dir():
        raise InputError(f"input={source}: does not exist; give an image or a folder of images")
    written = output.resolve()
    if source.resolve().is_relative_to(written):
        raise InputError(f"output={output}: is the input's folder or holds it; choose another, below it if you like")
    found = [
        path
        for path in sorted(source.rglob("*"))
        if is_image(path)
        and path.is_file()
        and not path.resolve().is_relative_to(written)  # what an earlier call has written
    ]
    if not found:
        raise InputError(f"input={source}: there is no image in this folder")
    whole = {path: path.relative_to(source).as_posix() for path in found}
    short = {path: path.relative_to(source).with_suffix("").as_posix() for path in found}
    # a.png.tif without suffix is what a.png is called beside a.jpg
    uses = Counter([*short.values(), *whole.values()])
    return {short[path] if uses[short[path]] == 1 else whole[path]: path for path in found}


def check_header(path: Path) -> tuple[int, int]:
    """The (width, height) in a file's header; raises InputError where read_image would, as far as the header tells."""
    with opened(path) as image:
        return image.size[::-1] if _orientation(image) > 4 else image.size


def read_image(path: Path, mode: Mode) -> Image.Image:
    """Decode an image file to RGB or grey ("L"), turned as its EXIF says, without regard to transparency.

    Raises:
        InputError: the file is missing, truncated, corrupt, no image, or has more than 8 bits a channel.
    """
    with opened(path) as image:
        upright: Image.Image = image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
        if upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")  # the same colours; without this step Pillow warns
        return upright.convert(mode)


def _orientation(image: Image.Image) -> int:
    """How a camera held the image (EXIF): 1 upright, from 5 on height and width exchanged.

    Only of formats in which Pillow leaves it to the caller; a TIFF it turns itself, a PNG has it after the pixels.
    """
    if image.format not in ("JPEG", "MPO", "WEBP"):
        return 1
    with contextlib.suppress(Exception):  # broken EXIF is no reason to refuse the pixels
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
        return found if found in range(2, 9) else 1
    return 1


@contextlib.contextmanager
def opened(path: Path, any_depth: bool = False) -> Iterator[Image.Image]:
    """Open an image file; what goes wrong in the block too becomes an InputError that names the file.

    Args:
        path: the file.
        any_depth: take more than 8 bits a channel as well.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")) and not any_depth:
                raise ValueError("more than 8 bits a channel: convert it to 8 bits")
            yield image
    except InputError:
        raise
    except Exception as error:  # besides OSError Pillow's decoders raise whatever the broken bytes lead to
        raise InputError(f"{path} is not a readable image ({error}): replace or remove it") from None


def to_tensor(image: Image.Image) -> Tensor:
    """The pixels of an RGB or grey image: (C, H, W) uint8."""
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
