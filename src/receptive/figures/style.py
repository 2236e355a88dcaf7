"""How figures for publication look: width of a column of text, small type, colours for the colour-blind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2  # inches, the text width of most journals
DPI = 200
DPI_OF_RUN = 110  # of figures that every run draws, to be looked at on a screen
SMALL = 7  # points
_MOST_OF_LABEL, _MOST_OF_NAME = 18, 24  # signs
# Okabe and Ito's
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def new_figure(height: float, width: float = WIDTH, *, of_run: bool = False) -> Figure:
    """A figure with so many inches; without pyplot nothing global is left behind.

    Args:
        height: in inches.
        width: in inches.
        of_run: drawn by every run, with fewer dots.
    """
    from matplotlib.figure import Figure  # heavy

    return Figure(figsize=(width, height), layout="constrained", dpi=DPI_OF_RUN if of_run else DPI)


def fold_labels(labels: Sequence[str]) -> list[str]:
    """Labels ("encoder.0.1 BatchNorm2d") for titles of small panels: name above kind where one is longer than 18 signs.

    Of a name that is longer even so the end is kept.
    """
    if all(len(label) <= _MOST_OF_LABEL for label in labels):
        return list(labels)
    pairs = [label.rpartition(" ") for label in labels]
    return [
        f"{name if len(name) <= _MOST_OF_LABEL else '…' + name[1 - _MOST_OF_LABEL :]}\n{kind}"
        for name, _, kind in pairs
    ]


def short_name(name: str) -> str:
    """An image's name for the title of a small panel: one of more than 24 signs without its middle."""
    half = _MOST_OF_NAME // 2
    return name if len(name) <= _MOST_OF_NAME else f"{name[: half - 1]}…{name[-half:]}"


def show_pixels(axes: Axes, pixels: NDArray[Any]) -> None:
    """Show an image (C, H, W) uint8 with one or three channels."""
    if len(pixels) == 3:
        axes.imshow(pixels.transpose(1, 2, 0))
    else:
        axes.imshow(pixels[0], cmap="gray", vmin=0, vmax=255)


def label_layers(axes: Axes, labels: Sequence[str]) -> None:
    """Write a label under every layer, and a line through each so that the eye finds it."""
    size = SMALL if len(labels) <= 45 else max(3.0, SMALL * 45 / len(labels))
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size, parse_math=False)
    axes.set_xlim(-0.6, len(labels) - 0.4)


def tidy(axes: Axes, ylabel: str) -> None:
    """Small type, no box."""
    axes.set_ylabel(ylabel, fontsize=SMALL + 1)
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", linewidth=0.3, alpha=0.5)
