"""Curves over the epochs as matplotlib was told to draw them."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.figures.conftest import COARSE

from receptive.figures.history import COLORS, save_history

SCORE = ("train/f1", "val/f1_mean")
ROWS = [
    {"epoch": float(epoch), "train/loss": 1 / epoch, "val/loss": 2 / epoch, "train/f1": epoch / 9, "val/f1_mean": 0.1}
    for epoch in range(1, 7)
]


def curves(figure: Figure, axes: int) -> dict[str, list[tuple[float, float]]]:
    """label -> points of the curves of an axes, without the line of the best epoch."""
    lines = figure.axes[axes].get_lines()
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
        for line in lines
        if not str(line.get_label()).startswith("best")
    }


@pytest.mark.usefixtures("coarse")
def test_every_epoch_is_a_point(figures: list[Figure], tmp_path: Path) -> None:
    save_history(ROWS, SCORE, 4, tmp_path / "history.png")
    [figure] = figures
    for axes, keys in enumerate((("train/loss", "val/loss"), SCORE)):
        assert curves(figure, axes) == {
            name: [(row["epoch"], row[key]) for row in ROWS]
            for name, key in zip(("training", "validation"), keys, strict=True)
        }
        colors = [line.get_color() for line in figure.axes[axes].get_lines()[:2]]
        assert colors == list(COLORS.values())
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "F1"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    with Image.open(tmp_path / "history.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (9 * COARSE, 3.4 * COARSE)
        assert np.asarray(picture).std() > 0


@pytest.mark.usefixtures("coarse")
def test_the_best_epoch_is_marked_and_named(figures: list[Figure], tmp_path: Path) -> None:
    save_history(ROWS, SCORE, 4, tmp_path / "history.png")
    for axes in figures[0].axes:
        [line] = [line for line in axes.get_lines() if line.get_label() == "best, epoch 4"]
        assert list(line.get_xdata()) == [4, 4]
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "best, epoch 4"]


def test_a_single_epoch_is_seen(figures: list[Figure], tmp_path: Path) -> None:
    save_history(ROWS[:1], SCORE, 1, tmp_path / "history.png")
    lines = [line for axes in figures[0].axes for line in axes.get_lines()[:2]]
    assert [line.get_marker() for line in lines] == ["o"] * 4
    with Image.open(tmp_path / "history.png") as picture:
        blue = (np.abs(np.asarray(picture.convert("RGB"), dtype=int) - [0, 114, 178]).sum(-1) < 30).sum()
    assert blue > 100  # two dots and two lines of a legend


@pytest.mark.usefixtures("coarse")
def test_without_validation_only_training_is_drawn(figures: list[Figure], tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if not key.startswith("val/")} for row in ROWS]
    save_history(rows, SCORE, 6, tmp_path / "history.png")
    assert [list(curves(figures[0], axes)) for axes in (0, 1)] == [["training"], ["training"]]


@pytest.mark.usefixtures("coarse")
def test_epochs_without_validation_are_left_out_of_its_curve(figures: list[Figure], tmp_path: Path) -> None:
    rows = [row if row["epoch"] % 3 == 0 else {"epoch": row["epoch"], "train/loss": row["train/loss"]} for row in ROWS]
    save_history(rows, SCORE, 6, tmp_path / "history.png")
    assert [x for x, _ in curves(figures[0], 0)["validation"]] == [3, 6]
    assert len(curves(figures[0], 0)["training"]) == 6


@pytest.mark.usefixtures("coarse")
def test_epochs_are_whole_numbers(figures: list[Figure], tmp_path: Path) -> None:
    save_history(ROWS[:2], SCORE, 2, tmp_path / "history.png")
    for axes in figures[0].axes:
        ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= 2.5]
        assert ticks == [1, 2]


def test_a_path_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"history\.png"):
        save_history(ROWS, SCORE, 1, tmp_path / "nowhere" / "history.png")
