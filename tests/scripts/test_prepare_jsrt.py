"""scripts/prepare_jsrt.py on small files in JSRT's and SCR's own formats."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

IMAGE, MASK, SIZE = 128, 64, 16
NAMES = ("JPCLN001", "JPCLN002", "JPCNN001", "JPCNN002")
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "prepare_jsrt.py"
    spec = importlib.util.spec_from_file_location("prepare_jsrt", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "IMAGE_SIDE", IMAGE)
    monkeypatch.setattr(module, "MASK_SIDE", MASK)
    monkeypatch.setattr(module, "IMAGES", len(NAMES))
    return module


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    """A folder with a space in its name: All247images/*.IMG, scratch/fold{1,2}/masks/STRUCTURE/*.gif."""
    folder = tmp_path / "my downloads"
    (folder / "All247images").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        _gradient(number).astype(">u2").tofile(folder / "All247images" / f"{name}.IMG")
        for structure, (rows, columns) in _boxes().items():
            mask = np.zeros((MASK, MASK), np.uint8)
            mask[rows, columns] = 255
            path = folder / "scratch" / f"fold{number % 2 + 1}" / "masks" / structure / f"{name}.gif"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    return folder


@pytest.fixture
def run(script: ModuleType, originals: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The script's main: further arguments -> exit code and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        folders = {"images": originals / "All247images", "masks": originals / "scratch", "output": _output(originals)}
        given = [f"--{key}={path}" for key, path in folders.items()]
        code = script.main([*given, f"--size={SIZE}", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def _gradient(number: int) -> np.ndarray:
    """12 bits, different in every row, column and image."""
    rows, columns = np.mgrid[:IMAGE, :IMAGE]
    return (rows * 20 + columns * 11 + number * 30).astype(np.uint16)


def _boxes() -> dict[str, tuple[slice, slice]]:
    """Where the structures are; heart and left lung overlap by 4 columns; edges on multiples of 4 but one."""
    return {
        "right lung": (slice(8, 48), slice(8, 24)),
        "left lung": (slice(8, 50), slice(40, 56)),
        "heart": (slice(24, 48), slice(28, 44)),
        "left clavicle": (slice(0, 4), slice(40, 56)),
    }


def _output(originals: Path) -> Path:
    return originals.parent / "data" / "jsrt"


def _read(originals: Path, folder: str, name: str) -> np.ndarray:
    with Image.open(_output(originals) / folder / f"{name}.png") as image:
        assert image.mode == "L"
        return np.array(image)


def test_images_are_turned_over_and_averaged(run: Run, originals: Path) -> None:
    code, told = run()
    assert code == 0 and "4 images of 16x16 pixels" in told
    for number, name in enumerate(NAMES):
        means = (4095 - _gradient(number).astype(float)).reshape(SIZE, 8, SIZE, 8).mean((1, 3))
        np.testing.assert_array_equal(_read(originals, "images", name), np.rint(means * 255 / 4095).astype(np.uint8))
    image = _read(originals, "images", NAMES[0])
    assert image[0, 0] > image[0, -1] > image[-1, -1]  # the raw values grow to the right and downwards


def test_labels_are_right_left_and_heart(run: Run, originals: Path) -> None:
    assert run()[0] == 0
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[6:12, 7:10] = 250
    expected[2:12, 2:6] = 150  # the patient's right: left in the image
    expected[2:12, 10:14] = 200  # over the heart; the row that it fills by half stays background
    for name in NAMES:
        np.testing.assert_array_equal(_read(originals, "masks", name), expected)
    assert sorted(path.name for path in (_output(originals) / "masks").iterdir()) == [f"{n}.png" for n in NAMES]
    assert sorted(path.name for path in _output(originals).parent.iterdir()) == ["jsrt"]  # nothing left over


def test_the_larger_part_of_a_pixel_decides(script: ModuleType, originals: Path) -> None:
    folder = originals / "scratch" / "fold1" / "masks"
    paths = {part: folder / part / "JPCLN001.gif" for part in script.LABELS}
    odd = script.read_masks(paths, 15)
    whole = script.read_masks(paths, MASK)
    assert set(np.unique(odd)) == set(np.unique(whole)) == {0, 150, 200, 250}  # no values between
    for label in (150, 200, 250):
        assert abs((odd == label).mean() - (whole == label).mean()) < 0.03
    np.testing.assert_array_equal(whole[8:50, 40:56], 200)


def test_without_hearts_and_without_the_level_of_the_masks(run: Run, originals: Path) -> None:
    for fold in ("fold1", "fold2"):
        base = originals / "scratch" / fold
        for part in ("right lung", "left lung"):
            os.rename(base / "masks" / part, base / part)
        for path in sorted((base / "masks").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert run()[0] == 0
    assert set(np.unique(_read(originals, "masks", NAMES[0]))) == {0, 150, 200}


def test_every_fault_is_told_and_nothing_is_written(run: Run, originals: Path) -> None:
    images, folds = originals / "All247images", originals / "scratch"
    truncated = images / "JPCLN001.IMG"
    truncated.write_bytes(truncated.read_bytes()[:-2])
    (_gradient(1) | 1).astype("<u2").tofile(images / "JPCLN002.IMG")
    np.full((IMAGE, IMAGE), 0x2020, ">u2").tofile(images / "JPCNN001.IMG")
    (folds / "fold1" / "masks" / "left lung" / "JPCLN001.gif").unlink()
    Image.new("L", (MASK, MASK // 2), 255).save(folds / "fold2" / "masks" / "left lung" / "JPCLN002.gif")
    Image.fromarray(np.tile(np.uint8([0, 128, 255, 255]), (MASK, MASK // 4))).save(
        folds / "fold1" / "masks" / "right lung" / "JPCNN001.gif"
    )
    (folds / "fold2" / "masks" / "heart" / "JPCNN002.gif").write_bytes(b"GIF89a")
    code, told = run()
    assert code == 1 and told.endswith("Nothing was written.\n")
    lines = told.splitlines()[:-1]
    for file, reason in (
        ("JPCLN001.IMG", "has 32766 bytes, not 32768: download it again"),
        ("JPCLN002.IMG", "not 4095: its bytes were swapped to little endian"),
        ("JPCNN001.IMG", "values up to 8224, not 4095: it is no JSRT image"),
        ("left lung/JPCLN001.gif", "unpack both folds"),
        ("left lung/JPCLN002.gif", "(32, 64) pixels, not (64, 64)"),
        ("right lung/JPCNN001.gif", "values [0, 128, 255], not 0 and 255"),
        ("heart/JPCNN002.gif", "not a readable image"),
    ):
        assert sum(file in line and reason in line for line in lines) == 1, (file, told)
    assert len(lines) == 7
    assert not _output(originals).parent.exists()


def test_exchanged_lungs(run: Run, originals: Path) -> None:
    base = originals / "scratch" / "fold1" / "masks"
    for before, after in (("left lung", "x"), ("right lung", "left lung"), ("x", "right lung")):
        os.rename(base / before, base / after)
    code, told = run()
    assert code == 1 and told.count("lies to the right of") == 2


def test_fewer_images(run: Run, originals: Path) -> None:
    (originals / "All247images" / "JPCNN002.IMG").unlink()
    code, told = run()
    assert code == 1 and "holds 3 of the 4" in told and "--partial" in told
    assert run("--partial")[0] == 0
    assert len(list((_output(originals) / "images").iterdir())) == 3


def test_no_images_at_all(run: Run, originals: Path) -> None:
    code, told = run("--partial", f"--images={originals / 'nowhere'}")
    assert code == 1 and "nowhere is not a folder" in told and "holds 0 of the 4" in told


def test_two_files_of_one_image(run: Run, originals: Path) -> None:
    (originals / "All247images" / "again").mkdir()
    (originals / "All247images" / "again" / "JPCLN001.img").write_bytes(b"")
    code, told = run()
    assert code == 1 and "are one image: remove one of them" in told


def test_an_existing_folder_is_replaced_only_when_told_to(run: Run, originals: Path) -> None:
    assert run()[0] == 0
    before = _read(originals, "images", NAMES[0])
    _gradient(3).astype(">u2").tofile(originals / "All247images" / "JPCLN001.IMG")
    code, told = run()
    assert code == 1 and f"{_output(originals)} exists: add --overwrite" in told
    np.testing.assert_array_equal(_read(originals, "images", NAMES[0]), before)
    assert run("--overwrite")[0] == 0
    assert (_read(originals, "images", NAMES[0]) != before).any()
    (_output(originals) / "thesis.txt").write_text("mine")
    code, told = run("--overwrite")
    assert code == 1 and "thesis.txt" in told and (_output(originals) / "thesis.txt").exists()


def test_the_originals_are_not_replaced(run: Run, originals: Path) -> None:
    (originals / "All247images").rename(originals / "images")
    (originals / "scratch").rename(originals / "masks")
    code, told = run(
        "--overwrite", f"--images={originals / 'images'}", f"--masks={originals / 'masks'}", f"--output={originals}"
    )
    assert code == 1 and "holds the originals" in told
    assert len(list((originals / "images").iterdir())) == 4


def test_a_folder_that_cannot_be_made(run: Run, originals: Path) -> None:
    (originals.parent / "data").write_text("a file")
    code, told = run()
    assert code == 1 and str(originals.parent / "data") in told


def test_size_out_of_range(run: Run) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--size=2048")
    assert stop.value.code == 2
