"""Learning curves and the metric over a parameter as files."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from tests.report.conftest import RunFolders
from tests.report.test_figures import texts

from receptive.figures.style import COLORS
from receptive.files import read_csv, write_csv
from receptive.report.bands import numeric_factors
from receptive.report.collection import Collection
from receptive.report.curve_figures import draw_curves, draw_over

LR = "optimizer.lr"


def drawn_over(collection: Collection) -> Figure:
    [factor] = numeric_factors(collection)
    figure = draw_over(collection, factor)
    assert figure is not None
    return figure


def test_the_curves_say_how_many_groups_are_left_out(folders: RunFolders) -> None:
    folders.add_grid({"model.width": [str(width) for width in range(11)]}, seeds=2)
    figure = draw_curves(folders.collection())
    assert figure is not None
    told = " ".join(texts(figure).split())
    assert "sweep: mean of the runs, smallest to largest as bars at the end; the best 8 of 11 groups" in told
    assert "width=0 (n=2)" in told and "width=9" not in told
    for axes in figure.axes:
        curves = [line for line in axes.get_lines() if len(line.get_xydata()) == 3]
        assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == len(curves) == 8
        assert not axes.collections  # no band over another


def test_few_groups_have_bands(folders: RunFolders) -> None:
    folders.add_grid({"variant": list("abcde")}, seeds=2)
    figure = draw_curves(folders.collection())
    assert figure is not None
    assert "smallest to largest as a band" in texts(figure)
    assert [(len(axes.collections), len(axes.get_lines())) for axes in figure.axes] == [(5, 5)] * 2
    assert all(band.get_edgecolor().any() for band in figure.axes[0].collections)


def test_bars_of_many_groups_lie_within_the_frame(folders: RunFolders) -> None:
    folders.add_grid({"variant": list("abcdef")}, seeds=1)
    folders.add({"variant": "a"}, seed=1, score=0.1)
    figure = draw_curves(folders.collection())
    assert figure is not None
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert low < 10 and high > 90


def test_single_runs_are_lines_without_a_band(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"]}, seeds=1)
    figure = draw_curves(folders.collection())
    assert figure is not None
    assert "sweep: a line a run" in texts(figure) and not figure.axes[0].collections


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
    assert [to_hex(str(named[name].get_color())).upper() for name in "abc"] == list(COLORS[:3])
    assert {name: line.get_color() for name, line in named.items()} == dict(zip("abc", loss, strict=True))
    assert accuracy == loss[1:]
    ends = {line.get_color(): line.get_ydata()[-1] for line in figure.axes[1].get_lines()}
    assert ends[named["a"].get_color()] == pytest.approx(0.1)


def test_a_loss_far_above_the_others_does_not_press_them_flat(folders: RunFolders) -> None:
    for name, score in (("a", 0.9), ("b", -50.0)):
        folders.add({"variant": name}, score=score, metric="f1_mean")
    figure = draw_curves(folders.collection())
    assert figure is not None
    score, loss = figure.axes
    assert (score.get_yscale(), loss.get_yscale()) == ("linear", "log")
    figure.draw_without_rendering()
    low, high = loss.get_ylim()
    ticks = {tick.get_text() for tick, place in zip(loss.get_yticklabels(), loss.get_yticks(), strict=True)}
    assert {"0.1", "1", "10"} <= ticks and low < 0.1 and high > 51


def test_a_logarithmic_axis_of_few_decades_has_ticks_between_them(folders: RunFolders) -> None:
    for name, score in (("a", 0.9), ("b", -1.5)):
        folders.add({"variant": name}, score=score, metric="f1_mean")
    figure = draw_curves(folders.collection())
    assert figure is not None
    assert {"0.2", "0.5", "1", "2"} <= {tick.get_text() for tick in figure.axes[1].get_yticklabels()}


def test_a_dip_is_cut_off_and_the_title_says_so(folders: RunFolders) -> None:
    run = folders.add({"variant": "a"}, epochs=8)
    folders.add({"variant": "b"}, epochs=8)
    rows = read_csv(run.metrics_path)
    rows[5]["val/accuracy"] = "-5"
    write_csv(run.metrics_path, list(rows[0]), rows)
    figure = draw_curves(folders.collection())
    assert figure is not None
    assert "a line a run; single epochs cut off" in texts(figure)
    assert figure.axes[0].get_ylim()[0] > 0


def test_what_a_claim_says_of_training_has_a_panel(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"]}, seeds=1)
    claim = {"id": "X1", "text": "a moves more", "metric": "drop(train/loss, 3)", "better": "a", "than": "b"}
    for claims, metrics in (
        ([claim], ["val/accuracy (%)", "val/loss", "train/loss"]),
        ([], ["val/accuracy (%)", "val/loss"]),
    ):
        figure = draw_curves(folders.collection("x", claims))
        assert figure is not None
        assert [axes.get_ylabel() for axes in figure.axes] == metrics


def test_over_a_learning_rate_there_is_a_line_a_variant(folders: RunFolders) -> None:
    for variant, base in (("a", 0.5), ("b", 0.8)):
        for lr, more in (("0.01", 0.1), ("0.1", 0.0), ("0.001", 0.05)):
            for seed in range(2):
                folders.add({"variant": variant, LR: lr}, seed=seed, score=base + more + 0.02 * seed)
    figure = drawn_over(folders.collection())
    [axes] = figure.axes
    assert axes.get_xscale() == "log" and axes.get_xlabel() == LR and axes.get_ylabel() == "val/accuracy (%)"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    means = [line for line in axes.get_lines() if len(line.get_xydata()) == 3]
    assert [to_hex(str(line.get_color())).upper() for line in means] == list(COLORS[:2])
    assert list(means[1].get_ydata()) == pytest.approx([86, 91, 81])
    bars = [sorted(line.get_ydata()) for line in axes.get_lines() if len(line.get_xydata()) == 2]
    assert len(bars) == 6 and bars[3] == pytest.approx([85, 87])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a (n=2)", "b (n=2)"]
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    assert low < 50 and high > 92
    assert "val/accuracy over lr, mean of the runs, smallest to largest as bars" in texts(figure)


def test_a_single_line_over_even_numbers(folders: RunFolders) -> None:
    folders.add_grid({"model.depth": ["2", "4", "6"]}, seeds=1)
    figure = drawn_over(folders.collection())
    [axes] = figure.axes
    assert axes.get_xscale() == "linear" and not figure.legends
    assert len(axes.get_lines()) == 4 and "mean" not in texts(figure)  # a dot for a bar: one run


def test_over_a_number_few_lines_are_shown(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"], "act": [*"klmno"], LR: ["1", "2", "3"]}, seeds=1)
    figure = drawn_over(folders.collection())
    means = [line for line in figure.axes[0].get_lines() if len(line.get_xydata()) == 3]
    assert len(means) == 8
    assert "8 of 10 lines, the best of each variant" in " ".join(texts(figure).split())
