"""ImageData with masks: they move with their images, are counted by pixels, and are found again by place and name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
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
from receptive.data.digits import Digits
from receptive.data.image_folder import ImageFolder
from receptive.data.image_mask_folder import ImageMaskFolder
from receptive.data.jsrt import JSRT
from receptive.data.loaders import ImageLoader
from receptive.data.module import ImageData
from receptive.data.source import ArraySplit, Facts, Source
from receptive.errors import InputError

GEOMETRIC = [
    Affine(20.0, translate=0.2, scale=(0.7, 1.3), shear=10.0, interpolation="nearest"),
    Rotation(45.0, interpolation="nearest"),
    HorizontalFlip(),
    PadCrop(5),
    PadCrop(5, padding_mode="reflect"),
]
LABELS = 5


class Painted(Source):
    """Images whose intensity is the class: 50 * mask, in both splits."""

    def __init__(self, count: int = 6) -> None:
        random = torch.Generator().manual_seed(0)
        blocks = torch.randint(LABELS, (count, 1, 5, 7), generator=random).float()
        self.masks = torch.nn.functional.interpolate(blocks, scale_factor=4)[:, 0].byte()

    def facts(self) -> Facts:
        names = tuple("abcde")
        return Facts(1, (20, 28), names, (0.5,), (0.25,), target="mask")

    def prepare(self) -> None: ...

    def load(self, split: str) -> ArraySplit:
        return ArraySplit(50 * self.masks.unsqueeze(1), self.masks)


def make(source: Source | None = None, **options: Any) -> ImageData:
    defaults: dict[str, Any] = {"batch_size": 4, "eval_batch_size": 4, "validation": 0, "split_seed": 0}
    return ImageData(source or Painted(), **(defaults | options))


def epoch(loader: ImageLoader | list[ImageLoader]) -> tuple[Tensor, Tensor]:
    assert isinstance(loader, ImageLoader)
    images, targets = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(targets)


@pytest.mark.parametrize("augmentation", GEOMETRIC, ids=lambda augmentation: type(augmentation).__name__)
@pytest.mark.parametrize("channels_last", [False, True])
def test_masks_move_with_their_images(augmentation: Augmentation, channels_last: bool) -> None:
    data = make(augmentations=[augmentation, HorizontalFlip()], normalize=False, channels_last=channels_last)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(3)
    images, masks = epoch(loader)
    assert masks.dtype == torch.uint8
    torch.testing.assert_close(images[:, 0] * 255 / 50, masks.float(), atol=1e-3, rtol=0)
    order = torch.cat(list(loader.sampler))
    moved = (masks != data.source.load("train").targets[order]).flatten(1).any(1)  # type: ignore[union-attr, operator]
    assert moved.float().mean() >= 0.5


@pytest.mark.parametrize("augmentation", [BrightnessContrast(0.5, 0.5), Cutout(9)])
def test_masks_stay_where_only_intensities_change(augmentation: Augmentation) -> None:
    data = make(augmentations=[augmentation], normalize=False)
    loader = data.train_dataloader()
    images, masks = epoch(loader)
    original = data.source.load("train")
    order = torch.cat(list(loader.sampler))
    assert isinstance(original, ArraySplit)
    assert torch.equal(masks, original.targets[order])
    assert not torch.allclose(images, original.images[order] / 255)


def test_a_bilinear_image_keeps_whole_labels() -> None:
    _, masks = epoch(make(augmentations=[Affine(20.0, 0.0, scale=(0.5, 0.9))]).train_dataloader())
    assert set(masks.unique().tolist()) <= set(range(LABELS))
    assert (masks == 0).any()  # what comes into view is background


def test_validation_and_test_are_left_alone() -> None:
    data = make(augmentations=GEOMETRIC, validation=2, normalize=False)
    for loader in (data.val_dataloader(), data.test_dataloader()):
        images, masks = epoch(loader)
        torch.testing.assert_close(images[:, 0] * 255 / 50, masks.float())
    assert torch.equal(masks, Painted().masks)


class TestClassCounts:
    @pytest.mark.parametrize("validation", [0, 4])
    def test_are_pixels_of_the_training_masks_from_memory_and_from_files(
        self, image_mask_root: Path, validation: int
    ) -> None:
        counted = []
        for in_memory in (True, False):
            source = ImageMaskFolder(str(image_mask_root), image_size=(16, 24), in_memory=in_memory)
            data = make(source, validation=validation)
            _, masks = epoch(data.train_dataloader())
            counts = data.class_counts()
            assert counts.tolist() == np.bincount(masks.numpy().ravel(), minlength=2).tolist()
            counted.append(counts)
        assert torch.equal(*counted)
        assert counted[0].sum() == (9 - validation) * 16 * 24

    def test_a_class_that_no_mask_has_counts_0(self, jsrt_root: Path) -> None:
        source = JSRT(str(jsrt_root), 40, tuple("abc"), ((0, 150, 200, 250), (1,), (2,)))
        assert make(source).class_counts().tolist() == [6 * 40 * 40, 0, 0]

    def test_no_image_is_read(self, image_mask_root: Path, image_folder_root: Path) -> None:
        for root, source in (
            (image_mask_root, ImageMaskFolder(str(image_mask_root), image_size=16, in_memory=False)),
            (image_folder_root, ImageFolder(str(image_folder_root), image_size=16)),
        ):
            data = make(source)
            folder = root / "train" / ("images" if root == image_mask_root else "bee")
            for path in folder.iterdir():
                path.write_bytes(b"no image")
            assert (data.class_counts() > 0).all()
            with pytest.raises(InputError, match="is not a readable image"):
                epoch(data.train_dataloader())


class TestExamples:
    @pytest.mark.parametrize("split", ["val", "test"])
    @pytest.mark.parametrize("in_memory", [True, False])
    def test_are_the_loaders_images_with_their_names(self, image_mask_root: Path, split: Any, in_memory: bool) -> None:
        source = ImageMaskFolder(str(image_mask_root), image_size=16, in_memory=in_memory)
        data = make(source, validation=4, augmentations=GEOMETRIC, channels_last=True)
        loader = data.val_dataloader() if split == "val" else data.test_dataloader()
        images, masks = epoch(loader)
        assert isinstance(loader, ImageLoader)
        found = data.examples(split, [3, 0, 3])
        assert torch.equal(found.inputs, images[[3, 0, 3]])
        assert torch.equal(found.targets, masks[[3, 0, 3]])
        assert found.names == tuple(f"case {row}" for row in loader.indices[[3, 0, 3]].tolist())
        mean, std = (torch.tensor(values)[:, None, None] for values in (data.facts.mean, data.facts.std))
        assert found.pixels.dtype == torch.uint8
        torch.testing.assert_close((found.pixels / 255 - mean) / std, found.inputs)

    def test_images_without_names_are_named_by_their_row(self) -> None:
        data = make(Digits(), validation=100)
        loader = data.val_dataloader()
        assert isinstance(loader, ImageLoader)
        found = data.examples("val", [7])
        assert found.names == (f"image {loader.indices[7]}",)
        assert found.targets.tolist() == [int(epoch(loader)[1][7])]
        assert data.test_names() is None

    @pytest.mark.parametrize(("split", "size"), [("val", 2), ("test", 6)])
    @pytest.mark.parametrize("place", [-1, 6])
    def test_a_place_that_there_is_not(self, split: Any, size: int, place: int) -> None:
        with pytest.raises(InputError, match=f"images={place}: the {split} set has {size} images, counted from 0"):
            make(validation=2).examples(split, [0, place])

    def test_names_of_the_test_set(self, jsrt_root: Path) -> None:
        data = make(JSRT(str(jsrt_root), 16))
        names = data.test_names()
        assert names is not None
        assert names[:2] == ("JPCLN002", "JPCLN004") and len(names) == 6


class TestSmallSets:
    def test_one_image(self) -> None:
        data = make(Painted(1), augmentations=GEOMETRIC)
        assert len(epoch(data.train_dataloader())[1]) == len(epoch(data.test_dataloader())[1]) == 1
        assert data.val_dataloader() == []
        assert data.class_counts().sum() == 20 * 28

    @pytest.mark.parametrize("validation", [6, 7, 0.95])
    def test_validation_that_leaves_nothing(self, validation: float) -> None:
        with pytest.raises(InputError, match=rf"data\.validation={validation} leaves nothing .* has 6 images"):
            make(validation=validation).train_dataloader()
