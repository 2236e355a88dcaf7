"""Profiles, histograms, channels, correlations, probes and moving averages as matplotlib was told to draw them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tests.figures.conftest import check_picture

from receptive.figures.activations import (
    SHARES,
    save_channels,
    save_correlations,
    save_histograms,
    save_moving_averages,
    save_probes,
    save_profile,
)

pytestmark = pytest.mark.usefixtures("coarse")
NAN = float("nan")
STRANGE = "$_$ a_b^c {%}"


def row(mean: float, std: float = 1.0, **shares: float) -> dict[str, float]:
    return {"mean": mean, "std": std, "mean_absolute": abs(mean) + std / 2} | dict.fromkeys(SHARES, 0.25) | shares


def drawn(axes: Any, label: str) -> list[float]:
    [line] = [line for line in axes.get_lines() if line.get_label() == label]
    return [float(value) for value in line.get_ydata()]


class TestProfile:
    def test_every_layer_is_a_point(self, figures: list[Figure], tmp_path: Path) -> None:
        rows = [row(0.5, 2, zeros=0), row(-1, 3, zeros=0.5), row(2, 1, zeros=1)]
        save_profile(rows, ["0 Conv2d", "1 ReLU", "2 Linear"], "a run", tmp_path / "x.png")
        sizes, shares = figures[0].axes
        assert drawn(sizes, "mean absolute activation") == [1.5, 2.5, 2.5]
        [bars] = sizes.containers
        [segments] = bars.lines[2]
        assert [(low, high) for (_, low), (_, high) in segments.get_segments()] == [(-1.5, 2.5), (-4, 2), (1, 3)]
        assert drawn(shares, "exactly 0") == [0, 0.5, 1]
        assert drawn(shares, "blank maps") == [0.25] * 3
        assert [label.get_text() for label in shares.get_xticklabels()] == ["0 Conv2d", "1 ReLU", "2 Linear"]
        assert figures[0].get_suptitle() == "a run"
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize(
        "rows",
        [[row(0, 0)], [row(0, 0, zeros=1)] * 3, [row(1, dark=NAN, blank=NAN)] * 2, [row(1)] * 120],
        ids=["one layer", "all zero", "without maps", "many"],
    )
    def test_extremes(self, tmp_path: Path, rows: list[dict[str, float]]) -> None:
        save_profile(rows, [STRANGE] * len(rows), STRANGE, tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


class TestHistograms:
    def test_densities_of_the_filled_bins(self, figures: list[Figure], tmp_path: Path) -> None:
        values = np.random.default_rng(0).normal(0, 1, 1000)
        counts, edges = np.histogram(values, np.linspace(-8, 8, 65))
        save_histograms([("0 Conv2d", edges, counts)], "a run", tmp_path / "x.png")
        axes = figures[0].axes[0]
        [stairs] = axes.patches
        heights, steps, _ = stairs.get_data()  # type: ignore[attr-defined]
        density, _ = np.histogram(values, edges, density=True)
        filled = density.nonzero()[0]
        np.testing.assert_allclose(heights, density[filled[0] : filled[-1] + 1])
        np.testing.assert_allclose(steps, edges[filled[0] : filled[-1] + 2])
        assert axes.get_title() == "0 Conv2d"
        assert axes.get_yscale() == "log"
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("count", [1, 4, 9])
    def test_a_grid_of_four_columns(self, figures: list[Figure], tmp_path: Path, count: int) -> None:
        found = ("layer", np.linspace(-1, 1, 9), np.arange(8))
        save_histograms([found] * count, "x", tmp_path / "x.png")
        assert len(figures[0].axes) == 4 * -(-count // 4)
        assert sum(axes.axison for axes in figures[0].axes) == count
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("width", [2.0**-66, 1.0, 2.0**100])
    def test_one_bin_alone(self, tmp_path: Path, width: float) -> None:
        """A layer that is always zero has bins of the smallest width."""
        counts = np.zeros(128, dtype=int)
        counts[64] = 5
        save_histograms([(STRANGE, np.arange(-64, 65) * width, counts)], STRANGE, tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


class TestChannels:
    def test_a_strip_from_large_to_small(self, figures: list[Figure], tmp_path: Path) -> None:
        channels = [("0 Conv2d", np.array([1.0, 4, 0, 2])), ("1 Linear", np.array([8.0]))]
        save_channels(channels, "mean |x|", "a run", tmp_path / "x.png")
        axes, bar = figures[0].axes
        first, second = (image.get_array() for image in axes.images)
        assert np.ma.filled(first, -1).tolist() == [[4, 2, 1, -1]]
        assert np.ma.filled(second, -1).tolist() == [[8]]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["0 Conv2d (4)", "1 Linear (1)"]
        assert {image.get_clim() for image in axes.images} == {(1, 8)}
        assert bar.get_ylabel() == "mean |x|"
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize(
        "values",
        [np.zeros(3), np.ones(3), np.array([0.0]), np.logspace(-30, 0, 300), np.array([1e-12, 0])],
        ids=["zeros", "ones", "one zero", "many", "tiny"],
    )
    def test_extremes(self, tmp_path: Path, values: NDArray[Any]) -> None:
        save_channels([(STRANGE, values)], "x", STRANGE, tmp_path / "x.png")
        save_channels([(STRANGE, values)] * 20, "x", STRANGE, tmp_path / "y.png")
        check_picture(tmp_path / "x.png")
        check_picture(tmp_path / "y.png")


class TestCorrelations:
    def test_a_matrix_a_layer_on_one_scale(self, figures: list[Figure], tmp_path: Path) -> None:
        matrices = [np.corrcoef(np.random.default_rng(seed).normal(size=(3, 9))) for seed in range(7)]
        save_correlations([(f"layer {n}", n / 10, own) for n, own in enumerate(matrices)], "a run", tmp_path / "x.png")
        shown = [axes for axes in figures[0].axes if axes.get_title()]
        assert [axes.get_title() for axes in shown] == [f"layer {n}\nmean |r| {n / 10:.2f}" for n in range(7)]
        for axes, wanted in zip(shown, matrices, strict=True):
            np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), wanted)
            assert axes.images[0].get_clim() == (-1, 1)
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("channels", [1, 2, 300])
    def test_constant_channels(self, tmp_path: Path, channels: int) -> None:
        matrix = np.full((channels, channels), NAN)
        save_correlations([(STRANGE, NAN, matrix)], STRANGE, tmp_path / "x.png")
        matrix[0, 0] = 1
        save_correlations([(STRANGE, NAN, matrix)], STRANGE, tmp_path / "y.png")
        check_picture(tmp_path / "x.png")
        check_picture(tmp_path / "y.png")

    def test_constant_channels_are_not_the_colour_of_no_correlation(
        self, figures: list[Figure], tmp_path: Path
    ) -> None:
        save_correlations([("a ReLU", 0.0, np.array([[1, 0.0], [NAN, NAN]]))], "a run", tmp_path / "x.png")
        image = figures[0].axes[0].images[0]
        [_, white], [grey, also] = image.cmap(image.norm(image.get_array()))
        assert tuple(grey) == tuple(also) != tuple(white)
        assert grey[0] == grey[1] == grey[2] == pytest.approx(0.6, abs=0.01)


class TestProbes:
    def test_what_is_worse_than_the_mean_does_not_hide_the_others(self, figures: list[Figure], tmp_path: Path) -> None:
        save_probes(["a", "b"], {"picture": [-2e5, 0.5]}, "a run", tmp_path / "x.png")
        [axes] = figures[0].axes
        assert drawn(axes, "picture") == [-0.1, 0.5]
        assert axes.get_ylim()[0] > -0.3
        assert "-0.1: or less" in axes.get_ylabel()

    def test_a_curve_a_question(self, figures: list[Figure], tmp_path: Path) -> None:
        save_probes(["a", "b"], {"picture": [1, 0.5], "classes": [0.1, 0.9]}, "a run", tmp_path / "x.png")
        [axes] = figures[0].axes
        assert drawn(axes, "picture") == [1, 0.5]
        assert drawn(axes, "classes") == [0.1, 0.9]
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("values", [[0.0], [-3.0, 1], [NAN, 0.5]], ids=str)
    def test_extremes(self, tmp_path: Path, values: list[float]) -> None:
        save_probes([STRANGE] * len(values), {"classes": values}, STRANGE, tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


class TestMovingAverages:
    def test_a_dot_a_channel_and_their_median(self, figures: list[Figure], tmp_path: Path) -> None:
        shifts, ratios = [np.array([0.1, -0.4, 0.2]), np.array([0.5])], [np.array([1.0, 2, 1.5]), np.array([0.5])]
        save_moving_averages(["0 BatchNorm2d", "1 BatchNorm2d"], shifts, ratios, "a run", tmp_path / "x.png")
        for axes, wanted in zip(figures[0].axes, (shifts, ratios), strict=True):
            neutral, *dots = axes.get_lines()
            assert [list(line.get_ydata()) for line in dots] == [list(values) for values in wanted]
            for place, line in enumerate(dots):
                assert np.abs(np.asarray(line.get_xdata()) - place).max() < 0.5
            medians = [segment[0][1] for lines in axes.collections for segment in lines.get_segments()]  # type: ignore[attr-defined]
            assert medians == [np.median(values) for values in wanted]
            assert neutral.get_ydata()[0] == (0 if axes is figures[0].axes[0] else 1)  # type: ignore[index]
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("values", [[NAN, 1.0], [NAN, NAN], [NAN], [0.0]], ids=str)
    def test_channels_that_never_change(self, tmp_path: Path, values: list[float]) -> None:
        save_moving_averages([STRANGE], [np.array(values)], [np.array(values)], STRANGE, tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


FIGURES: dict[str, Callable[[Path], None]] = {
    "profile": lambda path: save_profile([row(1)], ["a"], "x", path),
    "histograms": lambda path: save_histograms([("a", np.arange(3), np.array([1, 2]))], "x", path),
    "channels": lambda path: save_channels([("a", np.ones(2))], "x", "x", path),
    "correlations": lambda path: save_correlations([("a", 0.0, np.eye(2))], "x", path),
    "probes": lambda path: save_probes(["a"], {"b": [1]}, "x", path),
    "moving averages": lambda path: save_moving_averages(["a"], [np.ones(2)], [np.ones(2)], "x", path),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_a_path_that_cannot_be_written_is_an_oserror(tmp_path: Path, figure: str) -> None:
    with pytest.raises(OSError, match=r"x\.png"):
        FIGURES[figure](tmp_path / "nowhere" / "x.png")
