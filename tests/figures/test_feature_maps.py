"""Sheets of feature maps as matplotlib was told to draw them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tests.figures.conftest import check_picture

from receptive.figures.feature_maps import FEW_MAPS, MOST_MAPS, save_first_layers, save_overview, save_sheet

pytestmark = pytest.mark.usefixtures("coarse")
Array = NDArray[Any]


def maps(*shape: int) -> Array:
    return np.random.default_rng(0).normal(0, 2, shape)


def panels(figure: Figure) -> list[Any]:
    """The two mosaics of a sheet, without colour bars."""
    return [axes for axes in figure.axes if axes.get_title() in ("raw", "absolute")]


def tiles(mosaic: Array, height: int, width: int) -> list[Array]:
    """The maps of a mosaic, row by row, found by the gaps between them."""
    found = []
    free = ~np.isnan(mosaic)
    tops = [row for row in range(len(mosaic)) if free[row].any() and (row == 0 or not free[row - 1].any())]
    lefts = [at for at in range(mosaic.shape[1]) if free[:, at].any() and (at == 0 or not free[:, at - 1].any())]
    for top in tops:
        for left in lefts:
            tile = mosaic[top : top + height, left : left + width]
            if not np.isnan(tile).all():
                found.append(tile)
    return found


class TestSheet:
    @pytest.mark.parametrize("shape", [(7, 6, 5), (16, 4, 4), (3, 20, 40), (1, 8, 8), (5, 1, 9)], ids=str)
    def test_every_channel_twice_on_one_scale(self, figures: list[Figure], tmp_path: Path, shape: Any) -> None:
        values = maps(*shape)
        save_sheet(values, abs(values), "layer 3", tmp_path / "x.png")
        raw, absolute = panels(figures[0])
        for axes, wanted in ((raw, values), (absolute, abs(values))):
            shown = tiles(np.ma.filled(axes.images[0].get_array(), np.nan), *shape[1:])
            assert len(shown) == len(wanted)
            np.testing.assert_array_equal(shown, wanted)
        largest = abs(values).max()
        assert raw.images[0].get_clim() == (-largest, largest)
        assert absolute.images[0].get_clim() == (0, largest)
        assert figures[0].get_suptitle() == "layer 3"
        check_picture(tmp_path / "x.png")

    def test_vectors_are_cells(self, figures: list[Figure], tmp_path: Path) -> None:
        values = maps(10)
        save_sheet(values, abs(values), "x", tmp_path / "x.png")
        shown = np.ma.filled(panels(figures[0])[0].images[0].get_array(), np.nan)
        np.testing.assert_array_equal(shown[~np.isnan(shown)], values)
        check_picture(tmp_path / "x.png")

    def test_of_an_average_the_absolute_maps_have_their_own_scale(self, figures: list[Figure], tmp_path: Path) -> None:
        save_sheet(np.full((2, 3, 3), -1.0), np.full((2, 3, 3), 5.0), "x", tmp_path / "x.png")
        raw, absolute = panels(figures[0])
        assert raw.images[0].get_clim() == (-1, 1)
        assert absolute.images[0].get_clim() == (0, 5)

    @pytest.mark.parametrize("shape", [(300, 4, 4), (300,)], ids=str)
    def test_of_many_channels_the_first(self, figures: list[Figure], tmp_path: Path, shape: Any) -> None:
        values = maps(*shape)
        save_sheet(values, abs(values), "x", tmp_path / "x.png")
        shown = np.ma.filled(panels(figures[0])[0].images[0].get_array(), np.nan)
        assert sorted(shown[~np.isnan(shown)]) == sorted(values[:MOST_MAPS].ravel())
        assert figures[0].get_suptitle() == f"x; the first {MOST_MAPS} of 300 channels"
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("shape", [(4, 5, 5), (1,), (2, 7), (1, 2, 300), (1, 300, 2)], ids=str)
    @pytest.mark.parametrize("value", [0.0, -3.0])
    def test_extremes(self, tmp_path: Path, shape: Any, value: float) -> None:
        values = np.full(shape, value)
        save_sheet(values, abs(values), "$_$ a_b^c {%}", tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


class TestOverview:
    def test_image_and_a_pair_of_maps_a_layer(self, figures: list[Figure], tmp_path: Path) -> None:
        values = [maps(4, 4), maps(2, 2), np.zeros((3, 3))]
        cells = [(f"layer {place}", own, abs(own)) for place, own in enumerate(values)]
        pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
        save_overview(pixels, cells, "a run", tmp_path / "x.png", columns=3)
        titled = [axes for axes in figures[0].axes if axes.get_title()]
        assert [axes.get_title() for axes in titled] == ["image", "layer 0", "layer 1", "layer 2"]
        np.testing.assert_array_equal(np.asarray(titled[0].images[0].get_array()), pixels[0])
        grid = np.array(figures[0].axes).reshape(4, 3)
        for place, own in enumerate(values, 1):
            above, below = (grid[2 * (place // 3) + half, place % 3] for half in (0, 1))
            np.testing.assert_array_equal(above.images[0].get_array(), own)
            np.testing.assert_array_equal(below.images[0].get_array(), abs(own))
            assert above.images[0].get_clim()[0] == -above.images[0].get_clim()[1]
        check_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("channels", [1, 3])
    def test_without_layers_that_have_maps(self, tmp_path: Path, channels: int) -> None:
        save_overview(np.eye(8, dtype=np.uint8)[None].repeat(channels, 0) * 255, [], "$_$", tmp_path / "x.png")
        check_picture(tmp_path / "x.png")


def test_a_path_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"x\.png"):
        save_sheet(maps(2, 3, 3), maps(2, 3, 3), "x", tmp_path / "nowhere" / "x.png")
    with pytest.raises(OSError, match=r"x\.png"):
        save_overview(maps(1, 3, 3), [("layer", maps(3, 3), maps(3, 3))], "x", tmp_path / "nowhere" / "x.png")


class TestFirstLayers:
    def test_a_row_an_image_and_a_scale_a_layer(self, figures: list[Figure], tmp_path: Path) -> None:
        pixels = [np.full((1, 6, 5), 40 * place, np.uint8) for place in range(3)]
        first, second = [maps(FEW_MAPS + 4, 6, 5) for _ in pixels], [10 * maps(3, 3, 2) for _ in pixels]
        images = [(f"image {place}", own) for place, own in enumerate(pixels)]
        save_first_layers(images, [("0 Conv2d", first), ("1 MaxPool2d", second)], tmp_path / "x.png")
        grid = np.reshape(np.array(figures[0].axes, dtype=object), (3, 3))
        for place, row in enumerate(grid):
            assert row[0].get_title() == f"image {place}"
            np.testing.assert_array_equal(row[0].images[0].get_array(), pixels[place][0])
            for axes, own, size in ((row[1], first, (6, 5)), (row[2], second, (3, 2))):
                shown = tiles(np.ma.filled(axes.images[0].get_array(), np.nan), *size)
                np.testing.assert_array_equal(shown, own[place][:FEW_MAPS])
                largest = max(abs(values[:FEW_MAPS]).max() for values in own)
                assert axes.images[0].get_clim() == (-largest, largest)
        assert grid[0, 2].get_title().startswith("1 MaxPool2d\n±")
        check_picture(tmp_path / "x.png")

    def test_a_long_name_of_an_image_stays_a_name(self, figures: list[Figure], tmp_path: Path) -> None:
        """It is no layer's label, which has its kind on a line of its own."""
        name = "case 7 " + "w" * 46 + "frontal"
        save_first_layers(
            [(name, np.zeros((3, 4, 4), np.uint8))], [("0 ReLU", [np.zeros((1, 4, 4))])], tmp_path / "x.png"
        )
        assert figures[0].axes[0].get_title() == "case 7 wwww…wwwwwfrontal"

    def test_layers_that_give_nothing_but_zeros(self, tmp_path: Path) -> None:
        save_first_layers(
            [("one", np.zeros((3, 4, 4), np.uint8))], [("0 ReLU", [np.zeros((1, 4, 4))])], tmp_path / "x.png"
        )
        check_picture(tmp_path / "x.png")
