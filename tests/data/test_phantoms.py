"""Drawn chest radiographs: reproducible, plausible, and not to be had by a threshold."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import max_pool2d

from receptive.data import phantoms
from receptive.data.phantoms import Phantoms
from receptive.data.source import ArraySplit

SIZE = 64


@pytest.fixture(scope="module")
def default() -> ArraySplit:
    """The default training images, at a quarter of the size, with hearts."""
    return Phantoms(image_size=SIZE, heart=True).load("train")


def _few(**arguments: int | bool) -> ArraySplit:
    return Phantoms(**({"image_size": SIZE, "train_images": 3, "test_images": 2} | arguments)).load("train")


def test_the_drawings_are_those_of_earlier_versions() -> None:
    split = Phantoms(image_size=32, train_images=2, test_images=1).load("train")
    assert split.images.float().mean((1, 2, 3)).tolist() == pytest.approx([130.48, 117.98], abs=0.5)
    assert split.targets.sum((1, 2)).tolist() == pytest.approx([221, 209], abs=2)


def _components(mask: Tensor) -> list[int]:
    """Sizes of the connected (4 neighbours) areas of a mask (H, W), largest first."""
    image = Image.fromarray(mask.numpy().astype(np.uint8)).copy()  # else it is read-only
    sizes = []
    while (left := np.argwhere(np.array(image) == 1)).size:
        before = len(left)
        ImageDraw.floodfill(image, (int(left[0, 1]), int(left[0, 0])), 2)
        sizes.append(before - int((np.array(image) == 1).sum()))
    return sorted(sizes, reverse=True)


def _around(split: ArraySplit) -> Tensor:
    """Mean grey value of the tissue around the lungs: (N,)."""
    lungs = (split.targets == 1)[:, None].float()
    ring = max_pool2d(lungs, 7, 1, 3) - max_pool2d(lungs, 3, 1, 1)
    return (split.images * ring).sum((1, 2, 3)) / ring.sum((1, 2, 3))


class TestReproducible:
    def test_the_same_arguments_give_the_same_bits(self) -> None:
        assert _few().checksum == _few().checksum

    def test_an_image_does_not_depend_on_how_many_there_are(self, default: ArraySplit) -> None:
        few = _few(heart=True)
        assert torch.equal(few.images, default.images[:3]) and torch.equal(few.targets, default.targets[:3])

    def test_seeds_splits_and_images_differ(self) -> None:
        train, test = _few(), Phantoms(image_size=SIZE, test_images=3).load("test")
        images = torch.cat([train.images, test.images, _few(seed=1).images])
        assert len(images) == len({image.numpy().tobytes() for image in images}) == 9
        # the patients differ, not the grain alone
        shadows = (images.float().mean((1, 2)) / 255).round(decimals=2)
        assert len({shadow.numpy().tobytes() for shadow in shadows}) == 9

    def test_every_size_shows_the_same_patient(self) -> None:
        small, big = _few(), _few(image_size=2 * SIZE)
        shrunk = torch.nn.functional.avg_pool2d(big.images.float(), 2)
        assert (shrunk - small.images).abs().mean() < 8  # of 255: blur and grain
        coverage = torch.nn.functional.avg_pool2d(big.targets[:, None].float(), 2)[:, 0]
        assert ((coverage > 0.5) != small.targets.bool()).float().mean() < 0.015


class TestShapes:
    @pytest.mark.parametrize("size", [32, 97])
    def test_any_size(self, size: int) -> None:
        source = Phantoms(image_size=size, train_images=2, test_images=1)
        source.prepare()
        for name, count in (("train", 2), ("test", 1)):
            split = source.load("train" if name == "train" else "test")
            assert split.images.shape == (count, 1, size, size) and split.images.dtype == torch.uint8
            assert split.targets.shape == (count, size, size) and split.targets.dtype == torch.uint8
            assert split.targets.unique().tolist() == [0, 1]
        assert source.facts().image_size == (size, size) and source.facts().in_channels == 1

    def test_images_are_named_by_split_and_number(self) -> None:
        assert _few().names == ("train_000", "train_001", "train_002")

    def test_sizes_of_the_splits_are_those_of_jsrt(self) -> None:
        assert (Phantoms().train_images, Phantoms().test_images, Phantoms().image_size) == (124, 123, 256)

    def test_the_heart_is_a_class_of_its_own_or_background(self) -> None:
        with_heart, without = _few(heart=True), _few()
        assert torch.equal(with_heart.images, without.images)
        assert torch.equal(with_heart.targets == 1, without.targets == 1)
        assert with_heart.targets.unique().tolist() == [0, 1, 2]
        assert without.targets.unique().tolist() == [0, 1]
        assert Phantoms(heart=True).facts().class_names == ("background", "lungs", "heart")
        assert Phantoms().facts().class_names == ("background", "lungs")
        assert Phantoms().facts().target == "mask"


class TestPlausible:
    def test_facts_are_near_those_of_a_smaller_size(self, default: ArraySplit) -> None:
        pixels = default.images.double() / 255
        assert pixels.mean().item() == pytest.approx(phantoms.MEAN[0], abs=0.01)
        assert pixels.std(correction=0).item() == pytest.approx(phantoms.STD[0], abs=0.01)

    @pytest.mark.slow
    def test_facts_are_those_of_the_training_images(self) -> None:
        pixels = Phantoms().load("train").images.double() / 255
        assert pixels.mean().item() == pytest.approx(phantoms.MEAN[0], abs=5e-5)
        assert pixels.std(correction=0).item() == pytest.approx(phantoms.STD[0], abs=5e-5)

    def test_two_lungs_of_about_one_size(self, default: ArraySplit) -> None:
        for mask in default.targets == 1:
            sizes = _components(mask)
            assert sizes[1] > 0.5 * sizes[0]
            assert sum(sizes[2:]) <= 2  # the tip of an angle may hang on by a corner
            assert 0.14 < mask.float().mean() < 0.36

    def test_the_heart_is_one_between_the_lungs_more_to_the_images_right(self, default: ArraySplit) -> None:
        columns = torch.arange(SIZE).expand(SIZE, SIZE)
        for mask in default.targets:
            heart, lungs = mask == 2, mask == 1
            assert len(_components(heart)) == 1 and 0.04 < heart.float().mean() < 0.14
            middle = columns[lungs].float().median()
            assert lungs[:, : int(middle)].any() and lungs[:, int(middle) :].any()
        left = columns.expand_as(default.targets)[default.targets == 2].float().mean()
        assert left > SIZE / 2

    def test_the_lungs_are_inside_the_body(self, default: ArraySplit) -> None:
        lungs = default.targets == 1
        margin = SIZE // 32
        inner = lungs[:, margin:-margin, margin:-margin]
        assert inner.sum() == lungs.sum()
        dark = torch.stack([image[0][mask].float().mean() for image, mask in zip(default.images, lungs, strict=True)])
        assert (_around(default) > dark + 20).all()

    def test_no_threshold_finds_them(self, default: ArraySplit) -> None:
        """The best of all thresholds, chosen with the masks at hand, stays far from what a net reaches."""
        scores = []
        for image, mask in zip(default.images[:, 0], default.targets == 1, strict=True):
            inside = torch.bincount(image[mask], minlength=256).cumsum(0)
            outside = torch.bincount(image[~mask], minlength=256).cumsum(0)
            scores.append(2 * inside / (inside + outside + mask.sum()))  # F1 of "dark is lung", each threshold
        f1 = torch.stack(scores)
        assert 0.3 < f1.mean(0).max() < 0.65
        assert f1.amax(1).mean() < 0.7  # not with a threshold of its own for each image either

    def test_air_beside_the_lungs_is_dark_and_some_lungs_are_opaque(self, default: ArraySplit) -> None:
        lungs, images = default.targets == 1, default.images[:, 0].float()
        area = lungs.sum((1, 2))
        mean = (images * lungs).sum((1, 2)) / area
        air = ((images < mean[:, None, None]) & ~lungs).sum((1, 2)) / area
        assert air.gt(0.1).float().mean() > 0.9
        opaque = ((images > _around(default)[:, None, None]) & lungs).sum((1, 2)) / area
        assert 5 < opaque.gt(0.05).sum() < 60
