"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import torch

from receptive.data.files import ensure_files, read_checked
from receptive.data.source import ArraySplit, Facts, Source, SplitName
from receptive.files import absolute

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# over the pixels of the 50,000 training images
FACTS = Facts(3, (32, 32), CLASSES, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))

FOLDER = "cifar-10-batches-py"
MD5: dict[SplitName, dict[str, str]] = {  # torchvision's
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}


@dataclass(frozen=True)
class CIFAR10(Source):
    """Colour photographs, (3, 32, 32), 10 classes.

    Args:
        root: folder that holds cifar-10-batches-py/.
        download: get what is missing.
    """

    root: str
    download: bool = True

    def facts(self) -> Facts:
        """The facts."""
        return FACTS

    def prepare(self) -> None:
        """Make the six batch files be there; see Source.prepare."""
        ensure_files(
            name="CIFAR-10",
            root=absolute(self.root),
            files=[f"{FOLDER}/{name}" for names in MD5.values() for name in names],
            archives=f"cifar-10-python.tar.gz, unpacked to {FOLDER}/",
            download=_download if self.download else None,
        )

    def load(self, split: SplitName) -> ArraySplit:
        """Read a split; see Source.load."""
        folder = absolute(self.root) / FOLDER
        images, labels = [], []
        for name, md5 in MD5[split].items():
            # unpickling runs what the file says: only bytes with the published checksum get here
            batch = pickle.loads(read_checked(folder / name, md5), encoding="latin1")
            images.append(torch.from_numpy(np.asarray(batch["data"]).reshape(-1, 3, 32, 32)))
            labels += batch["labels"]
        return ArraySplit(torch.cat(images), torch.tensor(labels))


def _download(folder: str) -> None:
    from torchvision.datasets import CIFAR10 as Torchvision

    Torchvision(folder, download=True)
