"""Images with contours: what matplotlib was told to draw, and the colours that come out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from tests.figures.conftest import COARSE

from receptive.figures.segmentation import (
    FALSE_ALARM,
    HIT,
    MISS,
    PREDICTION,
    TRUTH,
    Example,
    save_examples,
    save_single,
)

SCORES = {"f1": 0.5, "iou": 1 / 3, "precision": 1.0, "recall": 0.25}
ROWS, COLUMNS = np.mgrid[:64, :64]


def disc(down: float, across: float, radius: float) -> NDArray[Any]:
    return (ROWS - down) ** 2 + (COLUMNS - across) ** 2 < radius**2


def example(mask: NDArray[Any], predicted: NDArray[Any], channels: int = 1, name: str = "case") -> Example:
    """A phantom: a grey body with the mask's classes in it."""
    body = np.where(disc(32, 32, 30), 90, 20) + np.array([0, 100, 60])[mask.astype(int)]
    pixels = np.broadcast_to(body, (channels, 64, 64)).astype(np.uint8).copy()
    if channels == 3:
        pixels[2] //= 2
    return Example(name, SCORES, pixels, mask.astype(np.uint8), predicted.astype(np.int64))


PHANTOM = example(disc(32, 20, 10) | disc(32, 44, 10), disc(30, 21, 10) | disc(34, 43, 8))
EMPTY, FULL = np.zeros((64, 64), dtype=int), np.ones((64, 64), dtype=int)
CLASSES = disc(32, 20, 10) + 2 * disc(32, 44, 10)


