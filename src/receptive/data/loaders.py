"""Batches: their order, and loaders over arrays in memory and over files."""

from __future__ import annotations

import abc
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from receptive.data.randomness import generator
from receptive.data.sizes import SizedSplit
from receptive.data.source import ArraySplit, FileSplit
from receptive.data.transform import BatchTransform
from receptive.errors import InputError

Batch = tuple[Tensor, Tensor]


class EpochSampler(Sampler[Tensor]):
    """The order of an epoch in batches: a function of (seed, epoch) alone.

    Iterating reads `epoch` and `start` when the first batch is asked for, and takes `start` back to 0.

    Args:
        size: number of items; the sampler yields their positions 0 .. size - 1.
        batch_size: items in a batch, on each rank.
        seed: seed of the order.
        shuffle: a new order every epoch; False: 0, 1, 2 ...
        drop_last: leave out a last batch that is not full.
        rank: which process of a distributed run this is.
        ranks: number of processes. Each serves every ranks-th item; when shuffling all serve equally many.
        kinds: (size,) int64 from 0: items of different kinds share no batch. A share and a last batch that is not full
            are then of each kind; when shuffling the batches come in an order that is drawn as well, the same kind on
            all ranks, else each where its first item comes. None: all are of one kind.

    Attributes:
        epoch: the epoch that comes next; Lightning calls `set_epoch`.
        start: batches of that epoch that are already used: set after `epoch` to resume in mid-epoch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        drop_last: bool = False,
        rank: int = 0,
        ranks: int = 1,
        kinds: Tensor | None = None,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rank = rank
        self.ranks = ranks
        self.kinds = kinds
        self._sizes = [size] if kinds is None else torch.bincount(kinds).tolist()
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; a new one starts at its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the positions of each batch: (B,) int64."""
        start, self.start = self.start, 0
        yield from self._batches()[start:]

    def __len__(self) -> int:
        """The batches of a whole epoch on this rank, whatever `start` is."""
        shares = [len(range(self.rank, self._served(size), self.ranks)) for size in self._sizes]
        return sum(share // self.batch_size if self.drop_last else -(-share // self.batch_size) for share in shares)

    def _batches(self) -> list[Tensor]:
        draws = generator("order", self.seed, self.epoch)
        order = torch.randperm(self.size, generator=draws) if self.shuffle else torch.arange(self.size)
        if self.kinds is None:
            return self._cut(order)
        of_order = self.kinds[order]
        batches = [batch for kind in range(len(self._sizes)) for batch in self._cut(order[of_order == kind])]
        if not self.shuffle:
            return sorted(batches, key=lambda batch: int(batch[0]))
        return [batches[place] for place in torch.randperm(len(batches), generator=draws).tolist()]

    def _cut(self, items: Tensor) -> list[Tensor]:
        """Part the items of a kind, in their order, into the batches of this rank."""
        share = items[: self._served(len(items))][self.rank :: self.ranks]
        least = self.batch_size if self.drop_last else 1  # splitting nothing gives an empty batch
        return [batch for batch in share.split(self.batch_size) if len(batch) >= least]

    def _served(self, size: int) -> int:
        # ranks that train wait for one another every step: a batch more on one of them would hang
        return size - size % self.ranks if self.shuffle else size


class ImageLoader(abc.ABC):
    """Yields batches (images float32 (B, C, H, W), targets (B,) or masks (B, H, W)), one epoch an iteration.

    Its iterators are lazy: `sampler.epoch` and `sampler.start` count when the first batch is asked for.

    Attributes:
        sampler: the order; positions count the loader's rows.
    """

    batch_sampler = None  # Lightning looks where a DataLoader would have one

    def __init__(self, indices: Tensor, sampler: EpochSampler, transform: BatchTransform) -> None:
        self.indices = indices
        self.sampler = sampler
        self.transform = transform

    def __len__(self) -> int:
        return len(self.sampler)

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Batch]: ...


