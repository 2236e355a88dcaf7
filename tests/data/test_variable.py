"""Variable resolution, against torchvision's resizing and the data set that is wrapped."""

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from receptive.data.augment import HorizontalFlip, Rotation
from receptive.data.cifar10 import CIFAR10
from receptive.data.digits import Digits
from receptive.data.image_folder import ImageFolder
from receptive.data.loaders import ImageLoader, SizedLoader
from receptive.data.mnist import MNIST
from receptive.data.module import ImageData
from receptive.data.phantoms import Phantoms
from receptive.data.sizes import SizedSplit
from receptive.data.source import ArraySplit, Facts, Source, SplitName, load_cached
from receptive.data.variable import VariableResolution
from receptive.errors import InputError

SIZES = (5, 8, 13)  # smaller than a digit, its own, larger


def _sized(**options: Any) -> VariableResolution:
    return VariableResolution(**{"source": Digits(), "sizes": SIZES} | options)


def _split(split: SplitName = "train", **options: Any) -> SizedSplit:
    found = _sized(**options).load(split)
    assert isinstance(found, SizedSplit)
    return found


def _data(source: Source | None = None, **options: Any) -> ImageData:
    defaults: dict[str, Any] = {"batch_size": 64, "eval_batch_size": 100, "validation": 237, "split_seed": 0}
    return ImageData(source or _sized(), **defaults | options)


def _torchvisions(images: torch.Tensor, side: int) -> torch.Tensor:
    return functional.resize(images, [side, side], InterpolationMode.BILINEAR, antialias=True)


