"""One's own folders of images against torchvision's reader; faults of theirs."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as oracle
from PIL import Image
from torchvision.transforms.v2 import functional

from receptive.data.image_folder import ImageFolder
from receptive.errors import InputError


def test_is_torchvisions_listing(image_folder_root: Path) -> None:
    source = ImageFolder(str(image_folder_root), image_size=10)
    source.prepare()
    split, expected = source.load("train"), oracle.ImageFolder(str(image_folder_root / "train"))
    assert source.facts().class_names == tuple(expected.classes) == ("ant", "bee", "cicada")
    assert [(str(path), int(label)) for path, label in zip(split.paths, split.targets, strict=True)] == expected.samples
    assert len(split) == 21 and len(source.load("test")) == 9


@pytest.mark.parametrize(("height", "width"), [(20, 30), (30, 20), (20, 20)])
def test_centre_is_cropped(image_folder_root: Path, height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = image_folder_root / "train" / "ant" / "wide.png"
    Image.fromarray(pixels).save(path)
    image = ImageFolder(str(image_folder_root), image_size=20).load("train").read(path)
    assert torch.equal(image, functional.center_crop(torch.from_numpy(pixels).permute(2, 0, 1), [20, 20]))


def test_square_images_are_torchvisions_resize(image_folder_root: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    path = image_folder_root / "train" / "ant" / "square.png"
    Image.fromarray(pixels).save(path)
    image = ImageFolder(str(image_folder_root), image_size=8).load("train").read(path)
    assert torch.equal(image, functional.pil_to_tensor(functional.resize(Image.open(path), [8, 8])))


def test_grey(image_folder_root: Path) -> None:
    source = ImageFolder(str(image_folder_root), image_size=12, mode="L")
    split = source.load("train")
    assert source.facts().in_channels == 1 and split.read(split.paths[0]).shape == (1, 12, 12)


def test_what_is_no_image_is_left_out(image_folder_root: Path) -> None:
    ant = image_folder_root / "train" / "ant"
    (ant / "notes.txt").write_text("seen in June")
    (ant / ".hidden.png").write_text("of a file manager")
    (image_folder_root / "train" / ".cache").mkdir()
    source = ImageFolder(str(image_folder_root))
    source.prepare()
    assert len(source.load("train")) == 21


def test_checksum_follows_names_and_sizes_not_the_place(image_folder_root: Path) -> None:
    first = ImageFolder(str(image_folder_root)).load("train").checksum
    moved = image_folder_root.rename(image_folder_root.with_name("elsewhere"))
    assert ImageFolder(str(moved)).load("train").checksum == first
    path = moved / "train" / "bee" / "0.png"
    path.rename(path.with_name("00.png"))
    assert ImageFolder(str(moved)).load("train").checksum != first


class TestFaults:
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_missing_split(self, image_folder_root: Path, split: str) -> None:
        (image_folder_root / split).rename(image_folder_root / "other")
        with pytest.raises(InputError, match=rf"/{split} holds no folders of images: put them at .*/{split}/CLASS"):
            ImageFolder(str(image_folder_root)).prepare()

    def test_missing_root(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"data\.source\.root"):
            ImageFolder(str(tmp_path / "nothing")).facts()

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_empty_class(self, image_folder_root: Path, split: str) -> None:
        (image_folder_root / split / "bee").rename(image_folder_root / "bee")
        (image_folder_root / split / "bee").mkdir()
        with pytest.raises(InputError, match=rf"/{split}/bee holds no images"):
            ImageFolder(str(image_folder_root)).prepare()

    def test_class_that_training_does_not_have(self, image_folder_root: Path) -> None:
        (image_folder_root / "test" / "ant").rename(image_folder_root / "test" / "wasp")
        with pytest.raises(InputError, match=r"/test/wasp is a class that .*/train does not have"):
            ImageFolder(str(image_folder_root)).prepare()

    @pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
    def test_unreadable_header(self, image_folder_root: Path, content: bytes) -> None:
        (image_folder_root / "test" / "bee" / "1.png").write_bytes(content)
        with pytest.raises(InputError, match=r"test/bee/1\.png is not a readable image .*: replace or remove it"):
            ImageFolder(str(image_folder_root)).prepare()

    def test_truncated_pixels(self, image_folder_root: Path) -> None:
        path = image_folder_root / "train" / "bee" / "0.png"
        path.write_bytes(path.read_bytes()[:120])
        source = ImageFolder(str(image_folder_root))
        source.prepare()  # looks at headers only
        with pytest.raises(InputError, match=r"train/bee/0\.png is not a readable image"):
            source.load("train").read(path)

    def test_sixteen_bits(self, image_folder_root: Path) -> None:
        path = image_folder_root / "train" / "bee" / "0.png"
        Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16)).save(path)
        with pytest.raises(InputError, match=r"0\.png .*more than 8 bits a channel: convert it to 8 bits"):
            ImageFolder(str(image_folder_root)).prepare()
