"""Single images of a finished run; that its figures are repeated stands beside the trainings (test_train*.py)."""

import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from tests.conftest import DIGITS, Cli

from receptive.data import module
from receptive.data.digits import Digits
from receptive.runs import Run


def test_it_looks_at_single_images(cli: Cli, tmp_path: Path, phantom_run: Run) -> None:
    code, out, _ = cli("evaluate", "run=run", "images=[4,1]")
    assert code == 0
    scores = pd.read_csv(tmp_path / "run" / "test_images.csv")
    *rows, last = [line.split() for line in out.splitlines()[1:]]
    assert last == ["figures:", "run/figures/test_image_*.png"]
    assert [row[0] for row in rows] == ["4", "1"]
    for row in rows:
        assert float(row[-4]) == pytest.approx(scores["f1"][int(row[0])], abs=2e-3)
        assert (tmp_path / "run" / "figures" / f"test_image_{row[0]}.png").is_file()
    code, _, err = cli("evaluate", "run=run", "images=6")
    assert code == 1
    assert "images=6: the test set has 6 images, counted from 0" in err


def test_it_tells_the_class_of_single_images(cli: Cli, digit_run: Run) -> None:
    code, out, _ = cli("evaluate", "run=run", "images=[0,359]", "split=test")
    assert code == 0
    truth = Digits().load("test").targets
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["0", str(int(truth[0]))],
        ["359", str(int(truth[359]))],
    ]
    code, _, err = cli("evaluate", "run=run", "images=first")
    assert code == 1
    assert "images=first: must be a valid list" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["split=train"], "split=train: must be 'val' or 'test'"),
        (["split=train", "images=0"], "split=train: must be 'val' or 'test'"),
        (["images=true"], "images=true: must be a valid list"),
        (["images=[true]"], "images=[true]: must be a valid integer"),
        (["images=[]"], "images=[]: holds no image"),
        (["images=-1"], "images=-1: must be a valid list or greater than or equal to 0"),
        (["images=360"], "images=360: the test set has 360 images, counted from 0"),
        (["checkpoint=first"], "checkpoint=first: must be 'best' or 'last'"),
        (["device=cuda"], "device=cuda: this machine has no CUDA device"),
    ],
)
def test_what_would_be_misread_is_refused(
    cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = cli("evaluate", "run=run", *arguments)
    assert code == 1
    assert told in err


@pytest.mark.parametrize(("checkpoint", "place"), [("best", 0), ("last", -1)])
def test_the_checkpoint_that_is_asked_for_is_judged(cli: Cli, tmp_path: Path, checkpoint: str, place: int) -> None:
    """The best is that of the first epoch here, which has the largest loss."""
    worst = ("trainer.monitor=val/loss", "trainer.monitor_mode=max", "trainer.max_epochs=3", "test=false")
    assert cli("train", *DIGITS, *worst)[0] == 0
    run = Run(tmp_path / "run")
    assert run.result()["best_epoch"] == 1
    code, out, _ = cli("evaluate", "run=run", "split=val", f"checkpoint={checkpoint}")
    assert code == 0
    [loss] = [float(line.split()[1]) for line in out.splitlines() if line.split()[:1] == ["val/loss"]]
    losses = [row["val/loss"] for row in run.metrics()]
    assert loss == pytest.approx(losses[place], abs=1e-4)
    assert abs(losses[0] - losses[-1]) > 1e-3


def test_no_more_is_read_than_the_question_needs(cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = module.load_cached
    monkeypatch.setattr(module, "load_cached", lambda source, split: read.append(split) or load(source, split))
    cases = (
        ([], ["test"]),
        (["split=val"], ["train"]),
        (["images=3"], ["test"]),
        (["split=val", "images=3"], ["train"]),
        (["checkpoint=first"], []),
    )
    for arguments, splits in cases:
        cli("evaluate", "run=run", *arguments)
        assert (read, arguments) == (splits, arguments)
        read.clear()
    (digit_run.checkpoints / "best.ckpt").unlink()
    assert cli("evaluate", "run=run")[0] == 1
    assert read == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("arguments", [(), ("images=0",)])
def test_a_signal_stops_it_with_a_word(
    cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], number: int, code: int
) -> None:
    before = signal.signal(number, lambda *_: None)
    monkeypatch.setattr(module, "load_cached", lambda *_: signal.raise_signal(number))
    try:
        found, _, err = cli("evaluate", "run=run", *arguments)
    finally:
        signal.signal(number, before)
    said = f"stopped by {signal.Signals(number).name}; the same command begins again"
    assert (found, err) == (code, f"receptive: {said}\n")


def test_data_that_were_moved_are_found(cli: Cli, tmp_path: Path, image_folder_root: Path) -> None:
    options = ("data=image_folder", "data.source.image_size=8", "data.batch_size=4", "data.validation=3")
    there = shutil.copytree(image_folder_root.parent, tmp_path / "there")
    assert cli("train", *DIGITS, "trainer.limit_train_batches=1", *options, f"paths.data_dir={there}")[0] == 0
    there.rename(tmp_path / "elsewhere")
    code, _, err = cli("evaluate", "run=run")
    assert code == 1 and str(there) in err
    assert cli("evaluate", "run=run", f"paths.data_dir={tmp_path / 'elsewhere'}")[0] == 0
