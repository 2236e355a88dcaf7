"""The tables of a report: read whole on any console, complete as files."""

import io
import math
from pathlib import Path

import pandas as pd
import pytest
from tests.report.conftest import RunFolders
from tests.report.test_verdicts import collection_of

from receptive.console import new_console
from receptive.report.collection import collect
from receptive.report.tables import print_tables, summary_lines, write_tables
from receptive.report.verdicts import judge

LABELS = {
    "model.upsampling": "transposed",
    "model.activation": "leaky_relu",
    "optimizer.name": "adamw",
    "optimizer.lr": "0.0003",
    "data.batch_size": "8",
}


@pytest.mark.parametrize("terminal", [True, False])
def test_no_value_is_cut_off(folders: RunFolders, terminal: bool) -> None:
    metrics = {"val/f1_mean": 0.9712, "test/f1_mean": 0.9688}
    folders.add(LABELS, seed=None, score=None, metrics=metrics, result={"monitor": "val/f1_mean", "seconds": 12.34})
    stream = io.StringIO()
    console = new_console(file=stream, width=80, force_terminal=terminal, no_color=True)
    print_tables(folders.collection(), (), console)
    text = stream.getvalue()
    for value in (*LABELS.values(), "0.9712", "0.9688", "12.3", "done"):
        assert value in text
    assert "…" not in text
    if not terminal:  # a log, where a line may be long
        assert len(text.splitlines()) == 2
    assert console.width == 80


def test_numbers_stand_right_and_labels_left(folders: RunFolders) -> None:
    for seed in range(2):
        for source, score in (("x", 0.5), ("a long one", 0.9)):
            folders.add({"data/source": source}, seed=seed, score=score + seed / 10)
    stream = io.StringIO()
    print_tables(folders.collection(), (), new_console(file=stream, width=200, no_color=True))
    head, first, second = stream.getvalue().splitlines()[-3:]
    for title in ("n", "val/accuracy", "95 % interval", "best", "p against best"):
        ends = {line[: head.index(f" {title}") + len(title) + 1].rstrip()[-1:] for line in (first, second)}
        assert " " not in ends and not any(
            line[head.index(f" {title}") + len(title) + 1 :][:1].strip() for line in (first, second)
        )
    assert first.startswith("x ") and second.startswith("a long one ") and head.startswith("data/source ")


def test_the_files_hold_a_row_a_run_a_row_a_group_and_a_row_a_claim(tmp_path: Path) -> None:
    values = {"a|b": [0.90, 0.91, 0.92], "c": [0.80, 0.83, 0.81]}
    claim = {"id": "X1", "text": "a is better", "metric": "val/accuracy", "better": "a|b", "than": "c"}
    collection = collection_of(values, [claim], root=tmp_path)
    write_tables(collection, judge(collection))
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert list(runs["val/accuracy"]) == [0.90, 0.91, 0.92, 0.80, 0.83, 0.81]
    assert list(runs["variant"]) == ["a|b"] * 3 + ["c"] * 3
    summary = pd.read_csv(tmp_path / "summary.csv")
    by_hand = runs.groupby("variant")["val/accuracy"].agg(["mean", "std", "max", "count"])
    assert list(summary["val/accuracy mean"]) == pytest.approx(list(by_hand["mean"]))
    assert list(summary["val/accuracy deviation"]) == pytest.approx(list(by_hand["std"]))
    assert list(summary["val/accuracy best"]) == list(by_hand["max"])
    assert list(summary["val/accuracy n"]) == list(by_hand["count"])
    assert summary["p against best"].isna().tolist() == [True, False]
    text = (tmp_path / "summary.md").read_text()
    assert "| a\\|b | 3 | 91.00 % ± 1.00 % |" in text
    assert "| X1 | a is better |" in text
    assert "| holds |" in text
    assert len(pd.read_csv(tmp_path / "claims.csv")) == 1
    write_tables(collection, ())  # the study has none any more
    assert not (tmp_path / "claims.csv").exists()


def test_the_folder_that_one_stands_in_has_its_name_as_title(
    folders: RunFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders.add().folder)
    assert (collect(Path()).title, collect(Path("..")).title) == ("run-0000", "sweep")


def test_a_run_of_a_damaged_config_stays_in_its_group(folders: RunFolders) -> None:
    """Otherwise all keys of the config would tell it from the group that it belongs to."""
    run = folders.add({"lr": "0.01"}, seed=0)
    folders.add({"lr": "0.01"}, seed=1)
    folders.add({"lr": "0.1"}, seed=0)
    run.config_path.write_text("a: [")
    groups = folders.collection().groups
    assert [(group.labels, len(group.records)) for group in groups] == [({"lr": "0.01"}, 2), ({"lr": "0.1"}, 1)]


def test_a_config_that_holds_itself_is_damaged(folders: RunFolders) -> None:
    folders.add(seed=0).config_path.write_text("a: &x {b: *x}\n")
    [record] = folders.collection().records
    assert record.state == "failed" and "cannot be read" in str(record.status.error)


def test_a_group_without_a_number_is_not_the_best(folders: RunFolders) -> None:
    for seed in range(3):
        folders.add({"lr": "1"}, seed=seed, score=math.nan)
        folders.add({"lr": "0.1"}, seed=seed, score=0.9 + seed / 100)
        folders.add({"lr": "0.01"}, seed=seed, score=0.8 + seed / 100)
    p_values = [line.p_against_best for line in summary_lines(folders.collection())]
    assert [math.isnan(p) for p in p_values] == [True, True, False]


def test_runs_of_several_tasks_are_told(folders: RunFolders) -> None:
    folders.add({"data": "mnist"}, seed=0)
    assert not folders.collection().notes
    folders.add({"data": "mnist"}, seed=1)
    folders.add({"data": "jsrt"}, metric="f1_mean", result={"monitor": "val/f1_mean"})
    [note] = folders.collection().notes
    assert note.startswith("1 of the runs chose their best epoch by val/f1_mean: the tables compare val/accuracy")
