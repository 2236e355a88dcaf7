"""Reading image files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from receptive.errors import InputError

Mode = Literal["RGB", "L"]


def check_header(path: Path) -> None:
    """Raise InputError where read_image would, as far as a look at the file's header tells."""
    with _opened(path):
        pass


def read_image(path: Path, mode: Mode) -> Image.Image:
    """Decode an image file to RGB or grey ("L").

    Raises:
        InputError: the file is missing, truncated, corrupt, no image, or has more than 8 bits a channel.
    """
    with _opened(path) as image:
        return image.convert(mode)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError("more than 8 bits a channel: convert it to 8 bits")
            yield image
    except Exception as error:  # besides OSError Pillow's decoders raise whatever the broken bytes lead to
        raise InputError(f"{path} is not a readable image ({error}): replace or remove it.") from error


def to_tensor(image: Image.Image) -> Tensor:
    """Return the pixels of an RGB or grey image: (C, H, W) uint8."""
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
