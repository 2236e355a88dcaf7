"""One run, end to end: folder, states, reproducibility, evaluation from the folder alone."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from tests.conftest import Cli
from tests.processes import started, wait_for

from receptive.callbacks.records import EpochRecords
from receptive.runs import Run

SHORT = ("hydra.run.dir=run", "trainer.max_epochs=2", "trainer.limit_train_batches=6")


def result(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text()))


def test_a_run_writes_its_folder(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("train", *SHORT)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) <= 25
    assert out.splitlines()[-1].endswith("run")
    assert "3 epochs" not in out
    run = Run(tmp_path / "run")
    names = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml", "status.json", "lock", "result.json", "metrics.csv", "log.txt", "checkpoints/last.ckpt",
        "checkpoints/last.previous.ckpt", "checkpoints/best.ckpt", "figures/confusion_matrix.png",
    }  # fmt: skip
    assert run.state() == "done"
    assert run.status().attempts == 1
    found = run.result()
    rows = pd.read_csv(run.metrics_path)
    assert list(rows["epoch"]) == [1, 2]
    assert found["metrics"]["val/accuracy"] == rows["val/accuracy"].max()
    assert found["parameters"] == 23_946
    assert found["data"]["images"] == {"train": 1200, "val": 237, "test": 360}
    assert found["steps"] == 12
    assert sum(map(sum, found["details"]["confusion_matrix"])) == 360
    state = torch.load(run.checkpoints / "best.ckpt", weights_only=True)
    assert all(name.startswith("model.") for name in state["state_dict"])


def test_the_same_command_stops_at_a_done_run_and_refuses_another_config(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", *SHORT)[0] == 0
    before = (tmp_path / "run" / "result.json").read_text()
    code, out, _ = cli("train", *SHORT)
    assert code == 0
    assert "is done already" in out
    code, _, err = cli("train", *SHORT, "optimizer.lr=0.5")
    assert code == 1
    assert "optimizer.lr: 0.001 -> 0.5" in err
    assert (tmp_path / "run" / "result.json").read_text() == before


def test_the_same_seed_gives_the_same_weights_to_the_bit(cli: Cli, tmp_path: Path) -> None:
    options = (
        "trainer.max_epochs=2",
        "trainer.limit_train_batches=6",
        "augment=[rotation,cutout]",
        "model.norm=batch",
    )
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert cli("train", *options, f"hydra.run.dir={name}", f"seed={seed}")[0] == 0
        weights.append(torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


# oneDNN's bf16 gradient of resnet18's strided convolutions is garbage on maps of one pixel (docs/log.md)
@pytest.mark.parametrize("model", [("model=mnist_net",), ("model=resnet18", "trainer.precision=32-true")], ids=str)
def test_evaluate_repeats_the_figures_from_the_folder_alone(cli: Cli, tmp_path: Path, model: tuple[str, ...]) -> None:
    assert cli("train", "hydra.run.dir=a b,ü", *model, "trainer=debug", "trainer.ema_decay=0.5")[0] == 0
    (tmp_path / "a b,ü").rename(tmp_path / "moved")
    metrics = result(tmp_path / "moved")["metrics"]
    assert isinstance(metrics, dict)
    code, out, _ = cli("evaluate", "run=moved")
    assert code == 0
    for name in ("test/loss", "test/accuracy"):
        assert f"{metrics[name]:.6f}   result.json: {metrics[name]:.6f}" in out
    code, out, _ = cli("evaluate", "run=moved", "split=val")
    assert f"{metrics['val/accuracy']:.6f}   result.json: {metrics['val/accuracy']:.6f}" in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("data.drop_last=true", "data.batch_size=2000"), "data.batch_size=2000: 1200 images fill no batch"),
        (("data.validation=0.0001",), "data.validation=0.0001 of 1437 images holds none out: val/accuracy does not"),
    ],
)
def test_a_run_without_a_batch_is_refused_before_it_trains(
    cli: Cli, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    code, out, err = cli("train", *SHORT, *options)
    assert code == 1
    assert told in err
    assert "epoch 1" not in out
    assert not (tmp_path / "run" / "checkpoints").exists()


# Lightning's word on a run without validation, which its log keeps
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero:UserWarning")
def test_figures_of_images_that_no_run_held_out_are_refused(cli: Cli) -> None:
    code, _, err = cli("train", *SHORT, "data.validation=0", "trainer.monitor=train/loss")
    assert (code, err) == (0, "")
    code, _, err = cli("evaluate", "run=run", "split=val")
    assert (code, err) == (1, "receptive: split=val: the run held no images out (data.validation); choose split=test\n")


def test_test_false_leaves_the_test_set_alone(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", *SHORT, "test=false")[0] == 0
    found = result(tmp_path / "run")
    assert not [name for name in found["metrics"] if name.startswith("test/")]  # type: ignore[attr-defined]
    assert set(found["data"]["checksums"]) == {"train"}  # type: ignore[index]


def test_init_starts_from_another_runs_weights(cli: Cli, tmp_path: Path, cifar10_root: Path) -> None:
    assert cli("train", *SHORT)[0] == 0
    code, _out, _ = cli("train", "trainer=debug", "init=run", "hydra.run.dir=tuned", "optimizer=sgd", "optimizer.lr=0")
    assert code == 0
    trained = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    tuned = torch.load(tmp_path / "tuned" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(trained[name], tuned[name]) for name in trained)
    code, _, err = cli("train", "trainer=debug", "init=run", "model=resnet18", "hydra.run.dir=other")
    assert code == 1
    assert "no weight of that run fits this model" in err


def test_overfit_learns_a_few_batches_by_heart(cli: Cli, tmp_path: Path) -> None:
    options = ("trainer=overfit", "trainer.max_epochs=25", "optimizer.lr=0.005", "augment=[rotation]")
    assert cli("train", *options, "hydra.run.dir=run")[0] == 0
    metrics = result(tmp_path / "run")["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["val/accuracy"] == 1.0


@pytest.mark.parametrize("data", ["mnist", "cifar10", "gtsrb", "image_folder"])
def test_every_data_set_trains(
    cli: Cli, data: str, mnist_root: Path, cifar10_root: Path, gtsrb_root: Path, image_folder_root: Path
) -> None:
    options = {
        "mnist": ["data.validation=10"],
        "cifar10": ["data.validation=10"],
        "gtsrb": ["data.validation=0.5"],
        "image_folder": ["data.source.image_size=16", "data.validation=6", "data.num_workers=1"],
    }[data]
    code, _out, err = cli(
        "train", f"data={data}", "model=net_b", "trainer=debug", f"paths.data_dir={mnist_root}", "hydra.run.dir=run",
        "augment=[horizontal_flip,rotation,brightness_contrast]", *options,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert cli("evaluate", "run=run")[0] == 0


@pytest.mark.slow
def test_a_killed_run_counts_as_interrupted_and_with_a_changed_config_starts_anew(cli: Cli, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    command = (sys.executable, "-m", "receptive", "train", *SHORT[:1], "trainer.max_epochs=100000")
    with started(*command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        wait_for(run.metrics, process)
        assert run.state() == "running"
        code, _, err = cli("train", "hydra.run.dir=run", "trainer.max_epochs=100000")
        assert code == 1
        assert "being run by another process" in err
    assert run.state() == "interrupted"
    config = OmegaConf.load(run.config_path)
    config.trainer.max_epochs = 1  # by hand: the command refuses another config
    OmegaConf.save(config, run.config_path)
    code, out, err = cli("train", "hydra.run.dir=run", "trainer.max_epochs=1")
    assert (code, err) == (0, "")
    assert f"{run.checkpoints / 'last.ckpt'} is of another run" in out
    assert "the run starts anew" in out
    assert run.state() == "done"
    assert run.status().attempts == 2
    assert len(run.metrics()) == 1


def test_with_rerun_none_nothing_starts(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dry in ((), ("dry_run=true",)):
        code, out, err = cli("train", *SHORT, "rerun=none", *dry)
        assert (code, out, err) == (0, "run is waiting, and rerun=none starts nothing\n", "")
        assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patched:
        patched.setattr(EpochRecords, "on_train_epoch_end", lambda *_: 1 / 0)
        assert cli("train", *SHORT)[0] == 1
    code, out, _ = cli("train", *SHORT, "rerun=none")
    assert (code, out) == (0, "run is failed, and rerun=none starts nothing\n")
    assert Run(tmp_path / "run").status().attempts == 1
    assert cli("train", *SHORT)[0] == 0
    code, out, _ = cli("train", *SHORT, "rerun=none")
    assert (code, out.splitlines()[0], "validation, epoch" in out) == (0, "run is done already", True)


@pytest.mark.parametrize(("options", "first"), [((), 2), (("rerun=all",), 1)])
def test_a_failed_run_goes_on_where_it_was_unless_all_is_to_be_run_again(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], first: int
) -> None:
    trained: list[int] = []
    kept = EpochRecords.on_train_epoch_start

    def fail(self: EpochRecords, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trained.append(trainer.current_epoch + 1)
        if trained == [1, 2]:
            raise OSError("the network is down")
        kept(self, trainer, module)

    monkeypatch.setattr(EpochRecords, "on_train_epoch_start", fail)
    assert cli("train", *SHORT)[0] == 1
    run = Run(tmp_path / "run")
    assert run.state() == "failed"
    assert cli("train", *SHORT, *options)[0] == 0
    assert trained[2:] == list(range(first, 3))
    assert run.status().attempts == 2
    assert [row["epoch"] for row in run.metrics()] == [1, 2]
