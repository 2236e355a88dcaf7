"""Arrays that were slow to decode, kept beside the files that they came from."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from receptive.errors import InputError
from receptive.files import replacing


def cached_images(folder: Path, name: str, paths: Sequence[Path], options: str, decode: Callable[[], Tensor]) -> Tensor:
    """What decode() gives, from a file below `folder` where it was called before.

    The file is found by the names, sizes and modification times of what was decoded and by the options, so a
    changed data set is decoded anew. A folder that cannot be written to means no cache, a damaged file is
    replaced.

    Args:
        folder: where caches of this data set are.
        name: start of the file's name.
        paths: the files that decode() reads.
        options: whatever else the result depends on.
        decode: returns (len(paths), C, H, W) uint8.

    Raises:
        InputError: one of the files is missing.
    """
    digest = hashlib.sha256(options.encode())
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): download the data set again") from None
        digest.update(f"{path.parent.name}/{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    file = folder / f"{name}-{digest.hexdigest()[:16]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        return torch.from_numpy(np.load(file, allow_pickle=False))
    images = decode()
    with contextlib.suppress(OSError):
        _write(file, images)
    return images


def _write(file: Path, images: Tensor) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as stream:
        np.save(stream, images.numpy())
