"""The figures as files: which there are, what they show, and names of every kind."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.report.conftest import RunFolders

from receptive.report.collection import Collection
from receptive.report.figures import (
    FIGURES,
    cut_middle,
    cut_names,
    draw_curves,
    draw_heat_map,
    draw_points,
    save_figure,
)
from receptive.report.series import MOST_CURVES

LR = "optimizer.lr"
TWO = {LR: ["0.1", "0.01"], "act": ["relu", "elu"]}


def drawn(collection: Collection, folder: Path) -> list[str]:
    return [name for name in FIGURES if save_figure(name, collection, folder)]


def texts(figure: Figure) -> str:
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]


def test_each_figure_where_it_makes_sense(folders: RunFolders, tmp_path: Path) -> None:
    folders.add_grid({LR: ["0.1", "0.01"]}, seeds=2)
    assert drawn(folders.collection(), tmp_path / "figures") == ["curves", "points"]


def test_all_figures_of_two_parameters(folders: RunFolders, tmp_path: Path) -> None:
    folders.add_grid(TWO, seeds=3)
    assert drawn(folders.collection(), tmp_path / "figures") == list(FIGURES)
    for name in FIGURES:
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert image.width > 600 and len(set(image.convert("L").tobytes())) > 5


def test_a_file_that_is_not_drawn_any_more_goes(folders: RunFolders, tmp_path: Path) -> None:
    folders.add_grid(TWO, seeds=1)
    (tmp_path / "heat_map.png").write_text("of an earlier report")
    (tmp_path / "importance.png").write_text("of an earlier report")
    drawn(folders.collection(), tmp_path)
    assert (tmp_path / "heat_map.png").stat().st_size > 1000
    assert not (tmp_path / "importance.png").exists()


def test_one_run_and_none_done(folders: RunFolders, tmp_path: Path) -> None:
    folders.add(state="waiting", epochs=0)
    assert drawn(folders.collection(), tmp_path) == []
    folders.add({"variant": "a"}, epochs=1)
    assert drawn(folders.collection(), tmp_path) == ["curves"]


def test_the_curves_say_what_the_band_is_and_how_many_groups_are_left_out(folders: RunFolders) -> None:
    folders.add_grid({"model.width": [str(width) for width in range(11)]}, seeds=2)
    figure = draw_curves(folders.collection())
    assert figure is not None
    told = texts(figure)
    assert "band from the smallest to the largest; the best 8 of 11 groups" in told
    assert "width=0 (n=2)" in told and "width=9" not in told
    assert len(figure.axes) == 2 and len(figure.axes[0].get_lines()) == 8


def test_a_group_has_one_colour_and_stands_in_the_legend_where_its_task_has_another_metric(
    folders: RunFolders,
) -> None:
    for name, metric, score in (("a", "f1_mean", 0.9), ("b", "accuracy", 0.5), ("c", "accuracy", 0.8)):
        folders.add({"variant": name}, score=score, metric=metric)
    folders.add({"variant": "b"}, seed=1, score=0.6)
    figure = draw_curves(folders.collection())
    assert figure is not None
    accuracy, loss = ([line.get_color() for line in axes.get_lines()] for axes in figure.axes)
    [legend] = figure.legends
    named = dict(zip((text.get_text()[0] for text in legend.get_texts()), legend.get_lines(), strict=True))
    assert {name: line.get_color() for name, line in named.items()} == dict(zip("cba", loss, strict=True))
    assert len(set(loss)) == 3 and accuracy == loss[:2]
    ends = {line.get_color(): line.get_ydata()[-1] for line in figure.axes[1].get_lines()}
    assert ends[named["a"].get_color()] == pytest.approx(0.1)


def test_points_are_in_percent_and_a_wide_interval_is_cut(folders: RunFolders) -> None:
    for name, scores in (("steady", (0.80, 0.81, 0.805)), ("wild", (0.70, 0.90))):
        for seed, score in enumerate(scores):
            folders.add({"variant": name}, seed=seed, score=score)
    figure = draw_points(folders.collection())
    assert figure is not None
    low, high = figure.axes[0].get_xlim()
    assert 45 < low < 70 and 90 < high < 115  # the interval of two runs would reach from -47 to 207


def test_cells_without_a_run_stay_empty(folders: RunFolders) -> None:
    folders.add({LR: "0.1", "act": "relu"}, score=0.5)
    folders.add({LR: "0.01", "act": "elu"}, score=0.75)
    figure = draw_heat_map(folders.collection())
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["75.0", "50.0"]


def test_names_of_every_kind(folders: RunFolders, tmp_path: Path) -> None:
    names = ["_private", "$\\frac{1", "a" * 300, "<b>&amp;", "日本語", "two\nlines", "%s {x} {{", ""]
    assert len(names) == MOST_CURVES  # the best run of each has a curve
    for place, name in enumerate(names):
        folders.add({"variant": name, "act": "plain"}, score=0.9 - 0.01 * place)
        folders.add({"variant": name, "act": name}, score=0.5 - 0.01 * place)
    assert {"curves", "points", "heat_map", "parallel_coordinates"} <= set(drawn(folders.collection(), tmp_path))


def test_a_long_name_loses_its_middle() -> None:
    assert cut_middle("abcdefghij", 5) == "a…hij"
    assert cut_middle("a\n b", 9) == "a b"


def test_names_that_lose_their_middle_are_still_told_apart() -> None:
    """Four keys in a name: the one that differs stands in its middle."""
    one, other = (
        f"lr=0.01, batch_size=2, optimizer={name}, upsampling=bilinear, activation=elu" for name in ("a", "b")
    )
    assert cut_names([one, other], 40) == ["0.01, 2, a, bilinear, elu", "0.01, 2, b, bilinear, elu"]
    assert cut_names([one, "short"], 40) == [cut_middle(one, 40), "short"]