class TestImages:
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_are_torchvisions_resized(self, split: SplitName) -> None:
        """Both round, each its own way: by one grey level at most."""
        given, found = Digits().load(split), _split(split)
        for kind, side in enumerate(SIZES):
            own = given.images[found.kinds == kind]
            assert found.stacks[kind].shape == (len(own), 1, side, side)
            difference = found.stacks[kind].int() - _torchvisions(own, side).int()
            assert difference.abs().max() <= 1 and (difference != 0).float().mean() < 0.05
            if side == 8:
                assert torch.equal(found.stacks[kind], own)

    @pytest.mark.parametrize("resize", [7, 13])
    def test_are_resized_once_more(self, resize: int) -> None:
        given, found = Digits().load("test"), _sized(resize=resize).load("test")
        assert isinstance(found, ArraySplit) and found.images.shape == (360, 1, resize, resize)
        kinds = _split("test").kinds
        for kind, side in enumerate(SIZES):
            expected = _torchvisions(_torchvisions(given.images[kinds == kind], side), resize)
            assert (found.images[kinds == kind].int() - expected.int()).abs().max() <= 2

    def test_of_three_channels(self, cifar10_root: Path) -> None:
        source = CIFAR10(str(cifar10_root))
        given, found = source.load("train").images, _split(source=source, sizes=(20, 40))
        for kind, side in enumerate((20, 40)):
            expected = _torchvisions(given[found.kinds == kind], side)
            assert (found.stacks[kind].int() - expected.int()).abs().max() <= 1
            assert found.stacks[kind].is_contiguous()

    def test_labels_are_the_data_sets_own(self) -> None:
        for resize in (None, 6):
            assert torch.equal(_sized(resize=resize).load("train").targets, Digits().load("train").targets)

    def test_groups_and_names_come_along(self) -> None:
        class Grouped(Digits):
            def load(self, split: SplitName) -> ArraySplit:
                given = super().load(split)
                names = tuple(str(row) for row in range(len(given)))
                return ArraySplit(given.images, given.targets, torch.arange(len(given)) // 3, names)

        for resize in (None, 6):
            found = _sized(source=Grouped(), resize=resize).load("test")
            assert found.names is not None and found.names[7] == "7"
            assert found.groups is not None and found.groups.tolist() == [row // 3 for row in range(360)]


class TestSizes:
    @pytest.mark.parametrize(("split", "counts"), [("train", [479, 479, 479]), ("test", [120, 120, 120])])
    def test_are_given_to_equally_many_images(self, split: SplitName, counts: list[int]) -> None:
        assert [len(stack) for stack in _split(split).stacks] == counts

    def test_follow_the_seed(self) -> None:
        first = _split(seed=3).kinds
        assert torch.equal(first, _split(seed=3).kinds) and not torch.equal(first, _split(seed=4).kinds)
        assert _split(seed=3).checksum == _split(seed=3).checksum != _split(seed=4).checksum

    def test_of_training_and_test_are_drawn_apart(self) -> None:
        class Same(Digits):
            def load(self, split: SplitName) -> ArraySplit:
                return super().load("test")

        assert not torch.equal(_split("train", source=Same()).kinds, _split("test", source=Same()).kinds)

    def test_do_not_follow_the_label(self) -> None:
        split = _split()
        counts = torch.bincount(split.targets * 3 + split.kinds, minlength=30).view(10, 3)
        assert counts.min() > 30 and counts.max() < 70

    def test_their_order_does_not_matter(self) -> None:
        assert _sized(sizes=[13, 5, 8]) == _sized(sizes=(5, 8, 13))
        assert load_cached(_sized(sizes=[13, 5, 8]), "test") is load_cached(_sized(), "test")

    def test_a_single_one_makes_ordinary_arrays(self) -> None:
        found = _sized(sizes=[8]).load("test")
        assert isinstance(found, ArraySplit) and torch.equal(found.images, Digits().load("test").images)
        assert _sized(sizes=[8]).facts() == Digits().facts()


def test_facts() -> None:
    facts = _sized().facts()
    assert facts.image_size == (13, 13) and facts.sizes == facts.image_sizes == ((5, 5), (8, 8), (13, 13))
    assert facts.shapes == "1x5x5, 1x8x8, 1x13x13"
    assert (facts.mean, facts.class_names) == (Digits().facts().mean, Digits().facts().class_names)
    assert Facts.from_plain(facts.plain()) == facts
    one = _sized(resize=6).facts()
    assert (one.image_size, one.sizes, one.image_sizes) == ((6, 6), ((6, 6),), ())
    older = {key: value for key, value in one.plain().items() if key != "image_sizes"}
    assert Facts.from_plain(older) == one


@pytest.mark.parametrize(("width", "height", "side"), [(3, 3, 5), (7, 6, 5), (7, 7, 8), (16, 6, 8), (900, 700, 13)])
def test_an_image_from_elsewhere_gets_the_nearest_size(width: int, height: int, side: int) -> None:
    """The root of its pixels tells: 6.48 of 7x6 is nearer to 5 than to 8, 9.8 of 16x6 nearer to 8."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    assert _sized().fit(image).shape == (1, side, side)
    assert _sized(resize=6).fit(image).shape == (1, 6, 6)


def test_a_digit_from_elsewhere_is_the_data_sets_own() -> None:
    """An image of the data set, read from a file in its own size, goes the same way to the network's."""
    image = Digits().load("test").images[3]
    assert torch.equal(_sized(sizes=(8, 13)).fit(Image.fromarray(image[0].numpy())), image)


class TestRefused:
    @pytest.mark.parametrize(
        ("source", "told"),
        [
            (ImageFolder("nowhere"), "ImageFolder reads its images from files"),
            (_sized(), "VariableResolution is resized already"),
            (torch.nn.ReLU(), "ReLU is no data set"),
        ],
    )
    def test_what_cannot_be_wrapped(self, source: Any, told: str) -> None:
        with pytest.raises(InputError, match=rf"^data\.source\.source: {told}.*MNIST, Digits"):
            _sized(source=source)

    def test_masks(self) -> None:
        with pytest.raises(InputError, match=r"data\.source\.source: Phantoms has masks"):
            _sized(source=Phantoms(image_size=16)).facts()

    def test_a_source_of_ones_own_that_gives_no_arrays(self) -> None:
        class Own(Digits):
            def load(self, split: SplitName) -> ArraySplit:
                return Phantoms(image_size=16, train_images=2, test_images=1).load(split)

        with pytest.raises(InputError, match=r"data\.source\.source: Own gives no labelled images in memory"):
            _sized(source=Own()).load("train")

    @pytest.mark.parametrize("sizes", [[], [8, 5, 8]])
    def test_no_size_or_one_twice(self, sizes: list[int]) -> None:
        with pytest.raises(InputError, match=rf"^data\.source\.sizes={re.escape(str(sizes))}: give one .* each once"):
            _sized(sizes=sizes)

    def test_missing_files_are_the_data_sets_own(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="train-images-idx3-ubyte"):
            _sized(source=MNIST(str(tmp_path), download=False)).prepare()


def _served(loader: ImageLoader | list[ImageLoader], epoch: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    assert isinstance(loader, SizedLoader)
    loader.sampler.set_epoch(epoch)
    return list(loader)


class TestLoaders:
    def test_a_batch_holds_one_size_and_batches_are_mixed(self) -> None:
        sides = [len(images[0, 0]) for images, _ in _served(_data().train_dataloader())]
        assert set(sides) == set(SIZES)
        assert sum(left != right for left, right in itertools.pairwise(sides)) > len(sides) / 3
        other = [len(images[0, 0]) for images, _ in _served(_data().train_dataloader(), epoch=1)]
        assert sides != other and Counter(sides) == Counter(other)

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    def test_every_image_comes_once_in_its_size(self, part: str) -> None:
        data = _data(normalize=False)
        loader = getattr(data, f"{part}_dataloader")()
        whole = _split("test" if part == "test" else "train")
        expected, _ = whole.batch(loader.indices.tolist())
        served = [
            (positions, images, targets)
            for positions, (images, targets) in zip(loader.sampler, _served(loader), strict=True)
        ]
        assert torch.cat([positions for positions, _, _ in served]).sort().values.tolist() == list(range(len(expected)))
        assert len(served) == len(loader)
        for positions, images, targets in served:
            assert targets.tolist() == whole.targets[loader.indices[positions]].tolist()
            for place, image in zip(positions.tolist(), images, strict=True):
                assert torch.equal(image, expected[place].float() / 255)

    def test_the_held_out_images_are_those_of_the_wrapped_data_set(self) -> None:
        for seed in (0, 1):
            ours, theirs = (_data(source, split_seed=seed) for source in (_sized(), Digits()))
            for left, right in ((ours.val_dataloader(), theirs.val_dataloader()),
                                (ours.train_dataloader(), theirs.train_dataloader())):  # fmt: skip
                assert isinstance(left, ImageLoader) and isinstance(right, ImageLoader)
                assert torch.equal(left.indices, right.indices)
            assert torch.equal(ours.class_counts(), theirs.class_counts())
            assert ours.counts() == theirs.counts()

    def test_draws_follow_the_row_whatever_the_size(self) -> None:
        """A mirrored image is one with any size: who is mirrored is the same with and without several sizes."""
        flipped = {}
        for name, source in (("sized", _sized()), ("plain", Digits())):
            augmented, plain = (
                _data(source, augmentations=own, normalize=False).train_dataloader() for own in ([HorizontalFlip()], [])
            )
            flipped[name] = {
                int(row): torch.equal(image, original.flip(-1))
                for positions, (images, _), (originals, _) in zip(plain.sampler, augmented, plain, strict=True)
                for row, image, original in zip(plain.indices[positions], images, originals, strict=True)
                if not torch.allclose(original, original.flip(-1), atol=0.05)
            }
        common = flipped["sized"].keys() & flipped["plain"].keys()
        assert len(common) > 1000 and all(flipped["sized"][row] == flipped["plain"][row] for row in common)
        assert 0.4 < sum(flipped["plain"].values()) / len(flipped["plain"]) < 0.6

    def test_an_image_is_augmented_alike_in_any_batch(self) -> None:
        def by_row(**options: Any) -> dict[int, torch.Tensor]:
            loader = _data(augmentations=[Rotation(30.0)], **options).train_dataloader()
            served = zip(loader.sampler, _served(loader), strict=True)
            return {
                int(row): image
                for positions, (images, _) in served
                for row, image in zip(loader.indices[positions], images, strict=True)
            }

        one, other = by_row(batch_size=64), by_row(batch_size=7)
        assert one.keys() == other.keys() and all(torch.equal(one[row], other[row]) for row in one)

    def test_overfitting_keeps_the_first_batches_of_validation(self) -> None:
        data = _data(batch_size=16)
        data.overfit(2)
        for loader in (data.train_dataloader(), data.val_dataloader()):
            assert [len(targets) for _, targets in _served(loader)] == [16, 16]
        assert data.counts() == {"train": 32, "val": 32}

    def test_examples(self) -> None:
        data = _data()
        found = data.examples("test", [4, 0, 7])
        for place, (pixels, inputs) in zip([4, 0, 7], zip(found.pixels, found.inputs, strict=True), strict=True):
            [alone] = data.examples("test", [place]).inputs
            assert torch.equal(inputs, alone) and inputs.shape == pixels.shape
            torch.testing.assert_close((pixels / 255 - 0.3054) / 0.3753, inputs)
        assert found.targets.tolist() == Digits().load("test").targets[[4, 0, 7]].tolist()
        images = [Image.new("L", (side, side), 9) for side in (5, 13, 5)]
        assert [inputs.shape for inputs in data.inputs(images)] == [(1, 5, 5), (1, 13, 13), (1, 5, 5)]
