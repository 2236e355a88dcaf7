"""The figures as files: which there are, what they show, and names of every kind."""

from pathlib import Path

from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from tests.report.conftest import RunFolders

from receptive.figures.style import COLORS
from receptive.report.collection import Collection
from receptive.report.figures import (
    FIGURES,
    draw_heat_map,
    draw_importance,
    draw_lines,
    draw_points,
    figures_of,
    remove_others,
    save_figure,
)
from receptive.report.plots import points_plot
from receptive.report.styles import MOST_CURVES

LR = "optimizer.lr"
TWO = {LR: ["0.1", "0.01"], "act": ["relu", "elu"]}


def drawn(collection: Collection, folder: Path) -> list[str]:
    figures = figures_of(collection)
    return [name for name, draw in figures.items() if save_figure(draw, collection, folder / f"{name}.png")]


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


def test_a_number_with_three_values_has_a_figure_of_its_own(folders: RunFolders, tmp_path: Path) -> None:
    folders.add_grid({"variant": ["a", "b"], LR: ["0.1", "0.01", "0.001"], "data.size": ["8", "16"]}, seeds=1)
    (tmp_path / "over_width.png").write_text("of an earlier report")
    (tmp_path / "overview.png").write_text("something else")
    collection = folders.collection()
    assert "over_lr" in drawn(collection, tmp_path) and "over_size" not in drawn(collection, tmp_path)
    remove_others(collection, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("over*")) == ["over_lr.png", "overview.png"]


def test_a_key_becomes_a_plain_name_of_a_file(folders: RunFolders) -> None:
    folders.add_grid({"data/x": ["1", "2", "3"]}, seeds=1)
    assert [name for name in figures_of(folders.collection()) if name not in FIGURES] == ["over_data_x"]


def test_every_figure_says_whose_runs_it_shows(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01", "0.001"], "act": ["relu", "elu"]}, seeds=3)
    collection = folders.collection("table_$9_$")
    figures = {name: draw(collection) for name, draw in figures_of(collection).items()}
    assert list(figures) == [*FIGURES, "over_lr"]
    for name, figure in figures.items():
        assert figure is not None, name
        assert "table_$9_$: " in texts(figure), name


def test_one_run_and_none_done(folders: RunFolders, tmp_path: Path) -> None:
    folders.add(state="waiting", epochs=0)
    assert drawn(folders.collection(), tmp_path) == []
    folders.add({"variant": "a"}, epochs=1)
    assert drawn(folders.collection(), tmp_path) == ["curves"]


def test_means_and_intervals_are_told_of_where_there_are_some(folders: RunFolders) -> None:
    for name in ("a", "b"):
        folders.add({"variant": name}, seed=0)
    figure, plot = draw_points(folders.collection()), points_plot(folders.collection())
    assert figure is not None and texts(figure).endswith("a point a run")
    assert plot is not None and plot.caption == "Dot: a run. Best groups first."
    folders.add({"variant": "a"}, seed=1)
    figure, plot = draw_points(folders.collection()), points_plot(folders.collection())
    assert figure is not None and "mean with its 95 % interval" in texts(figure)
    assert plot is not None and "Dot: mean over seeds" in plot.caption


def test_points_are_in_percent_and_a_wide_interval_is_cut(folders: RunFolders) -> None:
    for name, scores in (("steady", (0.80, 0.81, 0.805)), ("wild", (0.70, 0.90))):
        for seed, score in enumerate(scores):
            folders.add({"variant": name}, seed=seed, score=score)
    figure = draw_points(folders.collection())
    assert figure is not None
    low, high = figure.axes[0].get_xlim()
    assert 45 < low < 70 and 90 < high < 115  # the interval of two runs would reach from -47 to 207


def test_points_have_the_colour_of_their_variant(folders: RunFolders) -> None:
    for name, score in (("a", 0.5), ("b", 0.9)):
        for lr in ("0.1", "0.01"):
            folders.add({"variant": name, LR: lr}, score=score)
    figure = draw_points(folders.collection())
    assert figure is not None
    means = [line for line in figure.axes[0].get_lines() if line.get_markersize() == 4]
    assert [to_hex(str(line.get_color())).upper() for line in means] == [COLORS[1], COLORS[1], COLORS[0], COLORS[0]]


def test_cells_without_a_run_stay_empty(folders: RunFolders) -> None:
    folders.add({LR: "0.1", "act": "relu"}, score=0.5)
    folders.add({LR: "0.01", "act": "elu"}, score=0.75)
    figure = draw_heat_map(folders.collection())
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["75.0", "50.0"]


def test_cells_that_are_close_have_a_decimal_more(folders: RunFolders) -> None:
    folders.add({LR: "0.1", "act": "relu"}, score=0.9751)
    folders.add({LR: "0.01", "act": "elu"}, score=0.9749)
    figure = draw_heat_map(folders.collection())
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["97.49", "97.51"]


def test_of_many_columns_no_cell_is_written(folders: RunFolders) -> None:
    folders.add_grid({"act": ["relu", "elu"], LR: [f"0.{number}" for number in range(1, 18)]}, seeds=1)
    figure = draw_heat_map(folders.collection())
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == []


def test_every_value_of_ten_stands_beside_its_axis(folders: RunFolders) -> None:
    rates = [f"{number / 1000:g}" for number in range(1, 11)]
    folders.add_grid({LR: rates, "act": ["relu", "elu"]}, seeds=1)
    figure = draw_lines(folders.collection())
    assert figure is not None
    assert {*rates, "relu", "elu"} <= {text.get_text() for text in figure.axes[0].texts}


def test_the_importance_says_how_good_the_forest_is(folders: RunFolders) -> None:
    folders.add_grid(TWO, seeds=3)
    figure = draw_importance(folders.collection())
    assert figure is not None
    told = " ".join(texts(figure).split())
    assert "sweep: by how much a random forest's R² falls" in told
    assert "other seeds of the same point may have been seen" in told


def test_names_of_every_kind(folders: RunFolders, tmp_path: Path) -> None:
    names = ["_private", "$\\frac{1", "a" * 300, "<b>&amp;", "日本語", "two\nlines", "%s {x} {{", ""]
    assert len(names) == MOST_CURVES  # the best run of each has a curve
    for place, name in enumerate(names):
        folders.add({"variant": name, "act": "plain"}, score=0.9 - 0.01 * place)
        folders.add({"variant": name, "act": name}, score=0.5 - 0.01 * place)
    assert {"curves", "points", "heat_map", "parallel_coordinates"} <= set(drawn(folders.collection(), tmp_path))
