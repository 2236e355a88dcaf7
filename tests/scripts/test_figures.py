"""The figures of results/checks: drawn from tables, the same every time, and of the numbers that are committed."""

import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.scripts.conftest import write_run

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.edition import figures  # noqa: E402

COMMITTED = sorted((ROOT / "results" / figures.FOLDER).glob("*.png"))


def lines(figure: Figure) -> list[dict[str, list[float]]]:
    """Of each panel the lines, by their name."""
    return [{line.get_label(): list(line.get_ydata()) for line in axes.get_lines()} for axes in figure.axes]


def test_means_and_ranges_are_drawn(results: Path) -> None:
    shown = figures.panels(results)
    layers = figures.draw("layers", shown["layers"])
    a, b = "net A, plain", "net B, batch normalisation"
    sizes, zeros, classes, picture = lines(layers)
    assert sizes == {a: [2, 20], b: [2, 20]}
    assert zeros[a] == [0.02, 0.2]
    assert classes[a] == pytest.approx([2, 20])  # percent
    assert picture[b] == pytest.approx([0.98, 0.8])
    band = layers.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (min(band), max(band), set(band)) == (1, 30, {1, 3, 10, 30})
    [gradients] = lines(figures.draw("gradients", shown["gradients"]))
    assert gradients == {a: [4, 6], b: [4, 6]}
    assert "mean of 2 seeds" in layers.get_suptitle()


def test_the_same_tables_give_the_same_files(results: Path) -> None:
    written = figures.write(results)
    assert [path.relative_to(results) for path in written] == [
        *(figures.FOLDER / "layers.png", figures.FOLDER / "gradients.png")
    ]
    before = [path.read_bytes() for path in written]
    assert figures.write(results) == []
    for path in written:
        path.unlink()
    assert [path.read_bytes() for path in figures.write(results)] == before
    write_run(results, "a", 2, 4.0)
    assert figures.write(results) == written


def test_nothing_without_runs(tmp_path: Path) -> None:
    assert figures.write(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_figure_shows_the_committed_numbers(path: Path) -> None:
    """`python scripts/results.py write` draws it anew."""
    with Image.open(path) as picture:
        assert picture.text == {"Comment": figures.mark(figures.panels(ROOT / "results")[path.stem])}


def test_all_are_committed() -> None:
    assert {path.stem for path in COMMITTED} == set(figures.panels(ROOT / "results"))
