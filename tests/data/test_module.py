"""ImageData: its splits and loaders, alone and under a Lightning trainer."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torchvision.datasets as oracle
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, ToTensor

from receptive.data.augment import HorizontalFlip, Rotation
from receptive.data.cifar10 import CIFAR10
from receptive.data.digits import Digits
from receptive.data.gtsrb import GTSRB
from receptive.data.image_folder import ImageFolder
from receptive.data.loaders import ArrayLoader, FileLoader, ImageLoader
from receptive.data.mnist import MNIST
from receptive.data.module import ImageData
from receptive.data.source import ArraySplit, Source
from receptive.data.variable import VariableResolution
from receptive.errors import InputError


def _data(source: Source | None = None, **options: Any) -> ImageData:
    defaults: dict[str, Any] = {"batch_size": 16, "eval_batch_size": 20, "validation": 0.2, "split_seed": 0}
    return ImageData(source or Digits(), **defaults | options)


def _epoch(loader: ImageLoader | list[ImageLoader]) -> tuple[Tensor, Tensor]:
    assert isinstance(loader, ImageLoader)
    images, targets = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(targets)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_equals_torchvisions_dataset_and_dataloader(name: str, mnist_root: Path, cifar10_root: Path) -> None:
    """The usual set-up, PIL images in a DataLoader, gives the same bits."""
    root = str(mnist_root)
    source, dataset = (MNIST, oracle.MNIST) if name == "mnist" else (CIFAR10, oracle.CIFAR10)
    data = _data(source(root, download=False))
    transform = Compose([ToTensor(), Normalize(data.facts.mean, data.facts.std)])
    usual = DataLoader(dataset(root, train=False, transform=transform), batch_size=20)
    for (images, targets), (expected, labels) in zip(data.test_dataloader(), usual, strict=True):
        assert torch.equal(images, expected) and torch.equal(targets, labels)

    train = dataset(root, train=True, transform=transform)
    loader = data.train_dataloader()
    assert len(loader) == 3 and len(loader.indices) == 48
    for positions, (images, targets) in zip(loader.sampler, loader, strict=True):
        rows = loader.indices[positions].tolist()
        assert torch.equal(images, torch.stack([train[row][0] for row in rows]))
        assert targets.tolist() == [train[row][1] for row in rows]


def test_gtsrb_equals_torchvisions_dataset(gtsrb_root: Path) -> None:
    from torchvision.transforms import Resize

    data = _data(GTSRB(str(gtsrb_root)))
    transform = Compose([Resize((28, 28)), ToTensor(), Normalize(data.facts.mean, data.facts.std)])
    usual = DataLoader(oracle.GTSRB(str(gtsrb_root), split="test", transform=transform), batch_size=20)
    for (images, targets), (expected, labels) in zip(data.test_dataloader(), usual, strict=True):
        assert torch.equal(images, expected) and torch.equal(targets, labels)


class TestSplits:
    def test_training_and_validation_part_the_training_set(self) -> None:
        data = _data()
        assert len(data.train_dataloader().indices) + len(_epoch(data.val_dataloader())[1]) == 1437
        train, held_out = data.train_dataloader().indices, data.val_dataloader()
        assert isinstance(held_out, ImageLoader)
        assert not set(train.tolist()) & set(held_out.indices.tolist())
        assert len(held_out.indices) == round(0.2 * 1437)
        assert data.counts() == {"train": len(train), "val": len(held_out.indices)}

    def test_follow_the_split_seed_alone(self) -> None:
        def rows(**options: Any) -> list[int]:
            return _data(**options).train_dataloader().indices.tolist()

        assert rows(seed=0) == rows(seed=1) != rows(split_seed=1)

    def test_no_validation(self) -> None:
        data = _data(validation=0)
        assert data.val_dataloader() == [] and len(data.train_dataloader().indices) == 1437

    def test_test_images_are_not_read_before_they_are_asked_for(self) -> None:
        data = _data()
        data.setup("fit")
        assert list(data.checksums()) == ["train"]
        data.setup("test")
        assert list(data.checksums()) == ["train", "test"]
        assert data.checksums()["test"] == Digits().load("test").checksum

    def test_class_counts_are_of_the_training_rows(self) -> None:
        data = _data(drop_last=True)
        counts = data.class_counts()
        _, targets = _epoch(_data().train_dataloader())
        assert torch.equal(counts, torch.bincount(targets, minlength=10)) and counts.sum() == 1437 - 287

    @pytest.mark.parametrize(("options", "batches"), [({}, 72), ({"drop_last": True}, 71), ({"batch_size": 2000}, 1)])
    def test_an_epoch_has_the_batches_that_its_loader_gives(self, options: dict[str, Any], batches: int) -> None:
        data = _data(**options)
        assert data.batches_per_epoch() == len(list(data.train_dataloader())) == batches
        assert _data(batch_size=2000, drop_last=True).batches_per_epoch() == 0
        assert _data(batch_size=600, drop_last=True).batches_per_epoch(ranks=2) == 0

    def test_overfitting_keeps_the_first_batches_for_both(self) -> None:
        data = _data(augmentations=[Rotation(30.0)])
        first = data.train_dataloader().indices[:32]
        data.overfit(2)
        held_out = data.val_dataloader()
        assert isinstance(held_out, ImageLoader)
        assert torch.equal(data.train_dataloader().indices, first) and torch.equal(held_out.indices, first)
        assert data.train_dataloader().transform.augmentations == ()


class TestLoaders:
    def test_only_training_is_shuffled_augmented_and_cut(self) -> None:
        data = _data(augmentations=[Rotation(30.0)], drop_last=True)
        plain = _data()
        train, held_out, test = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
        assert isinstance(held_out, ImageLoader)
        assert train.sampler.shuffle and train.sampler.drop_last and train.transform.augmentations
        for loader, own in ((held_out, plain.val_dataloader()), (test, plain.test_dataloader())):
            assert not loader.sampler.shuffle and not loader.sampler.drop_last
            images, expected = _epoch(loader)[0], _epoch(own)[0]
            assert torch.equal(images, expected)
        assert torch.equal(_epoch(test)[1], Digits().load("test").targets)

    def test_a_seed_is_an_order_and_its_augmentation(self) -> None:
        def first(seed: int) -> Tensor:
            return next(iter(_data(seed=seed, augmentations=[HorizontalFlip()]).train_dataloader()))[0]

        assert torch.equal(first(3), first(3)) and not torch.equal(first(3), first(4))

    def test_order_and_flips_are_of_different_streams(self) -> None:
        """An image's place in the epoch says nothing about its draws."""
        data = _data(augmentations=[HorizontalFlip()], validation=0, batch_size=1437)
        loader = data.train_dataloader()
        (order,) = loader.sampler
        draws = loader.transform._epoch_table(0, torch.device("cpu"))[order, 0]
        place = torch.arange(len(order), dtype=torch.float32)
        assert abs(torch.corrcoef(torch.stack([place, draws]))[0, 1]) < 0.08

    def test_statistics(self) -> None:
        raw, _ = _epoch(_data(normalize=False).test_dataloader())
        own, _ = _epoch(_data(mean=[0.25], std=[0.5]).test_dataloader())
        assert raw.min() == 0 and raw.max() == 1
        assert torch.equal(own, (raw - 0.25) / 0.5)

    @pytest.mark.parametrize("key", ["mean", "std"])
    def test_statistics_of_another_number_of_channels(self, key: str) -> None:
        with pytest.raises(InputError, match=rf"data\.{key}=\[0\.5, 0\.5\]: give 1 values, one for each channel"):
            _data(None, **{key: [0.5, 0.5]}).train_dataloader()

    def test_channels_last(self, cifar10_root: Path) -> None:
        images, _ = next(iter(_data(CIFAR10(str(cifar10_root)), channels_last=True).train_dataloader()))
        assert images.is_contiguous(memory_format=torch.channels_last)

    def test_the_loader_follows_the_kind_of_split(self, image_folder_root: Path) -> None:
        assert isinstance(_data().train_dataloader(), ArrayLoader)
        data = _data(ImageFolder(str(image_folder_root), image_size=8), batch_size=5, num_workers=2)
        data.prepare_data()
        loader = data.train_dataloader()
        assert isinstance(loader, FileLoader) and loader.num_workers == 2
        images, targets = _epoch(loader)
        assert images.shape == (17, 3, 8, 8) and sorted(set(targets.tolist())) == [0, 1, 2]
        assert data.class_counts().sum() == 17


