"""JSRT as it is prepared: its split, its classes, its faults."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from receptive.data.jsrt import JSRT, MEAN, STD
from receptive.errors import InputError


def test_images_at_even_places_are_the_test_set(jsrt_root: Path) -> None:
    source = JSRT(str(jsrt_root), image_size=40)
    source.prepare()
    names = sorted(path.stem for path in (jsrt_root / "jsrt" / "images").iterdir())
    train, test = source.load("train"), source.load("test")
    assert test.names == tuple(name for place, name in enumerate(names, start=1) if place % 2 == 0)
    assert train.names == tuple(name for place, name in enumerate(names, start=1) if place % 2 == 1)


def test_an_odd_number_leaves_training_one_more(jsrt_root: Path) -> None:
    """247 radiographs are 124 and 123."""
    for folder in ("images", "masks"):
        (jsrt_root / "jsrt" / folder / "JPCNN012.png").unlink()
    source = JSRT(str(jsrt_root), image_size=8)
    assert (len(source.load("train")), len(source.load("test"))) == (6, 5)


def test_pixels_and_classes_are_the_files(jsrt_root: Path) -> None:
    split = JSRT(str(jsrt_root), image_size=40).load("test")
    assert split.images.dtype == split.targets.dtype == torch.uint8
    assert split.names is not None
    for name, image, target in zip(split.names, split.images, split.targets, strict=True):
        pixels, values = (
            np.asarray(Image.open(jsrt_root / "jsrt" / kind / f"{name}.png")) for kind in ("images", "masks")
        )
        assert np.array_equal(image[0].numpy(), pixels)
        assert np.array_equal(target.numpy(), np.isin(values, (150, 200)))
        assert 0 < target.sum() < target.numel()


def test_other_classes(jsrt_root: Path) -> None:
    source = JSRT(str(jsrt_root), 40, ["background", "lungs", "heart"], [[0], [150, 200], [250]])
    assert source.facts().class_names == ("background", "lungs", "heart")
    name = "JPCLN002.png"
    values = np.asarray(Image.open(jsrt_root / "jsrt" / "masks" / name))
    assert np.array_equal(source.load("test").targets[0].numpy(), np.isin(values, (150, 200)) + 2 * (values == 250))


def test_facts() -> None:
    facts = JSRT("nowhere", image_size=64).facts()
    assert (facts.in_channels, facts.image_size, facts.num_classes, facts.target) == (1, (64, 64), 2, "mask")
    assert facts.class_names == ("background", "lungs")
    assert (facts.mean, facts.std) == (MEAN, STD)


def test_lists_of_a_config_make_an_equal_source() -> None:
    assert JSRT("a", 64, ["x", "y"], [[0], [1]]) == JSRT("a", 64, ("x", "y"), ((0,), (1,)))
    assert hash(JSRT("a", 64, ["x", "y"], [[0], [1]])) == hash(JSRT("a", 64, ("x", "y"), ((0,), (1,))))


class TestFaults:
    def test_a_missing_folder_tells_where_the_files_come_from(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=rf"{tmp_path}/jsrt does not exist.* register .*prepare_jsrt\.py"):
            JSRT(str(tmp_path)).prepare()

    def test_a_missing_mask(self, jsrt_root: Path) -> None:
        (jsrt_root / "jsrt" / "masks" / "JPCLN003.png").unlink()
        with pytest.raises(InputError, match=r"1 image\(s\) without mask: .*/JPCLN003\.png"):
            JSRT(str(jsrt_root)).prepare()

    def test_another_size(self, jsrt_root: Path) -> None:
        Image.new("L", (39, 40)).save(jsrt_root / "jsrt" / "masks" / "JPCLN003.png")
        with pytest.raises(InputError, match=r"JPCLN003\.png has 39x40 pixels, its image 40x40"):
            JSRT(str(jsrt_root)).prepare()

    def test_a_value_of_no_class(self, jsrt_root: Path) -> None:
        source = JSRT(str(jsrt_root), label_values=((0,), (150, 200)))
        with pytest.raises(InputError, match=r"masks/JPCLN001\.png has the value\(s\) 250, which stand for no class"):
            source.load("train")

    def test_names_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match="give one for each of the 3 lists of label_values"):
            JSRT("x", label_values=((0,), (150, 200), (250,)))
