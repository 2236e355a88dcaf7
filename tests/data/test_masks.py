"""Pairs of images and masks: what is found, what a mask's values mean, what is refused."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from receptive.data.masks import (
    LabelValues,
    check_pair,
    find_pairs,
    list_pairs,
    load_pairs,
    read_mask,
    read_resized,
)
from receptive.errors import InputError

VALUES = np.array([[0, 150, 200], [250, 0, 200]], dtype=np.uint8)


def save(path: Path, values: np.ndarray = VALUES, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    (picture if mode is None else picture.convert(mode)).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three images and their masks, of other formats."""
    for name in ("b", "a.1", "c"):
        save(tmp_path / "images" / f"{name}.png")
        save(tmp_path / "masks" / f"{name}.bmp")
    return tmp_path / "images", tmp_path / "masks"


class TestFindPairs:
    def test_files_of_one_name_belong_together_sorted_by_it(self, folders: tuple[Path, Path]) -> None:
        images, masks = folders
        assert find_pairs(*folders) == [
            (images / f"{name}.png", masks / f"{name}.bmp") for name in ("a.1", "b", "c")
        ]  # fmt: skip

    def test_what_is_no_image_is_left_out(self, folders: tuple[Path, Path]) -> None:
        for folder in folders:
            (folder / "notes.txt").write_text("seen in June")
            (folder / ".hidden.png").write_text("of a file manager")
        (folders[0] / "Thumbs.db").write_bytes(b"")
        (folders[1] / "no_suffix").write_bytes(b"")
        assert len(find_pairs(*folders)) == 3

    @pytest.mark.parametrize("missing", [0, 1])
    def test_missing_folder(self, folders: tuple[Path, Path], missing: int) -> None:
        folders[missing].rename(folders[missing].with_name("elsewhere"))
        with pytest.raises(InputError, match=rf"{folders[missing]} does not exist: put .* or set data\.source\.root"):
            find_pairs(*folders)

    @pytest.mark.parametrize("empty", [0, 1])
    def test_empty_folder(self, folders: tuple[Path, Path], empty: int) -> None:
        for path in folders[empty].iterdir():
            path.rename(path.with_suffix(".txt"))
        with pytest.raises(InputError, match=rf"{folders[empty]} holds no images"):
            find_pairs(*folders)

    @pytest.mark.parametrize(
        ("alone", "other", "told"), [(0, 1, r"image\(s\) without mask"), (1, 0, r"mask\(s\) without image")]
    )
    def test_no_partner(self, folders: tuple[Path, Path], alone: int, other: int, told: str) -> None:
        next(folders[other].glob("b.*")).unlink()
        with pytest.raises(InputError, match=rf"^1 {told}: {folders[alone]}/b\....: add or remove the file$"):
            find_pairs(*folders)
        for number in range(4):
            save(folders[alone] / f"x{number}.png")
        with pytest.raises(InputError, match=rf"^5 {told}: [^,]+/b\....,[^,]+/x0\.png,[^,]+/x1\.png, \.\.\.:"):
            find_pairs(*folders)

    @pytest.mark.parametrize("twice", [0, 1])
    def test_two_files_of_one_name(self, folders: tuple[Path, Path], twice: int) -> None:
        save(folders[twice] / "c.tif")
        with pytest.raises(InputError, match=r"/c\..* and .*/c\.tif have one name: remove one of them"):
            find_pairs(*folders)


class TestCheckPair:
    def test_equal_sizes_of_any_depth(self, tmp_path: Path) -> None:
        image = save(tmp_path / "image.png")
        for dtype in (np.uint8, np.uint16, np.int32, np.float32):
            check_pair((image, save(tmp_path / "mask.tif", VALUES.astype(dtype))))

    def test_other_sizes(self, tmp_path: Path) -> None:
        image, mask = save(tmp_path / "image.png"), save(tmp_path / "mask.png", VALUES.T.copy())
        with pytest.raises(InputError, match=r"mask\.png has 2x3 pixels, its image 3x2: they must have one size"):
            check_pair((image, mask))

    def test_an_image_of_sixteen_bits(self, tmp_path: Path) -> None:
        image = save(tmp_path / "image.png", VALUES.astype(np.uint16))
        with pytest.raises(InputError, match=r"image\.png .*more than 8 bits a channel: convert it to 8 bits"):
            check_pair((image, save(tmp_path / "mask.png")))

    @pytest.mark.parametrize("broken", [0, 1])
    @pytest.mark.parametrize("content", [b"", b"no image"])
    def test_no_image(self, tmp_path: Path, broken: int, content: bytes) -> None:
        pair = save(tmp_path / "image.png"), save(tmp_path / "mask.png")
        pair[broken].write_bytes(content)
        with pytest.raises(InputError, match=rf"{pair[broken]} is not a readable image .*: replace or remove it"):
            check_pair(pair)


