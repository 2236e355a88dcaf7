"""Networks over the epochs and side by side, as matplotlib was told to draw them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure
from tests.figures.conftest import check_picture

from receptive.figures.networks import save_comparison, save_side_by_side, save_training
from receptive.figures.style import COLORS

pytestmark = pytest.mark.usefixtures("coarse")
NAN = float("nan")
PIXELS = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)


def rows(epochs: int, layers: int, mean: float = 0.5, std: float = 1.0, norm: float | None = 2.0) -> list[Any]:
    """As csv gives them; the second layer has no weights."""
    return [
        {
            "epoch": str(epoch), "label": f"layer {layer}", "mean": str(mean * (layer - 1)),
            "std": str(std * (epoch + 1)),
            "gradient_norm": "" if norm is None or not epoch or layer == 1 else str(norm * epoch),
        }
        for epoch in range(epochs)
        for layer in range(layers)
    ]  # fmt: skip


class TestTraining:
    def test_a_row_a_layer_a_column_an_epoch(self, figures: list[Figure], tmp_path: Path) -> None:
        save_training(rows(4, 3), tmp_path / "x.png")
        mean, std, norm = figures[0].axes[:3]
        assert [axes.get_title() for axes in (mean, std, norm)] == ["mean", "standard deviation", "gradient norm"]
        np.testing.assert_allclose(mean.images[0].get_array(), [[-0.5] * 4, [0] * 4, [0.5] * 4])
        assert mean.images[0].get_clim() == (-0.5, 0.5)
        np.testing.assert_allclose(std.images[0].get_array(), [[1, 2, 3, 4]] * 3)
        assert std.images[0].get_clim() == (1, 4) and isinstance(std.images[0].norm, LogNorm)
        shown = np.ma.filled(norm.images[0].get_array(), NAN)
        np.testing.assert_allclose(shown, [[NAN, 2, 4, 6], [NAN] * 4, [NAN, 2, 4, 6]])
        assert tuple(mean.images[0].get_extent()) == (-0.5, 3.5, 2.5, -0.5)
        assert [label.get_text() for label in mean.get_yticklabels()] == [f"layer {layer}" for layer in range(3)]
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize(
        "table",
        [rows(1, 1), rows(2, 1, mean=0, std=0), rows(3, 2, norm=None), rows(3, 2, norm=0), rows(50, 60)],
        ids=["before the first epoch", "all zero", "no weights", "no gradient", "many"],
    )
    def test_extremes(self, tmp_path: Path, table: Any) -> None:
        save_training(table, tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


class TestComparison:
    def test_a_curve_a_network_a_band_its_spread(self, figures: list[Figure], tmp_path: Path) -> None:
        panels = {
            "zeros": {
                "net a": (np.array([0.1, NAN, 0.3]), np.array([0.05, NAN, 0])),
                "net b": (np.array([0.2, 0.4, 0.6]), np.zeros(3)),
            },
            "size": {"net a": (np.ones(3), np.ones(3)), "net b": (np.ones(3), np.ones(3))},
        }
        save_comparison(["Conv2d 1", "ReLU 1", "Conv2d 2"], panels, "a title", tmp_path / "x.png")
        zeros, size = figures[0].axes
        assert [axes.get_ylabel() for axes in (zeros, size)] == ["zeros", "size"]
        lines = {str(line.get_label()): line for line in zeros.get_lines()}
        np.testing.assert_allclose(lines["net a"].get_xydata(), [[0, 0.1], [2, 0.3]])
        np.testing.assert_allclose(lines["net b"].get_xydata(), [[0, 0.2], [1, 0.4], [2, 0.6]])
        assert [to_hex(line.get_color()).upper() for line in lines.values()] == list(COLORS[:2])
        [points] = [path.vertices for path in zeros.collections[0].get_paths()]
        assert {tuple(np.round(point, 6)) for point in points} == {(0, 0.05), (0, 0.15), (2, 0.3)}
        assert [label.get_text() for label in size.get_xticklabels()] == ["Conv2d 1", "ReLU 1", "Conv2d 2"]
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("count", [1, 7, 25])
    @pytest.mark.parametrize("values", [np.array([NAN]), np.zeros(1), np.zeros(60)], ids=["none", "one", "many"])
    def test_extremes(self, tmp_path: Path, count: int, values: Any) -> None:
        networks = {f"$_$ {number}": (values, values) for number in range(count)}
        save_comparison(["$_$"] * len(values), {"x": networks}, "$_$", tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


class TestSideBySide:
    def test_a_row_a_network_a_column_a_layer(self, figures: list[Figure], tmp_path: Path) -> None:
        first, second, third = (np.random.default_rng(seed).random((4, 4)) for seed in range(3))
        networks = {
            "net a": [("0 Conv2d", first), None, ("2 ReLU", second)],
            "net b": [None, None, ("1 ReLU", third)],
        }
        save_side_by_side(PIXELS, networks, "image 0", tmp_path / "x.png", columns=4)
        grid = np.array(figures[0].axes).reshape(2, 4)
        np.testing.assert_array_equal(grid[0, 0].images[0].get_array(), PIXELS[0])
        for at, wanted, label in (((0, 1), first, "0 Conv2d"), ((0, 2), second, "2 ReLU"), ((1, 2), third, "1 ReLU")):
            np.testing.assert_array_equal(grid[at].images[0].get_array(), wanted)
            assert grid[at].get_title().startswith(label)
            assert grid[at].images[0].get_clim() == (0, wanted.max())
        assert not grid[1, 1].images and not grid[0, 3].images
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("layers", [7, 8])
    def test_layers_go_on_below(self, figures: list[Figure], tmp_path: Path, layers: int) -> None:
        cells = [(f"$_$ {place}", np.zeros((2, 2))) for place in range(layers)]
        save_side_by_side(PIXELS.repeat(3, 0), {"$a$": cells, "b": cells}, "$_$", tmp_path / "x.png")
        titles = [axes.get_title().partition("\n")[0] for axes in figures[0].axes]
        assert sorted(title for title in titles if title.startswith("$_$")) == sorted(2 * [name for name, _ in cells])
        check_picture(tmp_path / "x.png")

    def test_networks_without_maps(self, tmp_path: Path) -> None:
        save_side_by_side(PIXELS, {"a": [None], "b": [None]}, "x", tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


@pytest.mark.parametrize("draw", [save_training, save_comparison, save_side_by_side])
def test_a_path_that_cannot_be_written_is_an_oserror(tmp_path: Path, draw: Any) -> None:
    arguments: dict[Any, Any] = {
        save_training: (rows(2, 2),),
        save_comparison: (["a"], {"x": {"n": (np.ones(1), np.ones(1))}}, "x"),
        save_side_by_side: (PIXELS, {"n": [("a", np.ones((2, 2)))]}, "x"),
    }
    with pytest.raises(OSError, match=r"x\.png"):
        draw(*arguments[draw], tmp_path / "nowhere" / "x.png")
