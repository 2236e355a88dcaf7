"""What was drawn, as matplotlib was told to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

COARSE = 40  # dots an inch


def check_picture(path: Path) -> None:
    """A PNG with something on it, of a size that fits a page, drawn with `coarse`."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture).std() > 0
        assert max(picture.size) <= 18 * COARSE


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with few dots, which are drawn several times faster."""
    monkeypatch.setattr("receptive.figures.style.DPI", COARSE)
    monkeypatch.setattr("receptive.figures.style.DPI_OF_RUN", COARSE)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    saved: list[Figure] = []

    def savefig(self: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(self)
        original(self, *arguments, **options)

    original = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved
