"""MNIST with as little of Lightning as trains it: python minimal_lightning.py DATA_FOLDER OUTPUT_FOLDER."""

import sys

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


class Net(pl.LightningModule):
    """The net of experiment=mnist_baseline."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(576, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, targets = batch
        return nn.functional.cross_entropy(self.layers(images), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.001)


if __name__ == "__main__":
    loader = DataLoader(datasets.MNIST(sys.argv[1], transform=transforms.ToTensor()), batch_size=16, shuffle=True)
    pl.Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=sys.argv[2]).fit(Net(), loader)
