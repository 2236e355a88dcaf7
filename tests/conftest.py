"""Tiny data sets in the real on-disk formats, all below one folder."""

import csv
import gc
import hashlib
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hypothesis import settings
from PIL import Image

import receptive
from receptive.cli import main
from receptive.runs import Run

ROOT = Path(__file__).resolve().parents[1]
Cli = Callable[..., tuple[int, str, str]]

GTSRB_CLASSES = 43

# options of the two small runs that several modules look at
DIGITS = ("hydra.run.dir=run", "trainer.max_epochs=1", "trainer.limit_train_batches=20")
PHANTOMS = (
    *("hydra.run.dir=run", "data=phantoms", "model=unet", "model.base_channels=4", "model.depth=2"),
    *("data.source.image_size=48", "data.source.train_images=10", "data.source.test_images=6", "data.validation=2"),
    *("trainer.max_epochs=2", "optimizer.lr=0.01", "data.batch_size=2"),
)

# What tests start is this checkout's, too, in an environment that several share; or the wheel's where that is tested.
if (ROOT / "src") in Path(receptive.__file__).parents:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
# What servers tests have are on this machine.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

# `--hypothesis-profile thorough` or HYPOTHESIS_PROFILE=thorough; tests/operators chooses between the two.
settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.register_profile("patient", deadline=None, derandomize=True)  # the machine may be busy
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background: processes of tests would never stop
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection of garbage looks at it again (each: a tenth of a second)."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """It goes in the end, or its libraries would tell of leaks."""
    gc.unfreeze()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`receptive` in this process, in an empty working directory: arguments -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECEPTIVE_DATA_DIR", raising=False)
    look = Hydra.get_mode

    def mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        """Hydra composes all of it once more to read hydra.mode, which studies alone set; a quarter of a small run."""
        told = any("study=" in text or "hydra.mode=" in text for text in overrides)
        return look(self, config_name, overrides) if told else None

    monkeypatch.setattr(Hydra, "get_mode", mode)

    def run(*arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The folder that the data sets of one test are written to (`paths.data_dir`)."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def mnist_root(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST with 60 + 20 images as four unpacked IDX files, whose MD5s stand in for the published ones."""
    rng = np.random.default_rng(0)
    folder = data_dir / "MNIST" / "raw"
    folder.mkdir(parents=True)
    md5 = {}
    for prefix, count in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        md5[f"{prefix}-images-idx3-ubyte"] = _write(folder / f"{prefix}-images-idx3-ubyte", _idx(images))
        md5[f"{prefix}-labels-idx1-ubyte"] = _write(folder / f"{prefix}-labels-idx1-ubyte", _idx(labels))
    monkeypatch.setattr("receptive.data.mnist.MD5", md5)
    return data_dir