@pytest.mark.parametrize("source", [Digits(), VariableResolution(Digits(), sizes=[16, 24], seed=0)])
def test_all_loaders_share_one_copy_on_the_device(source: Source) -> None:
    """The device without memory stands for an accelerator."""
    data = _data(source, device="meta")
    loaders = [data.train_dataloader(), data.val_dataloader(), data.ordered_loader("val"), data.ordered_loader("train")]
    assert all(loader.targets is loaders[0].targets for loader in loaders)  # type: ignore[union-attr]
    assert loaders[0].targets.device.type == "meta"  # type: ignore[union-attr]
    assert data.test_dataloader().targets is not loaders[0].targets  # type: ignore[attr-defined]
    here = _data(source)
    assert here.train_dataloader().targets is here._split("train").targets  # type: ignore[attr-defined, union-attr]


def test_files_and_arrays_of_one_set_agree(image_folder_root: Path) -> None:
    """The same images, served from memory by a source of their arrays, are the same batches."""
    files = ImageFolder(str(image_folder_root), image_size=8)

    class InMemory(Digits):
        def facts(self):
            return files.facts()

        def load(self, split):
            listed = files.load(split)
            return ArraySplit(torch.stack([listed.read(path) for path in listed.paths]), listed.targets)

    options: dict[str, Any] = {"augmentations": [Rotation(20.0), HorizontalFlip()], "batch_size": 5}
    left, right = (_data(source, **options) for source in (files, InMemory()))
    for epoch in range(2):
        loaders = left.train_dataloader(), right.train_dataloader()
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        for (images, targets), (expected, labels) in zip(*loaders, strict=True):
            assert torch.equal(images, expected) and torch.equal(targets, labels)


class _Watcher(pl.LightningModule):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.seen: dict[str, list[tuple[int, Tensor]]] = {"train": [], "val": [], "test": []}

    def _step(self, stage: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.seen[stage].append((self.current_epoch, batch[0]))
        return nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return self._step("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._step("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._step("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.fixture
def trainer(tmp_path: Path) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's own, with torch 2.15
@pytest.mark.filterwarnings("ignore:Total length of `list`:UserWarning")  # no validation: Lightning says so
@pytest.mark.parametrize("validation", [0, 100])
def test_under_a_trainer(trainer: pl.Trainer, validation: int) -> None:
    data, model = _data(augmentations=[Rotation(10.0)], batch_size=500, validation=validation), _Watcher()
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    expected = []
    for epoch in range(2):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        expected += [(epoch, images) for images, _ in loader]
    assert len(model.seen["train"]) == len(expected) == 6
    for (epoch, images), (expected_epoch, expected_images) in zip(model.seen["train"], expected, strict=True):
        assert epoch == expected_epoch and torch.equal(images, expected_images)
    assert bool(model.seen["val"]) == bool(validation)
    assert sum(len(images) for _, images in model.seen["test"]) == 360
