"""MNIST: 60,000 + 10,000 handwritten digits of 28x28 pixels.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from receptive.data.files import ensure_files, read_checked
from receptive.data.source import ArraySplit, Facts, Source, SplitName
from receptive.files import absolute

# mean and deviation over the pixels of the 60,000 training images: 0.13066, 0.30811
FACTS = Facts(1, (28, 28), tuple("0123456789"), mean=(0.1307,), std=(0.3081,))

FOLDER = "MNIST/raw"
MD5 = {  # of the unpacked files; the archives' MD5s are torchvision's
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@dataclass(frozen=True)
class MNIST(Source):
    """Handwritten digits, (1, 28, 28), 10 classes.

    Args:
        root: folder that holds MNIST/raw/, in torchvision's layout; its files may be packed (.gz) or not.
        download: get what is missing.
    """

    root: str
    download: bool = True

    def facts(self) -> Facts:
        """The facts."""
        return FACTS

    def prepare(self) -> None:
        """Make the four files be there; see Source.prepare."""
        ensure_files(
            name="MNIST",
            root=absolute(self.root),
            files=[f"{FOLDER}/{name}" for name in MD5],
            archives=", ".join(f"{name}.gz" for name in MD5) + ", as they are or unpacked",
            download=_download if self.download else None,
            present=lambda path: path.exists() or path.with_name(path.name + ".gz").exists(),
        )

    def load(self, split: SplitName) -> ArraySplit:
        """Read a split; see Source.load."""
        prefix = "train" if split == "train" else "t10k"
        images = self._read(f"{prefix}-images-idx3-ubyte").unsqueeze(1)
        return ArraySplit(images, self._read(f"{prefix}-labels-idx1-ubyte").long())

    def _read(self, name: str) -> Tensor:
        """Read an IDX file: a magic number whose last byte is the dimensions, the sizes, the bytes."""
        content = read_checked(absolute(self.root) / FOLDER / name, MD5[name])
        dimensions = content[3]
        sizes = np.frombuffer(content, ">u4", count=dimensions, offset=4).tolist()
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
        return torch.from_numpy(values.copy()).view(sizes)


def _download(folder: str) -> None:
    from torchvision.datasets import MNIST as Torchvision

    Torchvision(folder, download=True)
