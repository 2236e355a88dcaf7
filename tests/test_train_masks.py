"""Runs and sweeps over images with masks, end to end."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.conftest import Cli

from receptive.runs import Run

SMALL = ("data.source.image_size=32", "data.validation=2", "model.base_channels=4", "model.depth=2")
ALL_EMPTY = "data.source.label_values=[[0,150,200,250],[1]]"
SCORES = ("f1", "iou", "precision", "recall")


@pytest.fixture
def on_jsrt(jsrt_root: Path) -> tuple[str, ...]:
    return ("data=jsrt", f"paths.data_dir={jsrt_root}", "model=unet", *SMALL)


def strict_result(folder: Path) -> dict[str, Any]:
    """result.json as any JSON reader takes it: NaN is no JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in result.json")

    return dict(json.loads((folder / "result.json").read_text(), parse_constant=refuse))


def test_a_run_writes_its_folder_and_evaluate_repeats_its_figures(
    cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]
) -> None:
    code, out, err = cli(
        "train", *on_jsrt, "hydra.run.dir=run", "trainer.max_epochs=2", "optimizer.lr=0.02",
        "augment=[affine,horizontal_flip,brightness_contrast]",
    )  # fmt: skip
    assert (code, err) == (0, "")
    run = Run(tmp_path / "run")
    names = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml", "status.json", "lock", "result.json", "metrics.csv", "log.txt",
        "test_images.csv", "test_masks.npz",
        "checkpoints/last.ckpt", "checkpoints/last.previous.ckpt",
        "checkpoints/best.ckpt", "figures/history.png", "figures/examples.png",
        "figures/worst.png", "figures/best.png",
    }  # fmt: skip
    for path in run.figures.iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG" and np.asarray(picture).std() > 0

    found, rows = strict_result(run.folder), pd.read_csv(run.metrics_path)
    assert list(rows["epoch"]) == [1, 2]
    metrics = found["metrics"]
    assert found["monitor"] == "val/f1_mean"
    assert metrics["val/f1_mean"] == rows["val/f1_mean"].max()
    assert found["data"]["images"] == {"train": 4, "val": 2, "test": 6}
    assert all(0 <= metrics[f"test/{name}_mean"] <= 1 for name in SCORES)
    assert re.search(r"f1_mean +f1_std +f1_min +iou_mean", out)
    assert f"{metrics['test/f1_mean']:.4f}" in out

    images = pd.read_csv(run.test_images_path)
    assert list(images) == ["index", "name", *SCORES]
    assert list(images["index"]) == list(range(6))
    assert list(images["name"]) == ["JPCLN002", "JPCLN004", "JPCLN006", "JPCLN008", "JPCNN010", "JPCNN012"]
    for name in SCORES:
        assert images[name].mean() == pytest.approx(metrics[f"test/{name}_mean"], rel=1e-5)
    assert images["f1"].std(ddof=1) == pytest.approx(metrics["test/f1_std"], rel=1e-4, abs=1e-7)
    assert images["f1"].min() == pytest.approx(metrics["test/f1_min"], rel=1e-5)
    with np.load(run.test_masks_path) as kept:
        assert (kept["masks"].shape, kept["masks"].dtype) == ((6, 32, 32), np.uint8)
        assert set(np.unique(kept["masks"])) <= {0, 1}
    worst = found["details"]["worst"][0]
    assert worst["name"] == pd.read_csv(run.test_images_path)["name"][worst["index"]]
    assert images["f1"][worst["index"]] == pytest.approx(images["f1"].min())

    run.folder.rename(tmp_path / "moved")
    code, out, _ = cli("evaluate", "run=moved")
    assert code == 0
    for name in ("test/loss", "test/f1_mean", "test/f1_std", "test/iou_mean"):
        assert f"{metrics[name]:.6f}   result.json: {metrics[name]:.6f}" in out
    code, out, _ = cli("evaluate", "run=moved", "split=val")
    assert f"{metrics['val/f1_mean']:.6f}   result.json: {metrics['val/f1_mean']:.6f}" in out


