"""The interactive figures, as Plotly gets them."""

import json
from typing import Any

import pytest
from tests.report.conftest import CLASSES, RunFolders

from receptive.figures.style import COLORS
from receptive.report.collection import Collection
from receptive.report.plots import PLOTS
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


def test_an_interval_that_ends_at_a_bound_is_shorter_on_that_side(folders: RunFolders) -> None:
    for seed, score in enumerate((0.97, 0.99, 0.999)):
        folders.add(seed=seed, score=score)
    [_, mean] = traces(made(folders.collection())["points"], "val/accuracy")
    [center], [high], [low] = mean["x"], mean["error_x"]["array"], mean["error_x"]["arrayminus"]
    assert center + high == pytest.approx(1.0, abs=1e-4) and low > 2 * high


def test_points_have_the_colour_of_their_variant_and_one_entry_in_the_legend(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"], LR: ["0.1", "0.01"]}, seeds=2)
    found = traces(made(folders.collection())["points"], "val/accuracy")
    assert [trace["marker"]["color"] for trace in found] == [COLORS[0]] * 2 + [COLORS[1]] * 2
    assert [list(trace["y"]) for trace in found] == [[0, 0, 1, 1], [0, 1], [2, 2, 3, 3], [2, 3]]
    assert [(trace["legendgroup"], trace["showlegend"]) for trace in found] == [
        ("runs", True), ("means", True), ("runs", False), ("means", False),
    ]  # fmt: skip


def test_cells_that_are_close_have_a_decimal_more(folders: RunFolders) -> None:
    for lr, act, score in (("0.1", "relu", 0.9751), ("0.01", "elu", 0.9749)):
        folders.add({LR: lr, "act": act}, score=score)
    plot = made(folders.collection())["heat_map"]
    assert [traces(plot, metric)[0]["texttemplate"] for metric in ("val/accuracy", "val/loss")] == [
        "%{z:.2%}", "%{z:.4f}",
    ]  # fmt: skip


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
