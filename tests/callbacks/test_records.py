"""metrics.csv as pandas reads it, while the fit goes on."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytorch_lightning as pl

from receptive.callbacks.records import EpochRecords


class Reader(pl.Callback):
    """Reads the file whenever an epoch begins, and when training ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables: list[pd.DataFrame] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch > 0:
            self.tables.append(pd.read_csv(self.path))

    def on_train_end(self, *_: Any) -> None:
        self.tables.append(pd.read_csv(self.path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def test_a_row_is_on_disk_at_the_end_of_every_epoch(fit: Any, path: Path) -> None:
    records, reader = EpochRecords(path), Reader(path)
    validation = [{"val/score": 0.25, "val/loss": 2.0}, {"val/score": 0.5, "val/loss": 1.0}]
    fit(records, reader, losses=[1, 2, 3, 4, 5, 9], validation=validation, epochs=2)
    assert [len(table) for table in reader.tables] == [1, 2]
    table = reader.tables[-1]
    assert list(table) == [
        "epoch",
        "step",
        "lr",
        "seconds",
        "memory_mb",
        "train/loss",
        "train/accuracy",
        "val/score",
        "val/loss",
    ]
    assert (table.pop("seconds") >= 0).all()
    memory = table.pop("memory_mb")
    assert memory.between(50, 2**20).all()
    assert table.to_dict("list") == {
        "epoch": [1, 2],
        "step": [3, 6],
        "lr": [1.0, 1.0],
        "train/loss": [2.0, 6.0],
        "train/accuracy": [0.5, 0.5],
        "val/score": [0.25, 0.5],
        "val/loss": [2.0, 1.0],
    }
    assert [row["val/loss"] for row in records.rows] == [2.0, 1.0]


def test_a_metric_that_comes_later_gets_its_column(fit: Any, path: Path) -> None:
    reader = Reader(path)
    validation = [
        {"val/score": 0.5},
        {"val/score": 0.5, "val/late": 3.0},
        {"val/score": 0.5, "val/late": 4.0},
    ]
    fit(EpochRecords(path), reader, validation=validation, epochs=3)
    assert [("val/late" in table, len(table)) for table in reader.tables] == [
        (False, 1),
        (True, 2),
        (True, 3),
    ]
    table = reader.tables[-1]
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["val/late"].isna().tolist() == [True, False, False]
    assert table["val/late"].tolist()[1:] == [3.0, 4.0]


def test_the_rows_stay_until_those_with_a_new_column_are_on_disk(
    fit: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    kept = os.replace

    def replace(source: Path, target: Path) -> None:
        if target == path:
            seen.append(path.read_text())
        kept(source, target)

    monkeypatch.setattr(os, "replace", replace)
    path.write_text("epoch\n1\n")
    fit(EpochRecords(path), validation=[{"val/score": 0.5}, {"val/score": 0.5, "val/late": 3.0}], epochs=2)
    beginning, first, second = seen
    assert (beginning, first) == ("epoch\n1\n", "")
    assert [line.split(",")[0] for line in second.splitlines()] == ["epoch", "1"]
    assert "val/late" not in second and "val/late" in path.read_text()


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_an_epoch_without_validation_leaves_its_cells_empty(fit: Any, path: Path) -> None:
    validation = [{"val/score": epoch / 10} for epoch in range(1, 6)]
    records = EpochRecords(path)
    fit(records, validation=validation, epochs=5, val_every_n_epochs=2)
    table = pd.read_csv(path)
    assert table["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert table["val/score"].isna().tolist() == [True, False, True, False, True]
    assert table["val/score"].dropna().tolist() == pytest.approx([0.2, 0.4])
    assert [("val/score" in row) for row in records.rows] == [False, True, False, True, False]


def test_training_metrics_reach_the_monitor(fit: Any, path: Path) -> None:
    trainer = fit(EpochRecords(path), losses=[4.0, 4.0, 4.0, 1.0], epochs=2, batches=3, monitor="train/loss")
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(2 / 3)


def test_the_rate_is_the_one_at_the_end_of_the_epoch(fit: Any, path: Path) -> None:
    class Halve(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            trainer.optimizers[0].param_groups[0]["lr"] /= 2

    fit(EpochRecords(path), Halve(), epochs=2, batches=3)
    assert pd.read_csv(path)["lr"].tolist() == [1 / 8, 1 / 64]


def test_an_old_file_is_replaced(fit: Any, path: Path) -> None:
    class Look(pl.Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            assert path.read_text() == ""

    path.write_text("epoch,train/loss\n1,0.5\n2,0.4\n")
    fit(EpochRecords(path), Look(), epochs=1)
    assert pd.read_csv(path)["epoch"].tolist() == [1]
