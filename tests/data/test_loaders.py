"""Order, resume, and one result whichever way an image takes to its batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from receptive.data.augment import (
    Affine,
    Augmentation,
    BrightnessContrast,
    Cutout,
    HorizontalFlip,
    PadCrop,
    Rotation,
)
from receptive.data.images import read_image, to_tensor
from receptive.data.loaders import ArrayLoader, EpochSampler, FileLoader, ImageLoader
from receptive.data.source import ArraySplit, FileSplit
from receptive.data.transform import BatchTransform
from receptive.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
AUGMENTATIONS: tuple[Augmentation, ...] = (
    Rotation(30.0),
    Affine(5.0, translate=0.1),
    HorizontalFlip(),
    PadCrop(2),
    Cutout(3),
    BrightnessContrast(0.2, 0.2),
)
SIZE = 50


def _pixels() -> Tensor:
    return torch.randint(0, 256, (SIZE, 3, 9, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def arrays() -> ArraySplit:
    return ArraySplit(_pixels(), torch.arange(SIZE))


def read_rgb(path: Path) -> Tensor:
    return to_tensor(read_image(path, "RGB"))


@pytest.fixture
def files(tmp_path: Path) -> FileSplit:
    """The same images as PNG files."""
    paths = [tmp_path / f"{number:03d}.png" for number in range(SIZE)]
    for path, pixels in zip(paths, _pixels(), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return FileSplit(tuple(paths), torch.arange(SIZE), read_rgb)


def _transform(augmentations: tuple[Augmentation, ...] = AUGMENTATIONS, **options: bool) -> BatchTransform:
    return BatchTransform(SIZE, augmentations, mean=MEAN, std=STD, seed=5, **options)


def _by_row(loader: ImageLoader, epoch: int = 0) -> dict[int, Tensor]:
    """The images of an epoch by their row, which is their target here."""
    loader.sampler.set_epoch(epoch)
    return {int(row): image for images, rows in loader for image, row in zip(images, rows, strict=True)}


def _equal(left: dict[int, Tensor], right: dict[int, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[row], right[row]) for row in left)


class TestEpochSampler:
    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize(("batch_size", "lengths"), [(4, [4, 4, 2]), (5, [5, 5]), (20, [10])])
    def test_serves_every_item_once(self, shuffle: bool, batch_size: int, lengths: list[int]) -> None:
        sampler = EpochSampler(10, batch_size, seed=0, shuffle=shuffle)
        batches = list(sampler)
        assert [len(batch) for batch in batches] == lengths and len(sampler) == len(lengths)
        assert sorted(torch.cat(batches).tolist()) == list(range(10))
        assert batches[0].dtype == torch.int64

    def test_drop_last(self) -> None:
        sampler = EpochSampler(10, 4, seed=0, shuffle=True, drop_last=True)
        assert [len(batch) for batch in sampler] == [4, 4] and len(sampler) == 2

    def test_order_is_a_function_of_seed_and_epoch(self) -> None:
        def order(seed: int, epoch: int, batch_size: int = 7) -> list[int]:
            sampler = EpochSampler(100, batch_size, seed=seed, shuffle=True)
            sampler.set_epoch(epoch)
            return [int(item) for item in torch.cat(list(sampler))]

        assert order(1, 2) == order(1, 2) == order(1, 2, batch_size=33)
        ten = EpochSampler(10, 10, seed=1, shuffle=True)
        ten.set_epoch(2)
        assert torch.cat(list(ten)).tolist() == [8, 9, 0, 4, 2, 1, 5, 6, 7, 3]  # as in earlier versions
        assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9

    def test_unshuffled_order_is_the_items(self) -> None:
        assert torch.cat(list(EpochSampler(10, 3, seed=0, shuffle=False))).tolist() == list(range(10))

    def test_resumes_where_it_stopped(self) -> None:
        whole = EpochSampler(23, 4, seed=0, shuffle=True)
        whole.set_epoch(3)
        batches = [batch.tolist() for batch in whole]
        for start in range(len(batches) + 1):
            resumed = EpochSampler(23, 4, seed=0, shuffle=True)
            resumed.epoch, resumed.start = 3, start
            resumed.set_epoch(3)  # as Lightning does before the first batch
            assert len(resumed) == len(batches)
            assert [batch.tolist() for batch in resumed] == batches[start:]
            assert [batch.tolist() for batch in resumed] == batches  # `start` held for one epoch

    def test_a_new_epoch_starts_at_its_first_batch(self) -> None:
        sampler = EpochSampler(23, 4, seed=0, shuffle=True)
        sampler.start = 2
        sampler.set_epoch(1)
        assert len(list(sampler)) == len(sampler)

    def test_iterators_are_lazy(self) -> None:
        """Lightning asks for the iterator before callbacks have put the epoch and the start back."""
        sampler = EpochSampler(23, 4, seed=0, shuffle=True)
        batches = iter(sampler)
        sampler.epoch, sampler.start = 2, 5
        other = EpochSampler(23, 4, seed=0, shuffle=True)
        other.epoch = 2
        assert next(batches).tolist() == list(other)[5].tolist()

    @pytest.mark.parametrize("shuffle", [True, False])
    def test_ranks_share_an_epoch(self, shuffle: bool) -> None:
        samplers = [EpochSampler(23, 4, seed=0, shuffle=shuffle, rank=rank, ranks=3) for rank in range(3)]
        items = [torch.cat(list(sampler)).tolist() for sampler in samplers]
        served = [item for own in items for item in own]
        assert len(set(served)) == len(served) == (21 if shuffle else 23)
        assert [len(list(sampler)) for sampler in samplers] == [len(sampler) for sampler in samplers]
        if shuffle:
            assert {len(own) for own in items} == {7}


class TestKinds:
    """Items of several kinds, 12, 1, 0 and 10 of them: no batch holds two."""

    KINDS = torch.tensor([0, 3] * 10 + [0, 0, 1])

    def _sampler(self, **options: Any) -> EpochSampler:
        return EpochSampler(**{"size": 23, "batch_size": 4, "seed": 0, "shuffle": True, "kinds": self.KINDS} | options)

    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("drop_last", [True, False])
    def test_every_item_once_and_one_kind_a_batch(self, shuffle: bool, drop_last: bool) -> None:
        sampler = self._sampler(shuffle=shuffle, drop_last=drop_last)
        batches = list(sampler)
        assert all(len(self.KINDS[batch].unique()) == 1 for batch in batches)
        lengths = sorted(len(batch) for batch in batches)
        assert lengths == ([4] * 5 if drop_last else [1, 2, 4, 4, 4, 4, 4]) and len(sampler) == len(lengths)
        served = torch.cat(batches).tolist()
        assert len(set(served)) == len(served) and (drop_last or sorted(served) == list(range(23)))

    def test_in_order_each_batch_comes_where_its_first_item_does(self) -> None:
        batches = [batch.tolist() for batch in self._sampler(shuffle=False, batch_size=6)]
        assert batches == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11], [12, 14, 16, 18, 20, 21], [13, 15, 17, 19], [22]]

    def test_order_is_a_function_of_seed_and_epoch(self) -> None:
        def order(seed: int, epoch: int) -> tuple[list[int], ...]:
            sampler = self._sampler(seed=seed)
            sampler.set_epoch(epoch)
            return tuple(batch.tolist() for batch in sampler)

        assert order(1, 2) == order(1, 2)
        assert len({str(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
        kinds = {tuple(int(self.KINDS[batch[0]]) for batch in order(0, epoch)) for epoch in range(9)}
        assert len(kinds) > 5  # not the same kinds in turn

    def test_resumes_where_it_stopped(self) -> None:
        whole = self._sampler()
        whole.set_epoch(3)
        batches = [batch.tolist() for batch in whole]
        for start in range(len(batches) + 1):
            resumed = self._sampler()
            resumed.epoch, resumed.start = 3, start
            assert [batch.tolist() for batch in resumed] == batches[start:]

    @pytest.mark.parametrize("shuffle", [True, False])
    def test_ranks_share_an_epoch(self, shuffle: bool) -> None:
        samplers = [self._sampler(shuffle=shuffle, rank=rank, ranks=3) for rank in range(3)]
        own = [list(sampler) for sampler in samplers]
        assert [len(batches) for batches in own] == [len(sampler) for sampler in samplers]
        served = torch.cat([batch for batches in own for batch in batches]).tolist()
        assert len(set(served)) == len(served) == (12 + 9 if shuffle else 23)
        if shuffle:  # as many batches on each, of the same kind and length at the same time
            shapes = [[(len(batch), int(self.KINDS[batch[0]])) for batch in batches] for batches in own]
            assert shapes[0] == shapes[1] == shapes[2]


class TestTransform:
    def test_equals_to_tensor_and_normalize(self, arrays: ArraySplit) -> None:
        from torchvision.transforms import Compose, Normalize, ToTensor

        expected = Compose([ToTensor(), Normalize(MEAN, STD)])
        images, targets = _transform(())(arrays.images, arrays.targets, torch.arange(SIZE), 0)
        for image, pixels in zip(images, arrays.images, strict=True):
            assert torch.equal(image, expected(pixels.permute(1, 2, 0).numpy()))
        assert targets is arrays.targets

    def test_is_channels_last_on_request(self, arrays: ArraySplit) -> None:
        rows = torch.arange(SIZE)
        plain, _ = _transform(channels_last=False)(arrays.images, arrays.targets, rows, 0)
        result, _ = _transform(channels_last=True)(arrays.images, arrays.targets, rows, 0)
        assert plain.is_contiguous() and result.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(plain, result)

    def test_without_statistics_images_stay_in_the_unit_interval(self, arrays: ArraySplit) -> None:
        images, _ = BatchTransform(SIZE)(arrays.images, arrays.targets, torch.arange(SIZE), 0)
        assert torch.equal(images, arrays.images.float() / 255)

    def test_leaves_the_stored_images_alone(self, arrays: ArraySplit) -> None:
        loader = ArrayLoader(arrays, torch.arange(SIZE), EpochSampler(SIZE, 8, seed=0, shuffle=True), _transform())
        list(loader)
        assert torch.equal(arrays.images, _pixels())

    def test_masks_go_along(self) -> None:
        masks = (_pixels()[:, 0] > 128).long()
        split = ArraySplit(masks.unsqueeze(1).to(torch.uint8) * 255, masks)
        transform = BatchTransform(SIZE, [Rotation(40.0, interpolation="nearest"), PadCrop(2)], seed=5)
        loader = ArrayLoader(split, torch.arange(SIZE), EpochSampler(SIZE, 8, seed=0, shuffle=True), transform)
        for images, moved in loader:
            assert moved.dtype == torch.int64
            torch.testing.assert_close(images[:, 0], moved.float())
        assert torch.equal(split.targets, masks)


class TestAugmentationOfAnImage:
    @pytest.fixture
    def reference(self, arrays: ArraySplit) -> dict[int, Tensor]:
        sampler = EpochSampler(SIZE, 16, seed=0, shuffle=True)
        return _by_row(ArrayLoader(arrays, torch.arange(SIZE), sampler, _transform()))

    @pytest.mark.parametrize("batch_size", [1, 7, 50])
    @pytest.mark.parametrize("shuffle", [True, False])
    def test_follows_neither_order_nor_batch_size(
        self, arrays: ArraySplit, reference: dict[int, Tensor], batch_size: int, shuffle: bool
    ) -> None:
        sampler = EpochSampler(SIZE, batch_size, seed=9, shuffle=shuffle)
        assert _equal(_by_row(ArrayLoader(arrays, torch.arange(SIZE), sampler, _transform())), reference)

    def test_follows_no_choice_of_rows(self, arrays: ArraySplit, reference: dict[int, Tensor]) -> None:
        rows = torch.tensor([3, 14, 15, 40, 49])
        part = _by_row(ArrayLoader(arrays, rows, EpochSampler(5, 2, seed=0, shuffle=True), _transform()))
        assert _equal(part, {row: reference[row] for row in rows.tolist()})

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_follows_no_way_of_reading(self, files: FileSplit, reference: dict[int, Tensor], num_workers: int) -> None:
        loader = FileLoader(
            files,
            torch.arange(SIZE),
            EpochSampler(SIZE, 16, seed=0, shuffle=True),
            _transform(),
            num_workers=num_workers,
        )
        assert _equal(_by_row(loader), reference)

    def test_is_new_in_every_epoch_and_comes_back(self, arrays: ArraySplit, reference: dict[int, Tensor]) -> None:
        loader = ArrayLoader(arrays, torch.arange(SIZE), EpochSampler(SIZE, 16, seed=0, shuffle=True), _transform())
        second = _by_row(loader, epoch=1)
        assert not any(torch.equal(second[row], reference[row]) for row in range(SIZE))
        assert _equal(_by_row(loader, epoch=0), reference)

    @pytest.mark.parametrize("kind", ["arrays", "files"])
    def test_survives_a_resume(self, arrays: ArraySplit, files: FileSplit, kind: str) -> None:
        def loader() -> ImageLoader:
            sampler = EpochSampler(SIZE, 16, seed=0, shuffle=True)
            if kind == "files":
                return FileLoader(files, torch.arange(SIZE), sampler, _transform())
            return ArrayLoader(arrays, torch.arange(SIZE), sampler, _transform())

        whole, resumed = loader(), loader()
        whole.sampler.set_epoch(4)
        batches = iter(resumed)
        resumed.sampler.epoch, resumed.sampler.start = 4, 2
        expected = list(whole)[2:]
        for (images, targets), (expected_images, expected_targets) in zip(batches, expected, strict=True):
            assert torch.equal(images, expected_images) and torch.equal(targets, expected_targets)


class TestFileLoader:
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_an_unreadable_file_is_one_message(self, files: FileSplit, num_workers: int) -> None:
        content = files.paths[7].read_bytes()
        files.paths[7].write_bytes(content[: len(content) // 2])
        loader = FileLoader(
            files,
            torch.arange(SIZE),
            EpochSampler(SIZE, 16, seed=0, shuffle=False),
            _transform(),
            num_workers=num_workers,
        )
        with pytest.raises(InputError, match=r"007\.png is not a readable image .*replace or remove it") as caught:
            list(loader)
        assert "Traceback" not in str(caught.value)

    def test_length(self, files: FileSplit) -> None:
        assert len(FileLoader(files, torch.arange(20), EpochSampler(20, 16, seed=0, shuffle=False), _transform())) == 2


def test_loaders_serve_one_epoch_after_the_other(arrays: ArraySplit) -> None:
    loader = ArrayLoader(arrays, torch.arange(SIZE), EpochSampler(SIZE, 16, seed=0, shuffle=True), _transform())

    def epochs() -> Iterator[list[int]]:
        for epoch in range(3):
            loader.sampler.set_epoch(epoch)
            yield [int(row) for _, targets in loader for row in targets]

    orders = list(epochs())
    assert all(sorted(order) == list(range(SIZE)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert len(loader) == 4
