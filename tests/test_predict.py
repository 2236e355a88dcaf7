"""A finished run on images of one's own, against the figures that the run was tested with."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score
from tests.conftest import DIGITS, Cli

from receptive import predict
from receptive.data.digits import Digits
from receptive.data.phantoms import Phantoms
from receptive.runs import Run


def opened(path: Path) -> Image.Image:
    """An image file, decoded and closed."""
    with Image.open(path) as image:
        image.load()
        return image.copy()


def write_digits(folder: Path, count: int = 360) -> list[str]:
    """The first test images as PNG files; gives their classes."""
    folder.mkdir(parents=True)
    split = Digits().load("test")
    for place in range(count):
        Image.fromarray(split.images[place, 0].numpy()).save(folder / f"{place:03}.png")
    return [str(label) for label in split.targets[:count].tolist()]


def test_classes_of_the_test_images_give_the_accuracy_of_the_test(cli: Cli, tmp_path: Path, digit_run: Run) -> None:
    labels = write_digits(tmp_path / "some images")
    code, out, err = cli("predict", "run=run", "input=some images", "batch_size=50")
    assert (code, err) == (0, "")
    table = pd.read_csv(tmp_path / "run" / "predictions" / "predictions.csv", dtype={"image": str, "class": str})
    assert list(table["image"]) == [f"{place:03}" for place in range(360)]
    assert (table["class"] == labels).mean() == pytest.approx(digit_run.result()["metrics"]["test/accuracy"], abs=1e-6)
    shares = table[[str(label) for label in range(10)]]
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares.idxmax(axis=1) == table["class"]).all()
    assert "and 340 more" in out
    assert out.splitlines()[-1] == "predictions.csv: run/predictions"


def test_masks_of_the_test_images_give_the_scores_of_the_test(cli: Cli, tmp_path: Path, phantom_run: Run) -> None:
    split = Phantoms(image_size=48, train_images=10, test_images=6).load("test")
    (tmp_path / "xray").mkdir()
    for place, image in enumerate(split.images):
        Image.fromarray(image[0].numpy()).save(tmp_path / "xray" / f"{place}.png")
    code, _, err = cli("predict", "run=run", "input=xray", "output=out")
    assert (code, err) == (0, "")
    scores = pd.read_csv(tmp_path / "run" / "test_images.csv")
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    for place, mask in enumerate(split.targets.numpy()):
        predicted = np.array(opened(tmp_path / "out" / "masks" / f"{place}.png"))
        assert f1_score(mask.ravel(), predicted.ravel()) == pytest.approx(scores["f1"][place], abs=2e-3)
        assert (predicted == 1).mean() == pytest.approx(table["lungs"][place], abs=1e-6)


def test_masks_have_the_size_of_their_image(cli: Cli, tmp_path: Path, phantom_run: Run) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (70, 131), dtype=np.uint8)).save(tmp_path / "in" / "grey.png")
    Image.fromarray(rng.integers(0, 256, (33, 20, 3), dtype=np.uint8)).save(tmp_path / "in" / "deep" / "colour.jpg")
    assert cli("predict", "run=run", "input=in", "output=out")[0] == 0
    for name, size in (("grey", (131, 70)), ("deep/colour", (20, 33))):
        assert opened(tmp_path / "out" / "masks" / f"{name}.png").size == size
        picture = opened(tmp_path / "out" / "overlays" / f"{name}.png")
        assert (picture.size, picture.mode) == (size, "RGB")
    code, out, _ = cli("predict", "run=run", "input=in/grey.png", "output=one", "overlays=false")
    assert (code, out.splitlines()[-1]) == (0, "predictions.csv, masks: one")
    assert sorted(path.name for path in (tmp_path / "one").rglob("*.*")) == ["grey.png", "predictions.csv"]


def test_a_bad_file_is_told_and_left_out(cli: Cli, tmp_path: Path, digit_run: Run) -> None:
    write_digits(tmp_path / "in", 3)
    (tmp_path / "in" / "torn.png").write_bytes((tmp_path / "in" / "000.png").read_bytes()[:60])
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "in" / "deep.png")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    code, _, err = cli("predict", "run=run", "input=in", "output=out")
    assert code == 1
    assert "2 of 5 files were left out" in err
    assert "torn.png" in err
    assert "more than 8 bits" in err
    assert "notes" not in err
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run=run"], "input: give a value"),
        (["run=run", "input=nowhere"], "input=nowhere: does not exist"),
        (["run=run", "input=empty"], "there is no image in this folder"),
        (["run=nowhere", "input=in"], "run=nowhere: this folder does not exist"),
        (["run=run", "input=in", "checkpoint=first"], "checkpoint=first: must be 'best' or 'last'"),
        (["run=run", "input=in", "output=in/000.png/x"], "cannot be written"),
        (["run=run", "input=in", "batch_size=0"], "batch_size=0: must be greater than or equal to 1"),
        (["run=run", "input=in", "batch_size=-1"], "batch_size=-1: must be greater than or equal to 1"),
        (["run=run", "input=in", "batch_size=many"], "batch_size=many: must be a valid integer"),
        (["run=run", "input=in", "overlays=maybe"], "overlays=maybe: must be true or false"),
        (["run=run", "input=in", "overlays=no"], "overlays=no: must be true or false"),
    ],
)
def test_what_cannot_be_done_is_told(cli: Cli, tmp_path: Path, digit_run: Run, arguments: list[str], told: str) -> None:
    write_digits(tmp_path / "in", 2)
    (tmp_path / "empty").mkdir()
    code, _, err = cli("predict", *arguments)
    assert code == 1
    assert told in err
    assert len(err.splitlines()) == 1


def test_it_needs_none_of_the_runs_data(cli: Cli, tmp_path: Path, mnist_root: Path) -> None:
    options = ("data=mnist", f"paths.data_dir={mnist_root}", "data.validation=20", "model.channels=[4,4,4]")
    assert cli("train", *DIGITS, *options)[0] == 0
    mnist_root.rename(tmp_path / "elsewhere")
    write_digits(tmp_path / "in", 4)
    assert cli("predict", "run=run", "input=in")[0] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_predicted_before_a_signal_is_kept(
    cli: Cli, tmp_path: Path, digit_run: Run, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    write_digits(tmp_path / "in", 5)
    whole = predict._predict_batch

    def stopped(*arguments: Any) -> Any:
        if "004" in arguments[1]:
            signal.raise_signal(number)
        return whole(*arguments)

    monkeypatch.setattr(predict, "_predict_batch", stopped)
    assert cli("predict", "run=run", "input=in", "output=out", "batch_size=2")[0] == code
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 4


def test_an_interrupted_run_predicts_with_its_checkpoint_and_says_so(cli: Cli, tmp_path: Path, digit_run: Run) -> None:
    write_digits(tmp_path / "in", 2)
    assert cli("predict", "run=run", "input=in", "output=whole")[0] == 0
    digit_run.result_path.unlink()
    code, _, err = cli("predict", "run=run", "input=in", "output=out")
    assert code == 0
    assert err == "receptive: run is interrupted: these are not the predictions of a finished run\n"
    tables = [(tmp_path / name / "predictions.csv").read_text() for name in ("whole", "out")]
    assert tables[0] == tables[1]


def test_a_result_without_facts_is_told(cli: Cli, tmp_path: Path, digit_run: Run) -> None:
    write_digits(tmp_path / "in", 2)
    digit_run.write_result({"metrics": {}, "data": {}})
    code, _, err = cli("predict", "run=run", "input=in")
    assert code == 1
    assert "does not tell the facts of the data" in err
