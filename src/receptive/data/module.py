"""The one LightningDataModule: a source, its validation split, its loaders."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, cast

import pytorch_lightning as pl
import torch
from annotated_types import Ge, Gt, Lt
from PIL.Image import Image
from pydantic import Strict
from torch import Tensor

from receptive.data.augment import Augmentation
from receptive.data.loaders import ArrayLoader, EpochSampler, FileLoader, ImageLoader, SizedLoader
from receptive.data.sizes import SizedSplit, Stack, stacked
from receptive.data.source import ArraySplit, Facts, FileSplit, Source, Split, SplitName, load_cached
from receptive.data.split import validation_split
from receptive.data.transform import BatchTransform
from receptive.errors import InputError

InMemory = TypeVar("InMemory", ArraySplit, SizedSplit)
Part = Literal["train", "val", "test"]  # train: the whole official training split, the held-out images among them

Share = Annotated[int, Ge(0), Strict()] | Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True, eq=False)
class Examples:
    """Some images of a split.

    Args:
        pixels: (B, C, H, W) uint8; where their sizes differ B times (C, H, W).
        inputs: the same as the model takes them, float32.
        targets: (B,) labels or (B, H, W) masks.
        names: B names.
    """

    pixels: Stack
    inputs: Stack
    targets: Tensor
    names: tuple[str, ...]


class ImageData(pl.LightningDataModule):
    """Images and their targets, in batches (images float32 (B, C, H, W), targets int64 (B,)).

    A split that its source gives as arrays is served from memory, one of files by reading processes; both are
    augmented and normalised on the batch, the same way. Where images have several sizes each batch is of one, and the
    batches are mixed: in training in an order that is drawn, else by their first images. Official splits only:
    validation is cut from training, the test split is not read before it is asked for.

    Args:
        source: the data set.
        augmentations: applied to training images in this order.
        seed: seed of order and augmentation.
        batch_size: training images in a batch, on each device.
        eval_batch_size: the same in validation and test.
        validation: number of training images held out, or their fraction; 0: none, and no validation loop.
        split_seed: seed of the choice of these images.
        normalize: subtract the mean and divide by the deviation of each channel.
        mean: of each channel, over pixels in [0, 1]; None: the source's.
        std: the deviations, likewise; None: the source's.
        drop_last: leave out a last training batch that is not full.
        num_workers: reading processes of a data set that is not in memory; 0: none.
        channels_last: lay the images out in torch.channels_last.
        device: where arrays are kept and batches made: an accelerator saves the copying of every batch.
    """

    def __init__(
        self,
        source: Source,
        *,
        augmentations: Sequence[Augmentation] = (),
        seed: Annotated[int, Ge(0)] = 0,
        batch_size: Annotated[int, Ge(1)],
        eval_batch_size: Annotated[int, Ge(1)],
        validation: Share,
        split_seed: Annotated[int, Ge(0)],
        normalize: bool = True,
        mean: list[float] | None = None,
        std: list[Annotated[float, Gt(0)]] | None = None,
        drop_last: bool = False,
        num_workers: Annotated[int, Ge(0)] = 0,
        channels_last: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.source = source
        self.augmentations = tuple(augmentations)
        self.seed = seed
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.validation = validation
        self.split_seed = split_seed
        self.normalize = normalize
        self.mean = mean
        self.std = std
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.channels_last = channels_last
        self.device = device
        self._loaded: dict[SplitName, Split] = {}
        self._copies: dict[int, ArraySplit | SizedSplit] = {}

    @functools.cached_property
    def facts(self) -> Facts:
        """The data set's facts; no pixel is read."""
        return self.source.facts()

    def prepare_data(self) -> None:
        """Make the files be there; see Source.prepare."""
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Read the splits that a stage of Lightning needs: fit, validate, test or predict; None: all."""
        if stage in ("fit", "validate", None):
            self._split("train")
        if stage in ("test", "predict", None):
            self._split("test")

    def train_dataloader(self) -> ImageLoader:
        """Shuffled, augmented training batches."""
        return self._loader(self._split("train"), self._rows[0], train=True, batch_size=self.batch_size)

    def val_dataloader(self) -> ImageLoader | list[ImageLoader]:
        """The held-out training images, in order and unchanged; an empty list where there are none."""
        return self.ordered_loader("val") if len(self._rows[1]) else []

    def test_dataloader(self) -> ImageLoader:
        """The test images, in order and unchanged."""
        return self.ordered_loader("test")

    def class_counts(self) -> Tensor:
        """The number of training images (of a mask: pixels) in each class: (num_classes,) int64."""
        split, rows = self._split("train"), self._rows[0]
        counts = torch.zeros(self.facts.num_classes, dtype=torch.int64)
        for part in rows.split(self.batch_size if isinstance(split, FileSplit) else max(len(rows), 1)):
            targets = split.target_batch(part.tolist()) if isinstance(split, FileSplit) else split.targets[part]
            counts += torch.bincount(targets.flatten(), minlength=len(counts))
        return counts

    def counts(self) -> dict[str, int]:
        """The number of training, validation and (when it has been read) test images."""
        sizes = {"train": len(self._rows[0]), "val": len(self._rows[1])}
        return sizes | ({"test": len(self._loaded["test"])} if "test" in self._loaded else {})

    def batches_per_epoch(self, ranks: int = 1) -> int:
        """The number of training batches of an epoch, on each of so many ranks."""
        split, rows = self._split("train"), self._rows[0]
        return len(self._sampler(split, rows, train=True, batch_size=self.batch_size, rank_of=(0, ranks)))

    def overfit(self, batches: int) -> None:
        """Keep the first training batches alone, without augmentation, for training and validation both."""
        given = self._rows[0]
        in_order = self._sampler(self._split("train"), given, train=False, batch_size=self.batch_size)
        rows = given[torch.cat(list(itertools.islice(in_order, batches))).sort().values]
        self._rows = (rows, rows)
        self.augmentations = ()

    def examples(self, split: Part, positions: Sequence[int], key: str = "images") -> Examples:
        """Images of a part of the data by their places in it.

        Args:
            split: the part.
            positions: places in it.
            key: the option that names them, for messages.

        Raises:
            InputError: there is no such place, or a file cannot be read.
        """
        whole, rows = self._part(split, positions, key)
        pixels, targets = whole.batch(rows.tolist())
        inputs = self._as_inputs(pixels)
        names = whole.names or tuple(f"image {row}" for row in range(len(whole)))
        return Examples(pixels, inputs, targets, tuple(names[row] for row in rows.tolist()))

    def ordered_loader(
        self, split: Part, positions: Sequence[int] | None = None, batch_size: int | None = None
    ) -> ImageLoader:
        """Batches of a part of the data in order and unchanged, as the model takes them.

        Args:
            split: the part.
            positions: places in it; None: all.
            batch_size: None: eval_batch_size.

        Raises:
            InputError: there is no such place.
        """
        whole, rows = self._part(split, positions)
        return self._loader(whole, rows, train=False, batch_size=batch_size or self.eval_batch_size)

    def training_positions(self) -> list[int]:
        """The places in the official training split of the images that are trained on, not held out."""
        return self._rows[0].tolist()

    def _part(self, split: Part, positions: Sequence[int] | None, key: str = "images") -> tuple[Split, Tensor]:
        """The official split that a part lies in, and the part's rows of it."""
        whole = self._split("test" if split == "test" else "train")
        rows = self._rows[1] if split == "val" else torch.arange(len(whole))
        if positions is None:
            return whole, rows
        if strange := [place for place in positions if not 0 <= place < len(rows)]:
            raise InputError(f"{key}={strange[0]}: the {split} set has {len(rows)} images, counted from 0")
        return whole, rows[list(positions)]

    def inputs(self, images: Sequence[Image]) -> Stack:
        """Images from elsewhere as the model takes them: (B, C, H, W) float32.

        Where the data set has several sizes B times (C, H, W), each in the size that the source chooses for it.
        """
        return self._as_inputs(stacked([self.source.fit(image) for image in images]))

    def _as_inputs(self, pixels: Stack) -> Stack:
        """Uint8 images as the model takes them, without augmentation."""
        if not isinstance(pixels, Tensor):
            return tuple(self._as_inputs(image.unsqueeze(0))[0] for image in pixels)
        rows = torch.arange(len(pixels))
        return self.transform(len(pixels))(pixels, rows, rows, 0)[0]

    def test_names(self) -> tuple[str, ...] | None:
        """The names of the test images, where they have any."""
        return self._split("test").names

    def checksums(self) -> dict[str, str]:
        """The checksum of every split that has been read so far."""
        return {name: split.checksum for name, split in sorted(self._loaded.items(), reverse=True)}

    def _split(self, name: SplitName) -> Split:
        if name not in self._loaded:
            self._loaded[name] = load_cached(self.source, name)
        return self._loaded[name]

    @functools.cached_property
    def _rows(self) -> tuple[Tensor, Tensor]:
        """The training and the validation rows of the train split."""
        split = self._split("train")
        return validation_split(split.targets, split.groups, self.validation, self.split_seed)

    def _loader(self, split: Split, rows: Tensor, *, train: bool, batch_size: int) -> ImageLoader:
        sampler = self._sampler(split, rows, train=train, batch_size=batch_size)
        transform = self.transform(len(split), self.augmentations if train else ())
        if isinstance(split, FileSplit):
            return FileLoader(split, rows, sampler, transform, self.num_workers, self.device)
        if isinstance(split, SizedSplit):
            return SizedLoader(self._on_device(split), rows, sampler, transform)
        return ArrayLoader(self._on_device(split), rows, sampler, transform)

    def _on_device(self, split: InMemory) -> InMemory:
        """A split with its arrays on the device, one copy for all loaders."""
        if self.device == "cpu":
            return split
        if id(split) not in self._copies:  # `_loaded` keeps the split itself
            self._copies[id(split)] = split.on(self.device)
        return cast(InMemory, self._copies[id(split)])

    def _sampler(
        self, split: Split, rows: Tensor, *, train: bool, batch_size: int, rank_of: tuple[int, int] | None = None
    ) -> EpochSampler:
        """`rank_of`: the rank and how many there are; None: the trainer's."""
        here = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        rank, ranks = rank_of or here
        return EpochSampler(
            len(rows),
            batch_size,
            seed=self.seed,
            shuffle=train,
            drop_last=train and self.drop_last,
            rank=rank,
            ranks=ranks,
            kinds=_kinds(split, rows),
        )

    def transform(self, size: int, augmentations: Sequence[Augmentation] = ()) -> BatchTransform:
        """What turns uint8 images of a split with `size` images into the model's input.

        Raises:
            InputError: mean or std does not fit the images' channels.
        """
        mean = self.facts.mean if self.mean is None else self.mean
        std = self.facts.std if self.std is None else self.std
        channels = self.facts.in_channels
        for key, values in (("mean", mean), ("std", std)):
            if len(values) != channels:
                raise InputError(f"data.{key}={list(values)}: give {channels} values, one for each channel")
        statistics = {"mean": mean, "std": std} if self.normalize else {}
        return BatchTransform(size, augmentations, **statistics, seed=self.seed, channels_last=self.channels_last)


def _kinds(split: Split, rows: Tensor) -> Tensor | None:
    """The rows' kinds, which share no batch; None where the images have one size."""
    return split.kinds[rows] if isinstance(split, SizedSplit) else None
