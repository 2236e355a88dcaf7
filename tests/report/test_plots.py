"""The interactive figures, as Plotly gets them."""

import json
from typing import Any

import pytest
from tests.report.conftest import CLASSES, RunFolders

from receptive.report.collection import Collection
from receptive.report.plots import PLOTS, parameter_plot
from receptive.report.plotting import Plot, plain_text

LR = "optimizer.lr"
TWO = {LR: ["0.1", "0.001"], "act": ["relu", "elu"]}


def made(collection: Collection) -> dict[str, Plot]:
    plots = {name: make(collection) for name, make in PLOTS.items()}
    json.dumps([plot.figures for plot in plots.values() if plot], allow_nan=False)
    return {plot.key: plot for plot in plots.values() if plot}


def traces(plot: Plot, name: str | None = None) -> list[dict[str, Any]]:
    figure = plot.figures[name] if name is not None else next(iter(plot.figures.values()))
    return list(figure["data"])


def test_all_of_two_parameters(folders: RunFolders) -> None:
    folders.add_grid(TWO, seeds=3)
    plots = made(folders.collection())
    assert list(plots) == ["curves", "points", "heat_map", "parameter", "lines", "importance", "confusion"]
    assert next(iter(plots["curves"].figures)) == "val/accuracy"
    for plot in plots.values():
        for figure in plot.figures.values():
            assert not any("gl" in trace["type"] or trace["type"] == "parcoords" for trace in figure["data"])
            assert set(figure["layout"]["template"]) <= {"data"}  # the page has the colours


def test_a_curve_has_its_band(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1"]}, seeds=3, epochs=4)
    band, mean = traces(made(folders.collection())["curves"], "val/accuracy")
    assert len(band["x"]) == 8 and band["fill"] == "toself" and band["legendgroup"] == mean["legendgroup"]
    assert list(mean["x"]) == [1, 2, 3, 4] and "(n=3)" in mean["name"]


def test_long_curves_are_thinned_and_keep_their_end(folders: RunFolders) -> None:
    folders.add(epochs=1001)
    [mean] = traces(made(folders.collection())["curves"], "val/loss")
    assert len(mean["x"]) < 160 and mean["x"][0] == 1 and mean["x"][-1] == 1001


def test_beyond_the_best_eight_the_legend_shows_groups(folders: RunFolders) -> None:
    folders.add_grid({"model.width": [str(width) for width in range(20)]}, seeds=1)
    found = traces(made(folders.collection())["curves"])
    assert [trace["visible"] for trace in found] == [True] * 8 + ["legendonly"] * 8


def test_an_interval_that_ends_at_a_bound_is_shorter_on_that_side(folders: RunFolders) -> None:
    for seed, score in enumerate((0.97, 0.99, 0.999)):
        folders.add(seed=seed, score=score)
    [_, mean] = traces(made(folders.collection())["points"], "val/accuracy")
    [center], [high], [low] = mean["x"], mean["error_x"]["array"], mean["error_x"]["arrayminus"]
    assert center + high == pytest.approx(1.0, abs=1e-4) and low > 2 * high


def test_a_learning_rate_has_a_logarithmic_axis(folders: RunFolders) -> None:
    folders.add_grid(TWO, seeds=1)
    figures = made(folders.collection())["parameter"].figures
    assert figures[LR]["layout"]["xaxis"]["type"] == "log"
    assert list(figures["act"]["layout"]["xaxis"]["ticktext"]) == ["relu", "elu"]


def test_points_that_are_not_drawn_are_told(folders: RunFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.add_grid(TWO, seeds=3)
    collection = folders.collection()
    plot = parameter_plot(collection)
    assert plot is not None and plot.caption.startswith("val/accuracy of every done run over")
    monkeypatch.setattr("receptive.report.plots._MOST_SCATTERED", 4)
    plot = parameter_plot(collection)
    assert plot is not None and plot.caption.startswith("val/accuracy of 4 of 12 done runs, those of the best groups,")
    assert len(traces(plot)[0]["x"]) == 4


def test_lines_of_many_runs_are_few_traces(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01"], "model.width": [str(width) for width in range(40)]}, seeds=3)
    plot = made(folders.collection())["lines"]
    found = traces(plot)
    assert len(found) <= 16
    assert sum(trace["y"].count(None) for trace in found) == 200
    assert "worst 40 runs are left out" in plot.caption


def test_confusion_is_of_the_best_run_of_each_group(folders: RunFolders) -> None:
    for seed, score in enumerate((0.5, 0.9, 0.7)):
        folders.add({"variant": "a"}, seed=seed, score=score)
    plot = made(folders.collection())["confusion"]
    assert list(plot.figures) == ["a, seed 1"]
    [trace] = traces(plot)
    assert trace["z"][2] == [20.0, 0.0, 80.0] and list(trace["customdata"][2]) == [2, 0, 8]
    assert list(plot.figures["a, seed 1"]["layout"]["xaxis"]["ticktext"]) == list(CLASSES)


def test_labels_are_text_for_plotly_too(folders: RunFolders) -> None:
    name = "<a href='javascript:alert(1)'>x</a>"
    folders.add_grid({"variant": [name, "b"], LR: ["0.1", "0.01"]}, seeds=3)
    text = json.dumps([plot.figures for plot in made(folders.collection()).values() if plot.key != "confusion"])
    assert "<a" not in text and "&lt;a" in text


def test_nothing_is_drawn_of_nothing(folders: RunFolders) -> None:
    folders.add(state="waiting", epochs=0)
    assert made(folders.collection()) == {}


def test_text_is_escaped_as_plotly_reads_it() -> None:
    assert plain_text("<b>\"a\" & 'b'</b>") == "&lt;b&gt;\"a\" &amp; 'b'&lt;/b&gt;"