@pytest.fixture
def cifar10_root(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 with 5 x 12 + 20 images as pickled batches, whose MD5s stand in for the published ones."""
    rng = np.random.default_rng(1)
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir()
    md5: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    batches = [("train", f"data_batch_{number}", 12) for number in range(1, 6)] + [("test", "test_batch", 20)]
    for split, name, count in batches:
        labels = (np.arange(count) % 10).tolist()
        batch = {"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8), "labels": labels}
        md5[split][name] = _write(folder / name, pickle.dumps(batch, protocol=2))
    meta = _write(folder / "batches.meta", pickle.dumps({"label_names": [str(label) for label in range(10)]}))
    monkeypatch.setattr("receptive.data.cifar10.MD5", md5)
    monkeypatch.setattr("torchvision.datasets.CIFAR10.train_list", [list(item) for item in md5["train"].items()])
    monkeypatch.setattr("torchvision.datasets.CIFAR10.test_list", [list(item) for item in md5["test"].items()])
    monkeypatch.setattr(
        "torchvision.datasets.CIFAR10.meta",
        {"filename": "batches.meta", "key": "label_names", "md5": meta},
    )
    return data_dir


@pytest.fixture
def gtsrb_root(data_dir: Path) -> Path:
    """GTSRB: two tracks of two frames in each of the 43 classes (class 0: one track), and 50 test images."""
    rng = np.random.default_rng(2)
    base = data_dir / "gtsrb"
    for label in range(GTSRB_CLASSES):
        folder = base / "GTSRB" / "Training" / f"{label:05d}"
        tracks = (0,) if label == 0 else (0, 1)
        names = [f"{track:05d}_{frame:05d}.ppm" for track in tracks for frame in range(2)]
        _write_signs(rng, folder, names, [label] * len(names), folder / f"GT-{label:05d}.csv")
    names = [f"{number:05d}.ppm" for number in range(50)]
    labels = [number % GTSRB_CLASSES for number in range(50)]
    _write_signs(rng, base / "GTSRB" / "Final_Test" / "Images", names, labels, base / "GT-final_test.csv")
    return data_dir


@pytest.fixture
def image_folder_root(data_dir: Path) -> Path:
    """Folders of images of several sizes, formats and modes: three classes, 7 + 3 images each."""
    rng = np.random.default_rng(3)
    for split, count in (("train", 7), ("test", 3)):
        for name in ("ant", "bee", "cicada"):
            folder = data_dir / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                size = (12 + number, 14)
                mode, channels = [("RGB", (3,)), ("L", ()), ("RGBA", (4,))][number % 3]
                pixels = rng.integers(0, 256, (*size, *channels), dtype=np.uint8)
                suffix = "jpg" if mode == "L" else "png"
                Image.fromarray(pixels, mode=None).save(folder / f"{number}.{suffix}")
    return data_dir / "images"


@pytest.fixture
def jsrt_root(data_dir: Path) -> Path:
    """JSRT as it is prepared: 12 grey images of 40x40 and masks of lungs (150, 200) and heart (250)."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:40, :40]
    for folder in ("images", "masks"):
        (data_dir / "jsrt" / folder).mkdir(parents=True)
    for number in range(1, 13):
        mask = np.zeros((40, 40), dtype=np.uint8)
        for value, across, radius in ((150, 11, 8), (200, 28, 8), (250, 21, 5)):
            down = 18 + rng.integers(-3, 4) + 6 * (value == 250)
            mask[(rows - down) ** 2 + (columns - across) ** 2 < (radius + rng.integers(-2, 2)) ** 2] = value
        image = np.where(np.isin(mask, (150, 200)), 60, 170) + rng.integers(-30, 31, mask.shape)
        name = f"JPCLN{number:03d}.png" if number <= 8 else f"JPCNN{number:03d}.png"
        Image.fromarray(image.astype(np.uint8)).save(data_dir / "jsrt" / "images" / name)
        Image.fromarray(mask).save(data_dir / "jsrt" / "masks" / name)
    return data_dir


@pytest.fixture
def image_mask_root(data_dir: Path) -> Path:
    """Images, RGB and grey, of several sizes, 9 + 4, with masks of 0 and 255: grey, of a palette, of one bit."""
    rng = np.random.default_rng(5)
    for split, count in (("train", 9), ("test", 4)):
        for folder in ("images", "masks"):
            (data_dir / "pairs" / split / folder).mkdir(parents=True)
        for number in range(count):
            height, width = 18 + 3 * number, 24 - number
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            picture = Image.fromarray(image if number % 2 else image[..., 0])
            picture.save(data_dir / "pairs" / split / "images" / f"case {number}.{'jpg' if number % 4 == 3 else 'png'}")
            values = np.zeros((height, width), dtype=np.uint8)
            values[number : number + 9, 3:12] = 255
            mask = Image.fromarray(values)
            if number % 3 == 1:
                mask = mask.convert("1")
            if number % 3 == 2:
                mask.putpalette([part for value in range(256) for part in (value, 255 - value, 7)])
            mask.save(data_dir / "pairs" / split / "masks" / f"case {number}.png")
    return data_dir / "pairs"


def train(folder: Path, *options: str) -> Path:
    """Train `run` below a folder, outside of any test's own."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("RECEPTIVE_DATA_DIR", raising=False)
        assert main(("train", *options)) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def trained_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("digits"), *DIGITS)


@pytest.fixture(scope="session")
def trained_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("phantoms"), *PHANTOMS)


@pytest.fixture
def digit_run(trained_digits: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(trained_digits, tmp_path / "run")))


@pytest.fixture
def phantom_run(trained_phantoms: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(trained_phantoms, tmp_path / "run")))


def _write(path: Path, content: bytes) -> str:
    """Write a file and return its MD5."""
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def _idx(values: np.ndarray) -> bytes:
    """Return an array of bytes in MNIST's format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


def _write_signs(rng: np.random.Generator, folder: Path, names: list[str], labels: list[int], table: Path) -> None:
    """Write random images of 14 to 19 pixels a side and their annotation file."""
    folder.mkdir(parents=True)
    with open(table, "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"])
        for name, label in zip(names, labels, strict=True):
            height, width = rng.integers(14, 20, 2).tolist()
            Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / name)
            writer.writerow([name, width, height, 2, 3, width - 2, height - 1, label])
