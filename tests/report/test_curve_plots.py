"""Learning curves and the metric over a parameter, as Plotly gets them."""

import pytest
from tests.report.conftest import RunFolders
from tests.report.test_plots import made, traces

from receptive.figures.style import COLORS
from receptive.report.curve_plots import parameter_plot
from receptive.report.series import ranked
from receptive.report.styles import chosen, styles

LR = "optimizer.lr"
TWO = {LR: ["0.1", "0.001"], "act": ["relu", "elu"]}


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


def test_a_learning_rate_has_a_logarithmic_axis(folders: RunFolders) -> None:
    folders.add_grid(TWO, seeds=1)
    figures = made(folders.collection())["parameter"].figures
    assert figures[LR]["layout"]["xaxis"]["type"] == "log"
    assert list(figures[LR]["layout"]["xaxis"]["ticktext"]) == ["0.001", "0.1"]
    assert list(figures["act"]["layout"]["xaxis"]["ticktext"]) == ["relu", "elu"]


def test_points_that_are_not_drawn_are_told(folders: RunFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.add_grid(TWO, seeds=3)
    collection = folders.collection()
    plot = parameter_plot(collection)
    assert plot is not None and plot.caption.startswith("val/accuracy of every done run over")
    monkeypatch.setattr("receptive.report.curve_plots._MOST_SCATTERED", 4)
    plot = parameter_plot(collection)
    assert plot is not None and plot.caption.startswith("val/accuracy of 4 of 12 done runs, those of the best groups,")
    assert len(traces(plot)[0]["x"]) == 4


def test_curves_are_chosen_and_coloured_as_in_the_file(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"], LR: [f"0.{number}" for number in range(1, 8)]}, seeds=1)
    collection = folders.collection()
    shown = [trace for trace in traces(made(collection)["curves"]) if trace["visible"] is True]
    groups = chosen(collection, ranked(collection), 8)
    assert [trace["name"] for trace in shown] == [f"{group.name} (n=1)" for group in groups]
    assert [trace["line"]["color"] for trace in shown] == [style.color for style in styles(collection, groups)]


def test_many_groups_have_no_bands(folders: RunFolders) -> None:
    folders.add_grid({"variant": list("abcdef")}, seeds=2)
    assert [trace["mode"] for trace in traces(made(folders.collection())["curves"])] == ["lines"] * 6


def test_a_loss_far_above_the_others_has_a_logarithmic_axis(folders: RunFolders) -> None:
    for name, score in (("a", 0.9), ("b", -50.0)):
        folders.add({"variant": name}, score=score, metric="f1_mean")
    figures = made(folders.collection())["curves"].figures
    assert figures["val/loss"]["layout"]["yaxis"]["type"] == "log"
    assert "type" not in figures["val/f1_mean"]["layout"]["yaxis"]


def test_over_a_number_each_variant_has_its_mean_in_its_colour(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"], LR: ["1", "2", "3"]}, seeds=2)
    plot = made(folders.collection())["parameter"]
    runs, *means = traces(plot, LR)
    assert set(runs["marker"]["color"]) == set(COLORS[:2]) and len(runs["x"]) == 12
    assert [(trace["name"], trace["line"]["color"]) for trace in means] == [
        ("a (n=2)", COLORS[0]), ("b (n=2)", COLORS[1]),
    ]  # fmt: skip
    assert list(means[0]["x"]) == [1, 2, 3] and means[0]["y"][0] == pytest.approx(0.95, abs=0.03)
    assert len(traces(plot, "variant")) == 1
