"""One's own folders of images and masks."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from receptive.data.image_mask_folder import ImageMaskFolder
from receptive.data.module import ImageData
from receptive.data.source import ArraySplit, FileSplit
from receptive.errors import InputError


def make(root: Path, **options: Any) -> ImageMaskFolder:
    return ImageMaskFolder(str(root), **({"image_size": 16} | options))


def test_files_of_many_kinds_are_read_alike(image_mask_root: Path) -> None:
    """A palette's indices and one bit's 0 and 255 are the values; sizes differ, grey becomes RGB."""
    source = make(image_mask_root)
    source.prepare()
    for split, count in (("train", 9), ("test", 4)):
        loaded = source.load(split)  # type: ignore[arg-type]
        assert isinstance(loaded, ArraySplit)
        assert loaded.names == tuple(f"case {number}" for number in range(count))
        assert loaded.images.shape == (count, 3, 16, 16)
        assert loaded.targets.unique().tolist() == [0, 1]
        assert (loaded.targets.flatten(1).sum(1) > 0).all()
    assert torch.equal(loaded.images[0, 0], loaded.images[0, 2])
    assert not torch.equal(loaded.images[1, 0], loaded.images[1, 2])


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_from_memory_and_from_files_are_equal(image_mask_root: Path, mode: Any, workers: int) -> None:
    options: dict[str, Any] = {"batch_size": 2, "eval_batch_size": 3, "validation": 3, "split_seed": 0, "seed": 1}
    loaders = []
    for in_memory in (True, False):
        source = make(image_mask_root, mode=mode, image_size=(24, 16), in_memory=in_memory)
        assert isinstance(source.load("train"), ArraySplit if in_memory else FileSplit)
        data = ImageData(source, num_workers=0 if in_memory else workers, **options)
        loaders.append((data.train_dataloader(), data.val_dataloader(), data.test_dataloader()))
    for first, second in zip(*loaders, strict=True):
        batches = [*zip(first, second, strict=True)]
        assert len(batches) == len(first) > 0
        for (images, masks), (other_images, other_masks) in batches:
            assert torch.equal(images, other_images) and torch.equal(masks, other_masks)
            assert images.shape[2:] == masks.shape[1:] == (24, 16)


def test_facts(image_mask_root: Path) -> None:
    facts = make(image_mask_root, image_size=[24, 32], mode="L").facts()
    assert (facts.in_channels, facts.image_size, facts.target) == (1, (24, 32), "mask")
    assert facts.class_names == ("background", "foreground")
    assert len(make(image_mask_root).facts().mean) == 3


def test_lists_of_a_config_make_an_equal_source(image_mask_root: Path) -> None:
    lists = make(image_mask_root, image_size=[16, 8], class_names=["a", "b"], label_values=[[0], [255]])
    tuples = make(image_mask_root, image_size=(16, 8), class_names=("a", "b"))
    assert lists == tuples and hash(lists) == hash(tuples)


def test_the_splits_never_share_what_was_decoded(image_mask_root: Path) -> None:
    """Unpacked archives have files of equal names, sizes and times in both splits."""
    for folder in ("images", "masks"):
        shutil.rmtree(image_mask_root / "test" / folder)
        for path in (image_mask_root / "train" / folder).iterdir():
            other = image_mask_root / "test" / folder / f"{path.stem}.bmp"
            other.parent.mkdir(exist_ok=True)
            with Image.open(path) as picture:
                values = np.asarray(picture.convert("L"))
            Image.fromarray(values).save(path.with_suffix(".bmp"))
            Image.fromarray(values[::-1].copy()).save(other)
            path.unlink()
            for file in (path.with_suffix(".bmp"), other):
                os.utime(file, (1e9, 1e9))
    source = make(image_mask_root, label_values=((0, *range(7, 200)), (255, *range(1, 7), *range(200, 255))))
    train, test = source.load("train"), source.load("test")
    assert isinstance(train, ArraySplit) and isinstance(test, ArraySplit)
    assert not torch.equal(train.images, test.images)
    assert not torch.equal(train.targets, test.targets)


class TestFaults:
    @pytest.mark.parametrize("split", ["train", "test"])
    @pytest.mark.parametrize("folder", ["images", "masks"])
    def test_missing_folder(self, image_mask_root: Path, split: str, folder: str) -> None:
        (image_mask_root / split / folder).rename(image_mask_root / "other")
        with pytest.raises(InputError, match=rf"/{split}/{folder} does not exist"):
            make(image_mask_root).prepare()

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_a_value_of_no_class_names_file_and_value(self, image_mask_root: Path, in_memory: bool) -> None:
        path = image_mask_root / "train" / "masks" / "case 3.png"
        with Image.open(path) as picture:
            values = np.array(picture)
        values[10:20, 3:9] = 128
        Image.fromarray(values).save(path)
        source = make(image_mask_root, in_memory=in_memory)
        source.prepare()
        with pytest.raises(InputError, match=r"train/masks/case 3\.png has the value\(s\) 128, which stand for no"):
            source.load("train").batch([3])

    def test_an_image_of_sixteen_bits(self, image_mask_root: Path) -> None:
        path = image_mask_root / "test" / "images" / "case 0.png"
        Image.fromarray(np.full((18, 24), 40_000, dtype=np.uint16)).save(path)
        with pytest.raises(InputError, match=r"case 0\.png .*more than 8 bits a channel"):
            make(image_mask_root).prepare()

    def test_names_that_do_not_fit(self, image_mask_root: Path) -> None:
        with pytest.raises(ValueError, match=r"class_names=\['a', 'b', 'c'\]: give one for each of the 2 lists"):
            make(image_mask_root, class_names=("a", "b", "c"))
