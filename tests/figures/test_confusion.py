"""The confusion matrix as matplotlib was told to draw it, against scikit-learn's shares."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from receptive.figures.confusion import save_confusion_matrix


def test_cells_are_shares_of_the_true_class(figures: list[Figure], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 50)
    predicted = np.where(random.random(50) < 0.4, truth, random.integers(0, 3, 50))
    path = tmp_path / "matrix.png"
    save_confusion_matrix(confusion_matrix(truth, predicted).tolist(), ["ant", "bee", "cicada"], path)
    [figure] = figures
    axes = figure.axes[0]
    shares = confusion_matrix(truth, predicted, normalize="true")
    [image] = axes.images
    assert np.asarray(image.get_array()) == pytest.approx(shares)
    assert image.get_clim() == (0, 1)
    names = ["ant", "bee", "cicada"]
    assert [text.get_text() for text in axes.get_xticklabels()] == names
    assert [text.get_text() for text in axes.get_yticklabels()] == names
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {
        (column, row): f"{100 * share:.0f}" for (row, column), share in np.ndenumerate(shares) if share >= 0.005
    }
    right = 100 * np.mean(truth == predicted)
    assert axes.get_title().startswith(f"{right:.2f} % of 50 images right")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture).std() > 0


def test_a_class_without_images_is_an_empty_row(figures: list[Figure], tmp_path: Path) -> None:
    save_confusion_matrix([[3, 1], [0, 0]], ["a", "b"], tmp_path / "matrix.png")
    assert np.asarray(figures[0].axes[0].images[0].get_array()).tolist() == [[0.75, 0.25], [0, 0]]


def test_no_images_at_all_is_no_error(figures: list[Figure], tmp_path: Path) -> None:
    save_confusion_matrix([[0, 0], [0, 0]], ["a", "b"], tmp_path / "matrix.png")
    assert figures[0].axes[0].get_title().startswith("0.00 % of 0 images right")


def test_many_classes_are_drawn_without_figures_in_the_cells(figures: list[Figure], tmp_path: Path) -> None:
    save_confusion_matrix(np.eye(43, dtype=int).tolist(), [str(label) for label in range(43)], tmp_path / "m.png")
    axes = figures[0].axes[0]
    assert not axes.texts
    assert len(axes.get_yticklabels()) == 43
    with Image.open(tmp_path / "m.png") as picture:
        assert max(picture.size) < 2000


@pytest.mark.parametrize(
    "names",
    [
        ["stripes", "checks", "dots"],
        ["a", "b"],
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        ["no", "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWW"],
        [f"Tomato, yellow leaf curl virus {number}" for number in range(43)],
    ],
    ids=lambda names: f"{len(names)} {names[0]}",
)
def test_nothing_is_cut_off(figures: list[Figure], tmp_path: Path, names: list[str]) -> None:
    save_confusion_matrix((1234 * np.eye(len(names), dtype=int)).tolist(), names, tmp_path / "matrix.png")
    [figure] = figures
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height
    assert drawn.width > width - 1 and drawn.height > height - 0.5  # nor is much left free


def test_any_class_name_can_be_drawn(tmp_path: Path) -> None:
    """Names come from folders: what matplotlib takes for mathematics must not end a run."""
    save_confusion_matrix([[1, 0], [0, 1]], ["$_$", "a_b^c {%}"], tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").is_file()


def test_nothing_global_is_left_behind(tmp_path: Path) -> None:
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    save_confusion_matrix([[1]], ["a"], tmp_path / "matrix.png")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_path_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"matrix\.png"):
        save_confusion_matrix([[1]], ["a"], tmp_path / "nowhere" / "matrix.png")
