"""How figures for publication look: width of a column of text, small type, colours for the colour-blind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2  # inches, the text width of most journals
DPI = 200
DPI_OF_RUN = 110  # of figures that every run draws, to be looked at on a screen
SMALL = 7  # points
MOST_OF_TITLE = 24  # signs of a name above a small panel
_MOST_OF_LABEL = 18  # signs
# Okabe and Ito's colours, told apart by the colour-blind too
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)  # of lines: yellow is too pale on white


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


def cut_middle(text: str, most: int) -> str:
    """A text in one line, without its middle where it has more than so many signs."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most // 2 - 1]}…{line[-(most - most // 2) :]}"


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


def tidy(axes: Axes, ylabel: str, xlabel: str = "", *, size: float = SMALL, grid: Literal["", "x", "y"] = "") -> None:
    """Small type, no box.

    Args:
        axes: of the figure.
        ylabel: taken literally, as xlabel is.
        xlabel: "" where there is none.
        size: of the type beside the ticks, in points; the labels have one more.
        grid: lines through the ticks of this axis.
    """
    axes.set_xlabel(xlabel, fontsize=size + 1, parse_math=False)
    axes.set_ylabel(ylabel, fontsize=size + 1, parse_math=False)
    axes.tick_params(labelsize=size)
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(axis=grid, linewidth=0.3, alpha=0.5)


def turn_labels(axes: Axes) -> None:
    """Write what stands under the ticks slantwise, its end at the tick."""
    for label in axes.get_xticklabels():
        label.set(rotation=45, ha="right", rotation_mode="anchor")