def test_test_false_leaves_the_test_set_alone(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    assert cli("train", *on_jsrt, "trainer=debug", "test=false", "hydra.run.dir=run")[0] == 0
    found = strict_result(tmp_path / "run")
    assert not [name for name in found["metrics"] if name.startswith("test/")]
    assert set(found["data"]["checksums"]) == {"train"}
    assert not Run(tmp_path / "run").test_images_path.exists()
    assert [path.name for path in (tmp_path / "run" / "figures").iterdir()] == ["history.png"]


def test_the_same_seed_gives_the_same_weights_to_the_bit(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    weights = []
    for name, seed in (("a", 3), ("b", 3)):
        options = ("trainer.max_epochs=1", "augment=[affine]", f"seed={seed}", "test=false", f"hydra.run.dir={name}")
        assert cli("train", *on_jsrt, *options)[0] == 0
        weights.append(torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_own_folders_of_files_train_like_those_in_memory(cli: Cli, tmp_path: Path, image_mask_root: Path) -> None:
    metrics = []
    for in_memory in ("true", "false"):
        code, _, err = cli(
            "train", "data=image_mask_folder", f"data.source.root={image_mask_root}", "data.source.image_size=[24,32]",
            f"data.source.in_memory={in_memory}", "data.num_workers=1", "data.validation=2", "model=unet",
            "model.base_channels=2", "model.depth=1", "trainer.max_epochs=1", "task.class_weights=balanced",
            "augment=[rotation]", f"hydra.run.dir={in_memory}",
        )  # fmt: skip
        assert (code, err) == (0, "")
        metrics.append(strict_result(tmp_path / in_memory)["metrics"])
        names = pd.read_csv(tmp_path / in_memory / "test_images.csv")["name"]
        assert list(names) == [f"case {number}" for number in range(4)]
    assert metrics[0] == metrics[1]


def test_a_net_of_the_library_trains_on_three_classes(cli: Cli, tmp_path: Path, jsrt_root: Path) -> None:
    code, _, err = cli(
        "train", "data=jsrt", f"paths.data_dir={jsrt_root}", "data.source.image_size=40", "data.validation=2",
        "model=smp_unet", "model.encoder_name=mobilenet_v2", "model.activation=silu", "trainer=debug",
        "data.source.class_names=[background,lungs,heart]", "data.source.label_values=[[0],[150,200],[250]]",
        "hydra.run.dir=run",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert set(strict_result(tmp_path / "run")["details"]["by_class"]) == {"lungs", "heart"}


@pytest.mark.parametrize("empty_mask", ["one", "ignore"])
def test_empty_masks_everywhere(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...], empty_mask: str) -> None:
    options = (ALL_EMPTY, f"task.empty_mask={empty_mask}", "trainer=debug", "trainer.monitor=val/loss")
    code, _, err = cli("train", *on_jsrt, *options, "optimizer.lr=0.05", "hydra.run.dir=run")
    assert (code, err) == (0, "")
    found = strict_result(tmp_path / "run")
    assert found["details"]["by_class"]["lungs"]["empty"] == 6
    assert ("test/f1_mean" in found["metrics"]) == (empty_mask != "ignore")
    images = pd.read_csv(tmp_path / "run" / "test_images.csv")
    expected = {"one": 1.0, "ignore": np.nan}[empty_mask]
    assert images["f1"].tolist() == pytest.approx([expected] * 6, nan_ok=True)


def test_a_monitored_metric_without_a_value_is_one_message(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    code, _, err = cli("train", *on_jsrt, ALL_EMPTY, "task.empty_mask=ignore", "trainer=debug", "hydra.run.dir=run")
    assert code == 1
    assert "trainer.monitor=val/f1_mean: these images give no such value" in err
    assert "val/loss" in err and "Traceback" not in err and "Misconfiguration" not in err


def test_a_single_image_for_validation_has_no_deviation(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    code, out, _ = cli("train", *on_jsrt, "data.validation=1", "trainer=debug", "hydra.run.dir=run")
    assert code == 0
    metrics = strict_result(tmp_path / "run")["metrics"]
    assert "val/f1_std" not in metrics and "test/f1_std" in metrics
    assert "nan" not in out


# Lightning asks whether an empty list of validation loaders is meant: it is
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_without_validation_the_training_loss_chooses(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    options = ("data.validation=0", "trainer.monitor=train/loss", "trainer.max_epochs=1")
    code, _, err = cli("train", *on_jsrt, *options, "hydra.run.dir=run")
    assert (code, err) == (0, "")
    assert strict_result(tmp_path / "run")["data"]["images"] == {"train": 6, "val": 0, "test": 6}


def test_fewer_images_tested_than_there_are(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    options = ("data.eval_batch_size=2", "trainer.limit_eval_batches=2", "trainer.max_epochs=1")
    assert cli("train", *on_jsrt, *options, "hydra.run.dir=run")[0] == 0
    assert len(pd.read_csv(tmp_path / "run" / "test_images.csv")) == 4


def test_a_value_of_no_class_names_the_file(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    code, _, err = cli("train", *on_jsrt, "data.source.label_values=[[0],[150,200]]", "hydra.run.dir=run")
    assert code == 1
    assert "JPCLN001.png has the value(s) 250, which stand for no class" in err
    assert "Traceback" not in err


def test_a_bad_test_image_is_told_before_the_training(cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]) -> None:
    torn = tmp_path / "data" / "jsrt" / "images" / "JPCLN002.png"
    assert torn.is_file()
    torn.write_bytes(torn.read_bytes()[:-200])
    code, _, err = cli("train", *on_jsrt, "hydra.run.dir=run")
    assert code == 1
    assert "JPCLN002.png is not a readable image" in err
    assert Run(tmp_path / "run").metrics() == []
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_a_sweep_over_upsampling_and_activation_ends_in_a_table(
    cli: Cli, tmp_path: Path, on_jsrt: tuple[str, ...]
) -> None:
    """The line of the brief, small."""
    code, out, err = cli(
        "train", "-m", *on_jsrt, "model.upsampling=nearest,bilinear,transposed", "model.activation=relu,elu",
        "model.base_channels=2", "model.depth=1", "data.source.image_size=16", "trainer=debug", "test=false",
        "hydra.sweep.dir=sweep",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert re.search(r"^upsampling +activation +val/f1_mean +seconds +state", out, re.MULTILINE)
    summary = pd.read_csv(tmp_path / "sweep" / "runs.csv")
    assert list(summary["state"]) == ["done"] * 6
    assert summary[["model.upsampling", "model.activation"]].drop_duplicates().shape[0] == 6
    assert summary["val/f1_mean"].between(0, 1).all()
    assert summary["val/loss"].nunique() == 6
