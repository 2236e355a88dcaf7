"""What was drawn, as matplotlib was told to."""

from typing import Any

import pytest
from matplotlib.figure import Figure

COARSE = 40  # dots an inch


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures for publication with few dots, which are drawn several times faster."""
    monkeypatch.setattr("receptive.figures.style.DPI", COARSE)


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