class _MemoryLoader(ImageLoader):
    """Batches gathered from what is kept on a device, in the caller's process."""

    targets: Tensor

    @abc.abstractmethod
    def _gathered(self, rows: Tensor, rows_there: Tensor) -> Tensor:
        """Images of the rows, which are given on the CPU and on the device."""

    def __iter__(self) -> Iterator[Batch]:
        device = self.targets.device
        for positions in self.sampler:
            rows = self.indices.index_select(0, positions)
            rows_there = rows.to(device, non_blocking=True)
            images = self._gathered(rows, rows_there)
            targets = self.targets.index_select(0, rows_there)
            yield self.transform(images, targets, rows_there, self.sampler.epoch)


class ArrayLoader(_MemoryLoader):
    """Batches gathered from arrays in memory, in the caller's process.

    Args:
        split: images and targets; the batches are made on their device.
        indices: (n,) int64, the rows of `split` that are served.
        sampler: their order.
        transform: turns gathered images into the model's input.
    """

    def __init__(
        self,
        split: ArraySplit,
        indices: Tensor,
        sampler: EpochSampler,
        transform: BatchTransform,
    ) -> None:
        super().__init__(indices, sampler, transform)
        self.images = split.images
        self.targets = split.targets

    def _gathered(self, rows: Tensor, rows_there: Tensor) -> Tensor:
        return self.images.index_select(0, rows_there)


class SizedLoader(_MemoryLoader):
    """Batches of one size each, gathered from arrays in memory, in the caller's process.

    Args:
        split: images of several sizes, and targets; the batches are made on their device.
        indices: (n,) int64, the rows of `split` that are served.
        sampler: their order, whose kinds are the sizes.
        transform: turns gathered images into the model's input.
    """

    def __init__(
        self,
        split: SizedSplit,
        indices: Tensor,
        sampler: EpochSampler,
        transform: BatchTransform,
    ) -> None:
        super().__init__(indices, sampler, transform)
        self.kinds, self.places = split.kinds, split.places
        self.stacks = split.stacks
        self.targets = split.targets

    def _gathered(self, rows: Tensor, rows_there: Tensor) -> Tensor:
        places = self.places.index_select(0, rows).to(rows_there.device, non_blocking=True)
        return self.stacks[int(self.kinds[rows[0]])].index_select(0, places)


class FileLoader(ImageLoader):
    """Batches read from files by worker processes; augmented and normalised here, as ArrayLoader does.

    Args:
        split: files and targets.
        indices: (n,) int64, the rows of `split` that are served.
        sampler: their order.
        transform: turns read images into the model's input.
        num_workers: processes that read; 0: this one reads.
        device: where the batches are made.
    """

    def __init__(
        self,
        split: FileSplit,
        indices: Tensor,
        sampler: EpochSampler,
        transform: BatchTransform,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(indices, sampler, transform)
        self.split = split
        self.num_workers = num_workers
        self.device = torch.device(device)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.sampler.epoch
        batches = [self.indices[positions].tolist() for positions in self.sampler]
        reader = DataLoader(
            _FileBatches(self.split, batches),
            batch_size=None,  # the data set's items are batches already
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            generator=generator("workers", self.sampler.seed, epoch),  # else each epoch would draw from torch's own
        )
        for rows, batch in zip(batches, reader, strict=True):
            if isinstance(batch, str):
                raise InputError(batch)
            images, targets = (tensor.to(self.device, non_blocking=True) for tensor in batch)
            yield self.transform(images, targets, torch.tensor(rows, device=self.device), epoch)


class _FileBatches(Dataset[Batch | str]):
    """Reads whole batches: uint8 (B, C, H, W) and their targets.

    An unreadable file comes back as its message: an exception would reach the user wrapped in a worker's
    traceback.
    """

    def __init__(self, split: FileSplit, batches: list[list[int]]) -> None:
        self.split = split
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch | str:
        try:
            return self.split.batch(self.batches[number])
        except InputError as error:
            return str(error)
