"""GTSRB against torchvision's reader and resize; tracks, regions, the cache."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as oracle
from PIL import Image
from torchvision.transforms.v2 import functional

from receptive.data import gtsrb
from receptive.data.gtsrb import GTSRB, TRACKS
from receptive.data.source import SplitName
from receptive.data.split import validation_split
from receptive.errors import InputError

TRAIN_IMAGES, TEST_IMAGES = 2 * 2 * 43 - 2, 50


def _cached(root: Path) -> list[Path]:
    return sorted((root / gtsrb.CACHE).glob("*"))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("image_size", [28, 11])
def test_is_torchvisions_resized(gtsrb_root: Path, split: SplitName, image_size: int) -> None:
    source = GTSRB(str(gtsrb_root), download=False, image_size=image_size)
    source.prepare()
    ours, expected = source.load(split), oracle.GTSRB(str(gtsrb_root), split=split)
    assert len(ours) == len(expected) == (TRAIN_IMAGES if split == "train" else TEST_IMAGES)
    for image, target, (picture, label) in zip(ours.images, ours.targets, expected, strict=True):
        resized = functional.resize(picture, [image_size, image_size])
        assert torch.equal(image, functional.pil_to_tensor(resized)) and target == label


def test_region_of_the_sign(gtsrb_root: Path) -> None:
    ours = GTSRB(str(gtsrb_root), image_size=16, crop_to_roi=True).load("train")
    picture, _ = oracle.GTSRB(str(gtsrb_root), split="train")[5]
    sign = functional.crop(picture, 3, 2, picture.height - 4, picture.width - 4)
    assert torch.equal(ours.images[5], functional.pil_to_tensor(functional.resize(sign, [16, 16])))
    whole = GTSRB(str(gtsrb_root), image_size=16).load("test").images
    assert not torch.equal(whole, GTSRB(str(gtsrb_root), image_size=16, crop_to_roi=True).load("test").images)


def test_groups_are_tracks(gtsrb_root: Path) -> None:
    split = GTSRB(str(gtsrb_root)).load("train")
    assert split.groups is not None
    assert torch.equal(split.groups // TRACKS, split.targets)
    assert split.groups.unique(return_counts=True)[1].unique().tolist() == [2]
    assert len(split.groups.unique()) == 2 * 43 - 1
    train, held_out = validation_split(split.targets, split.groups, 0.2, seed=0)
    assert not set(split.groups[train].tolist()) & set(split.groups[held_out].tolist())
    assert torch.bincount(split.targets[held_out]).tolist() == [0] + [2] * 42
    assert GTSRB(str(gtsrb_root)).load("test").groups is None


def test_other_formats(gtsrb_root: Path) -> None:
    expected = GTSRB(str(gtsrb_root)).load("train").images
    for path in (gtsrb_root / gtsrb.TRAINING).rglob("*.ppm"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    source = GTSRB(str(gtsrb_root))
    assert torch.equal(source.load("train").images, expected)
    assert GTSRB(str(gtsrb_root), crop_to_roi=True).load("train").images.shape == expected.shape


class TestFacts:
    def test_values(self, gtsrb_root: Path) -> None:
        facts = GTSRB(str(gtsrb_root), image_size=32).facts()
        assert facts.num_classes == len(set(facts.class_names)) == 43
        assert (facts.in_channels, facts.image_size) == (3, (32, 32))
        assert facts.class_names[14] == "stop" and facts.class_names[17] == "no entry"


class TestCache:
    def test_is_read_back(self, gtsrb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = GTSRB(str(gtsrb_root)).load("train")
        assert len(_cached(gtsrb_root)) == 1
        monkeypatch.setattr(gtsrb, "read_image", None)
        second = GTSRB(str(gtsrb_root)).load("train")
        assert second.checksum == first.checksum

    def test_is_another_for_other_options_and_files(self, gtsrb_root: Path) -> None:
        GTSRB(str(gtsrb_root)).load("train")
        GTSRB(str(gtsrb_root)).load("test")
        GTSRB(str(gtsrb_root), crop_to_roi=True).load("train")
        GTSRB(str(gtsrb_root), image_size=10).load("train")
        assert len(_cached(gtsrb_root)) == 4
        path = next((gtsrb_root / gtsrb.TRAINING).rglob("*.ppm"))
        os.utime(path, ns=(0, 0))
        GTSRB(str(gtsrb_root)).load("train")
        assert len(_cached(gtsrb_root)) == 5

    def test_a_damaged_one_is_replaced(self, gtsrb_root: Path) -> None:
        expected = GTSRB(str(gtsrb_root)).load("train").checksum
        (file,) = _cached(gtsrb_root)
        whole = file.read_bytes()
        for content in (whole[:-5], b"", b"nonsense"):
            file.write_bytes(content)
            assert GTSRB(str(gtsrb_root)).load("train").checksum == expected
            assert file.read_bytes() == whole

    def test_an_unwritable_folder_means_none(self, gtsrb_root: Path) -> None:
        (gtsrb_root / gtsrb.CACHE).write_text("in the way")
        assert len(GTSRB(str(gtsrb_root)).load("train")) == TRAIN_IMAGES

    def test_a_failed_write_leaves_nothing(self, gtsrb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*args: object, **kwargs: object) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(np, "save", full)
        assert len(GTSRB(str(gtsrb_root)).load("train")) == TRAIN_IMAGES
        assert _cached(gtsrb_root) == []


class TestFaults:
    def test_truncated_image(self, gtsrb_root: Path) -> None:
        path = gtsrb_root / gtsrb.TRAINING / "00003" / "00001_00000.ppm"
        path.write_bytes(path.read_bytes()[:50])
        with pytest.raises(InputError, match=r"00003/00001_00000\.ppm is not a readable image"):
            GTSRB(str(gtsrb_root)).load("train")
        assert _cached(gtsrb_root) == []

    def test_missing_class(self, gtsrb_root: Path) -> None:
        shutil.rmtree(gtsrb_root / gtsrb.TRAINING / "00042")
        with pytest.raises(InputError, match=r"Training/00042 holds no images: delete .*Training and download"):
            GTSRB(str(gtsrb_root)).load("train")

    def test_missing_test_image(self, gtsrb_root: Path) -> None:
        (gtsrb_root / gtsrb.TEST / "Images" / "00007.ppm").unlink()
        with pytest.raises(InputError, match=r"Images/00007\.ppm"):
            GTSRB(str(gtsrb_root)).load("test")

    def test_name_without_a_track(self, gtsrb_root: Path) -> None:
        folder = gtsrb_root / gtsrb.TRAINING / "00001"
        (folder / "00000_00000.ppm").rename(folder / "sign.ppm")
        with pytest.raises(InputError, match=r"sign\.ppm does not name its track \(TRACK_FRAME\.ppm\)"):
            GTSRB(str(gtsrb_root)).load("train")

    def test_image_without_a_region(self, gtsrb_root: Path) -> None:
        (gtsrb_root / gtsrb.TRAINING / "00005" / "GT-00005.csv").unlink()
        with pytest.raises(InputError, match=r"00005/.*\.ppm has no region in its annotation file"):
            GTSRB(str(gtsrb_root), crop_to_roi=True).load("train")

    @pytest.mark.parametrize("content", [b"", b"Filename;Width\n0.ppm;3\n", b"\xff\xfe\x00", None])
    def test_corrupt_annotations(self, gtsrb_root: Path, content: bytes | None) -> None:
        table = gtsrb_root / gtsrb.TEST_LABELS
        table.write_bytes(table.read_bytes()[:-8] if content is None else content)
        with pytest.raises(InputError, match=r"GT-final_test\.csv (is truncated or corrupt|cannot be read)"):
            GTSRB(str(gtsrb_root)).load("test")
