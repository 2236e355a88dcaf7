"""Runs on images of several sizes, from training to what is asked of the finished run."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from tests.conftest import Cli

from receptive.build import trained
from receptive.data.digits import Digits
from receptive.data.sizes import SizedSplit
from receptive.data.split import validation_split
from receptive.data.variable import VariableResolution
from receptive.runs import Run

SIZED = (
    *("hydra.run.dir=run", "data=digits_varres", "model=mnist_global_max", "trainer.max_epochs=1"),
    *("trainer.precision=32-true", "optimizer.lr=0.01", "data.validation=100", "record=activations"),
)


def _counts(held_out: int) -> list[int]:
    """Training images of each size, of those that data=digits trains on."""
    split = VariableResolution(Digits(), [16, 24, 32]).load("train")
    assert isinstance(split, SizedSplit)
    rows, _ = validation_split(Digits().load("train").targets, None, held_out, 0)
    return torch.bincount(split.kinds[rows]).tolist()


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Run:
    code, out, err = cli("train", *SIZED)
    assert (code, err) == (0, "")
    assert "Digits at several resolutions: 1,337 training and 100 validation images of 1x16x16, 1x24x24, 1x32x32" in out
    return Run(tmp_path / "run")


@pytest.fixture
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("receptive.figures.style.DPI", 40)


@pytest.mark.usefixtures("_coarse")
def test_a_finished_run_answers_everything(cli: Cli, tmp_path: Path, run: Run) -> None:
    result = run.result()
    assert result["data"]["facts"]["image_sizes"] == [[16, 16], [24, 24], [32, 32]]
    assert result["steps"] == sum(math.ceil(count / 32) for count in _counts(100))
    code, out, _ = cli("evaluate", "run=run")
    assert code == 0
    for key in ("test/loss", "test/accuracy"):
        assert f"{result['metrics'][key]:.6f}   result.json: {result['metrics'][key]:.6f}" in out

    split = VariableResolution(Digits(), [16, 24, 32]).load("test")
    assert isinstance(split, SizedSplit)
    (tmp_path / "images").mkdir()
    for row in range(60):
        pixels = split.stacks[split.kinds[row]][split.places[row], 0]
        Image.fromarray(pixels.numpy()).save(tmp_path / "images" / f"{row:03}.png")
    assert cli("predict", "run=run", "input=images", "batch_size=25")[0] == 0
    table = pd.read_csv(tmp_path / "run" / "predictions" / "predictions.csv", dtype={"class": str})
    places = str(list(range(60))).replace(" ", "")
    code, out, _ = cli("evaluate", "run=run", f"images={places}")
    rows = [line.split() for line in out.splitlines() if line[:1].isdigit()]
    assert code == 0 and [row[2] for row in rows] == list(table["class"])
    assert [row[1] for row in rows] == [str(label) for label in split.targets[:60].tolist()]

    experiment = trained(run)
    _, held_out = validation_split(Digits().load("train").targets, None, 100, 0)
    validation = experiment.data.val_dataloader()
    assert not isinstance(validation, list) and torch.equal(validation.indices, held_out)  # those of data=digits
    experiment.data.setup("test")
    for row in (0, 1, 2, 17):  # one image at a time, as the network itself judges it
        image = experiment.data.inputs([Image.open(tmp_path / "images" / f"{row:03}.png")])
        assert isinstance(image, torch.Tensor) and image.shape[2:] == split.stacks[split.kinds[row]].shape[2:]
        with torch.no_grad():
            shares = experiment.task.eval()(image).softmax(1)
        assert float(shares.max()) == pytest.approx(float(rows[row][3]), abs=1e-4)


@pytest.mark.usefixtures("_coarse")
def test_activations(cli: Cli, tmp_path: Path, run: Run) -> None:
    code, _, err = cli(
        "activations", "run=run", "split=val", "probe=true", "correlation=true", "maps=[0,1]", "layers=[Conv2d,Linear]"
    )
    assert (code, err) == (0, "")
    folder = tmp_path / "run" / "activations" / "val"
    layers = pd.read_csv(folder / "layers.csv")
    assert list(layers["shape"][:3]) == ["16x32x32", "32x16x16", "81x8x8"] and (layers["images"] == 100).all()
    probes = pd.read_csv(folder / "probe.csv")
    assert probes["class_accuracy"].between(0, 1).all() and len(list((folder / "maps").iterdir())) == 2
    recorded = pd.read_csv(run.activations_path)
    after = recorded[(recorded["epoch"] == 1) & (recorded["layer"] == "layers.0")]
    assert float(after["mean"].iloc[0]) == pytest.approx(float(layers["mean"][0]), rel=1e-4)

    (tmp_path / "images").mkdir()
    for number, size in enumerate([(8, 8), (20, 21), (300, 200), (15, 16)]):
        Image.effect_noise(size, 80).save(tmp_path / "images" / f"{number}.png")
    code, out, err = cli("activations", "run=run", "input=images", "layers=Linear", "maps=[2]")
    assert (code, err) == (0, "") and "4 images of images" in out


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        (("data.drop_last=true",), sum(count // 32 for count in _counts(237))),
        (("trainer.limit_train_batches=5", "trainer.limit_eval_batches=2"), 5),
        (("trainer=overfit", "trainer.max_epochs=2"), 4),
        (("data.source.resize=8", "model=mnist_net", "data.batch_size=100"), 1200 // 100),
    ],
)
def test_with_other_options(cli: Cli, tmp_path: Path, options: tuple[str, ...], steps: int) -> None:
    base = ("hydra.run.dir=run", "data=digits_varres", "model=mnist_global_avg", "trainer.max_epochs=1")
    code, _, err = cli("train", *base, *options)
    assert (code, err) == (0, "")
    assert Run(tmp_path / "run").result()["steps"] == steps