def pixels_of(path: Path, color: Any) -> int:
    """The pixels of a picture that have a colour, nearly."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        shown = np.asarray(picture.convert("RGB"), dtype=int)
    return int((np.abs(shown - 255 * np.array(to_rgb(color))).sum(axis=-1) < 40).sum())


def outlines(figure: Figure, axes: int) -> list[tuple[str, tuple[float, ...]]]:
    """(colour, (left, top, right, bottom)) of each set of contours in an axes."""
    found = []
    for contours in figure.axes[axes].collections:
        [color] = contours.get_edgecolor()
        points = np.concatenate([path.vertices for path in contours.get_paths()])
        box = *points.min(axis=0), *points.max(axis=0)
        found.append(("truth" if np.allclose(color[:3], to_rgb(TRUTH)) else "prediction", box))
    return found


class TestColours:
    """Of pixels, which few dots would blend."""

    @pytest.mark.parametrize("channels", [1, 3])
    def test_both_colours_come_out(self, tmp_path: Path, channels: int) -> None:
        path = tmp_path / "x.png"
        save_examples([example(PHANTOM.mask, PHANTOM.predicted, channels)] * 3, "the first test images", path)
        legend_only = tmp_path / "y.png"
        save_examples([example(EMPTY, EMPTY, channels)] * 3, "the first test images", legend_only)
        for color in (TRUTH, PREDICTION):
            assert pixels_of(path, color) > pixels_of(legend_only, color) + 300

    def test_grey_is_shown_on_the_whole_scale(self, figures: list[Figure], tmp_path: Path) -> None:
        """A dim image stays dim beside the others; an image of one colour has no scale of its own."""
        flat = Example("flat", SCORES, np.full((1, 64, 64), 128, dtype=np.uint8), PHANTOM.mask, EMPTY)
        save_examples([flat], "x", tmp_path / "x.png")
        [image] = figures[0].axes[0].images
        assert image.get_clim() == (0, 255)
        assert pixels_of(tmp_path / "x.png", (128 / 255,) * 3) > 30_000


@pytest.mark.usefixtures("coarse")
class TestExamples:
    def test_contours_go_around_mask_and_prediction(self, figures: list[Figure], tmp_path: Path) -> None:
        shown = example(disc(20, 30, 8), disc(40, 30, 12))
        save_examples([shown], "first", tmp_path / "x.png")
        (truth, first), (prediction, second) = outlines(figures[0], 0)
        assert (truth, prediction) == ("truth", "prediction")
        assert first == pytest.approx((22, 12, 38, 28), abs=1)
        assert second == pytest.approx((18, 28, 42, 52), abs=1)

    @pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (3, (1, 3)), (4, (1, 4)), (5, (2, 4)), (8, (2, 4))])
    def test_a_grid_of_four_columns(
        self, figures: list[Figure], tmp_path: Path, count: int, grid: tuple[int, int]
    ) -> None:
        shown = [example(PHANTOM.mask, PHANTOM.predicted, name=f"case {number}") for number in range(count)]
        save_examples(shown, "all of them", tmp_path / "x.png")
        [figure] = figures
        assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid  # type: ignore[union-attr]
        titles = [axes.get_title() for axes in figure.axes if axes.images]
        assert titles == [f"case {number}   F1 0.500" for number in range(count)]
        assert figure.get_suptitle() == "all of them"
        with Image.open(tmp_path / "x.png") as picture:
            width, height = picture.size
        rows, columns = grid
        inches = 2.6 * columns + 0.2, 2.85 * rows + 0.75
        assert (width / COARSE, height / COARSE) == pytest.approx(inches, abs=0.03)

    def test_each_class_has_its_contour(self, figures: list[Figure], tmp_path: Path) -> None:
        save_examples([example(CLASSES, CLASSES.T)], "x", tmp_path / "x.png")
        found = outlines(figures[0], 0)
        assert [color for color, _ in found] == ["truth"] * 2 + ["prediction"] * 2
        assert found[0][1] == pytest.approx((10, 22, 30, 42), abs=1)
        assert found[1][1] == pytest.approx((34, 22, 54, 42), abs=1)

    @pytest.mark.parametrize("mask", [EMPTY, FULL], ids=["empty", "full"])
    @pytest.mark.parametrize("predicted", [EMPTY, FULL], ids=["empty", "full"])
    def test_where_there_is_no_border_none_is_drawn(
        self, figures: list[Figure], tmp_path: Path, mask: NDArray[Any], predicted: NDArray[Any]
    ) -> None:
        shown = example(mask, predicted)
        save_examples([shown], "x", tmp_path / "x.png")
        save_single(shown, ("background", "lungs"), tmp_path / "y.png")
        assert outlines(figures[0], 0) == outlines(figures[1], 1) == []

    def test_colours_are_shown_as_they_are(self, figures: list[Figure], tmp_path: Path) -> None:
        save_examples([example(EMPTY, EMPTY, channels=3)], "x", tmp_path / "x.png")
        shown = np.asarray(figures[0].axes[0].images[0].get_array())
        assert shown.shape == (64, 64, 3)
        assert tuple(shown[0, 0]) == (20, 20, 10)

    @pytest.mark.parametrize("name", ["$_$", "a_b^c {%}", "Röntgen 1"])
    def test_any_name_can_be_drawn(self, tmp_path: Path, name: str) -> None:
        shown = example(PHANTOM.mask, PHANTOM.predicted, name=name)
        save_examples([shown], "x", tmp_path / "x.png")
        save_single(shown, ("background", name), tmp_path / "y.png")
        assert (tmp_path / "x.png").is_file() and (tmp_path / "y.png").is_file()

    def test_a_long_name_leaves_room_for_the_score(self, figures: list[Figure], tmp_path: Path) -> None:
        """File names may be long; the titles stay in their columns."""
        names = ["a" * 24, "patient_0001_" + "w" * 60 + "_frontal_1"]
        save_examples([example(EMPTY, EMPTY, name=name) for name in names], "x", tmp_path / "x.png")
        titles = [axes.get_title() for axes in figures[0].axes if axes.images]
        assert titles[0] == f"{names[0]}   F1 0.500"
        assert titles[1].startswith("patient_000") and titles[1].endswith("_frontal_1   F1 0.500")
        assert len(titles[1]) <= len(titles[0])

    def test_a_score_that_is_none(self, tmp_path: Path) -> None:
        shown = Example("case", dict.fromkeys(SCORES, float("nan")), PHANTOM.pixels, EMPTY, EMPTY)
        save_examples([shown], "x", tmp_path / "x.png")
        save_single(shown, ("background", "lungs"), tmp_path / "y.png")


@pytest.mark.usefixtures("coarse")
class TestSingle:
    def test_image_contours_and_errors(self, figures: list[Figure], tmp_path: Path) -> None:
        shown = example(disc(20, 30, 8), disc(20, 36, 8))
        save_single(shown, ("background", "lungs"), tmp_path / "x.png")
        plain, _, errors = figures[0].axes
        assert len(plain.images) == 1 and outlines(figures[0], 0) == []
        assert [color for color, _ in outlines(figures[0], 1)] == ["truth", "prediction"]
        assert figures[0].get_suptitle().strip() == "case   F1 0.500   IoU 0.333   precision 1.000   recall 0.250"
        assert errors.get_title() == "pixels of lungs"
        with Image.open(tmp_path / "x.png") as picture:
            assert picture.size == (10.2 * COARSE, 4.3 * COARSE)

    def test_errors_have_the_colour_of_their_kind(self, figures: list[Figure], tmp_path: Path) -> None:
        mask, predicted = np.zeros((2, 64, 64), dtype=int)
        #            right  missed  false alarm  one class for another  background
        mask[0, :5] = [1, 2, 0, 1, 0]
        predicted[0, :5] = [1, 0, 2, 2, 0]
        save_single(example(mask, predicted), ("background", "lungs", "heart"), tmp_path / "x.png")
        errors = figures[0].axes[2]
        colours = np.asarray(errors.images[1].get_array())[0, :5]
        assert [tuple(colour[:3]) for colour in colours] == [HIT, MISS, FALSE_ALARM, MISS, (0, 0, 0)]
        assert (colours[:, 3] > 0).tolist() == [True, True, True, True, False]
        assert errors.get_title() == "pixels of lungs, heart"
        told = {handle.get_label(): handle.get_facecolor()[:3] for handle in errors.get_legend().get_patches()}  # type: ignore[union-attr]
        assert told == {"right": HIT, "not in the mask": FALSE_ALARM, "missed or another class": MISS}


@pytest.mark.parametrize("draw", [save_examples, save_single])
def test_a_path_that_cannot_be_written_is_an_oserror(tmp_path: Path, draw: Any) -> None:
    path = tmp_path / "nowhere" / "x.png"
    arguments = ([PHANTOM], "title") if draw is save_examples else (PHANTOM, ("background", "lungs"))
    with pytest.raises(OSError, match=r"x\.png"):
        draw(*arguments, path)