class TestReadMask:
    @pytest.mark.parametrize(
        ("name", "mode", "dtype"),
        [
            ("mask.png", None, np.uint8),
            ("mask.png", "RGB", np.uint8),
            ("mask.png", "RGBA", np.uint8),
            ("mask.png", "LA", np.uint8),
            ("mask.png", None, np.uint16),
            ("mask.tif", None, np.int32),
            ("mask.tif", None, np.float32),
        ],
    )
    def test_values_are_those_that_were_saved(self, tmp_path: Path, name: str, mode: str, dtype: Any) -> None:
        path = save(tmp_path / name, VALUES.astype(dtype), mode)
        values = read_mask(path, VALUES.shape)
        assert values.dtype == torch.uint8
        assert values.tolist() == VALUES.tolist()

    def test_one_bit_is_0_and_255(self, tmp_path: Path) -> None:
        path = tmp_path / "mask.png"
        Image.fromarray(VALUES > 0).save(path)
        with Image.open(path) as picture:
            assert picture.mode == "1"
        assert read_mask(path, VALUES.shape).tolist() == (255 * (VALUES > 0)).tolist()

    def test_of_a_palette_the_indices_count_not_the_colours(self, tmp_path: Path) -> None:
        indices = np.array([[0, 1, 2], [3, 0, 1]], dtype=np.uint8)
        picture = Image.fromarray(indices).convert("L")
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 90, 90, 90])
        picture.save(tmp_path / "mask.png")
        with Image.open(tmp_path / "mask.png") as saved:
            assert saved.mode == "P"
        assert read_mask(tmp_path / "mask.png", (2, 3)).tolist() == indices.tolist()

    def test_colours_are_refused(self, tmp_path: Path) -> None:
        colours = np.stack([VALUES, VALUES, VALUES], axis=2)
        colours[1, 2, 2] += 1
        path = save(tmp_path / "mask.png", colours)
        with pytest.raises(InputError, match=r"mask\.png is a mask in colours: save one value, the class"):
            read_mask(path, (2, 3))

    @pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 256), (np.int32, -1), (np.float32, 1e6)])
    def test_values_beyond_255_are_refused(self, tmp_path: Path, dtype: Any, value: float) -> None:
        values = VALUES.astype(dtype)
        values[0, 0] = value
        path = save(tmp_path / "mask.tif", values)
        with pytest.raises(InputError, match=r"mask\.tif has values from .* to .*: a mask's lie between 0 and 255"):
            read_mask(path, (2, 3))

    @pytest.mark.parametrize("value", [0.5, np.nan])
    def test_values_between_whole_numbers_are_refused(self, tmp_path: Path, value: float) -> None:
        values = VALUES.astype(np.float32)
        values[0, 0] = value
        with pytest.raises(InputError, match=r"mask\.tif has values that are no whole numbers"):
            read_mask(save(tmp_path / "mask.tif", values), (2, 3))

    def test_truncated_pixels(self, tmp_path: Path) -> None:
        path = save(tmp_path / "mask.png", np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:400])
        check_pair((path, path))  # looks at headers only
        with pytest.raises(InputError, match=r"mask\.png is not a readable image"):
            read_mask(path, (40, 40))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
    def test_resizing_invents_no_value_and_takes_the_nearest(self, height: int, width: int, seed: int) -> None:
        values = np.random.default_rng(seed).choice(np.array([0, 7, 255], dtype=np.uint8), (11, 17))
        with tempfile.TemporaryDirectory() as folder:
            resized = read_mask(save(Path(folder) / "mask.png", values), (height, width)).numpy()
        rows = ((np.arange(height) + 0.5) * 11 / height).astype(int)
        columns = ((np.arange(width) + 0.5) * 17 / width).astype(int)
        assert np.array_equal(resized, values[np.ix_(rows, columns)])

    def test_a_mask_of_the_same_size_stays(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).integers(0, 256, (13, 9), dtype=np.uint8)
        assert np.array_equal(read_mask(save(tmp_path / "mask.png", values), (13, 9)).numpy(), values)


class TestLabelValues:
    labels = LabelValues(("background", "lungs"), ((0, 250), (150, 200)))

    def test_every_value_becomes_its_class(self) -> None:
        values = torch.from_numpy(VALUES).unsqueeze(0)
        classes = self.labels.classes(values, [Path("mask.png")])
        assert classes.dtype == torch.uint8
        assert classes.tolist() == [[[0, 1, 1], [0, 0, 1]]]

    def test_value_255_may_stand_for_a_class(self) -> None:
        labels = LabelValues(("a", "b", "c"), ((1,), (0,), (255,)))
        assert labels.classes(torch.tensor([[[0, 1, 255]]], dtype=torch.uint8), [Path("x")]).tolist() == [[[1, 0, 2]]]

    def test_a_value_of_no_class_names_file_and_value(self) -> None:
        values = torch.from_numpy(np.stack([VALUES, VALUES, VALUES]))
        values[1, 0, :2] = torch.tensor([9, 254], dtype=torch.uint8)
        paths = [Path(f"mask{number}.png") for number in range(3)]
        told = r"mask1\.png has the value\(s\) 9, 254, which stand for no class: .*label_values \(now \[\[0, 250\]"
        with pytest.raises(InputError, match=told):
            self.labels.classes(values, paths)

    def test_a_jpeg_is_told_what_it_does_to_masks(self) -> None:
        with pytest.raises(InputError, match="JPEG blurs values, save masks as PNG"):
            self.labels.classes(torch.full((1, 2, 2), 7, dtype=torch.uint8), [Path("mask.JPG")])

    @pytest.mark.parametrize(
        ("names", "values", "told"),
        [
            (("a",), ((0,),), "two at least"),
            (("a", "b", "c"), ((0,), (1,)), r"class_names=\['a', 'b', 'c'\]: give one for each of the 2 lists"),
            (("a", "b"), ((0, 1), (1,)), "no value to two classes"),
            (("a", "b"), ((0, 0), (1,)), "no value to two classes"),
            (("a", "b"), ((0,), ()), "give each class one value at least"),
            (("a", "b"), ((0,), (256,)), "from 0 to 255"),
            (("a", "b"), ((-1,), (1,)), "from 0 to 255"),
        ],
    )
    def test_faults(self, names: tuple[str, ...], values: Any, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            LabelValues(names, values)


class TestPairs:
    labels = LabelValues(("background", "heart", "right", "left"), ((0,), (250,), (150,), (200,)))

    @pytest.mark.parametrize("size", [(2, 3), (8, 10)])
    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
    def test_in_memory_and_as_files_are_one(
        self, folders: tuple[Path, Path], tmp_path: Path, size: tuple[int, int], mode: Any, channels: int
    ) -> None:
        pairs = find_pairs(*folders)
        loaded = load_pairs(pairs, size, mode, self.labels, tmp_path / "cache")
        listed = list_pairs(pairs, size, mode, self.labels)
        assert loaded.names == listed.names == ("a.1", "b", "c")
        assert len(loaded) == len(listed) == 3
        for first, second in zip(loaded.batch([2, 0]), listed.batch([2, 0]), strict=True):
            assert torch.equal(first, second) and first.dtype == torch.uint8
        assert loaded.images.shape == (3, channels, *size)
        assert loaded.targets.shape == (3, *size)

    def test_what_was_decoded_is_kept_but_other_labels_count_at_once(
        self, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pairs = find_pairs(*folders)
        first = load_pairs(pairs, (2, 3), "L", self.labels, tmp_path / "cache")
        monkeypatch.setattr("receptive.data.masks.read_image", lambda *_: pytest.fail("decoded again"))
        monkeypatch.setattr("receptive.data.masks.read_mask", lambda *_: pytest.fail("decoded again"))
        again = load_pairs(pairs, (2, 3), "L", self.labels, tmp_path / "cache")
        assert torch.equal(again.images, first.images) and torch.equal(again.targets, first.targets)
        lungs = LabelValues(("background", "lungs"), ((0, 250), (150, 200)))
        assert load_pairs(pairs, (2, 3), "L", lungs, tmp_path / "cache").targets[0].tolist() == [[0, 1, 1], [0, 0, 1]]

    def test_checksum_of_files_follows_masks_too(self, folders: tuple[Path, Path]) -> None:
        def checksum() -> str:
            return list_pairs(find_pairs(*folders), (2, 3), "L", self.labels).checksum

        first = checksum()
        assert checksum() == first
        save(folders[1] / "b.bmp", np.tile(VALUES, (2, 2)))
        assert checksum() != first

    def test_an_image_is_resized_bilinear(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        image = read_resized(save(tmp_path / "x.png", pixels), (8, 9), "RGB")
        expected = Image.fromarray(pixels).resize((9, 8), Image.Resampling.BILINEAR)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_a_photograph_is_taken_as_its_camera_was_held(tmp_path: Path) -> None:
    """Viewers and annotation tools turn it as its EXIF says: so do we, and its mask has the size that they show."""
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[:, :16] = 200  # bright on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    mask = save(tmp_path / "mask.png", np.zeros((32, 16), dtype=np.uint8))
    check_pair((tmp_path / "photo.jpg", mask))
    read = read_resized(tmp_path / "photo.jpg", (32, 16), "L")[0]
    assert read[:16].float().mean() > 190  # bright above
    assert read[16:].float().mean() < 10


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparent_palettes_have_their_colours(tmp_path: Path, mode: str) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(pixels).convert("P").save(tmp_path / "p.png", transparency=bytes([0, 128, *[255] * 254]))
    read = read_resized(tmp_path / "p.png", (8, 8), mode)
    assert torch.equal(read, torch.from_numpy(pixels).expand(len(read), 8, 8))
