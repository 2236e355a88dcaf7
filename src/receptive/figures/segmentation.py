"""Images with the contours of their masks, and a closer look at a single one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from receptive.figures.style import MOST_OF_TITLE, cut_middle, new_figure, show_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH, PREDICTION = "#35d0ff", "#ff4fa3"  # told apart by the colour-blind too, on black and on white
COLUMNS = 4  # of the grid of images
_WRITTEN = {"f1": "F1", "iou": "IoU"}
HIT, FALSE_ALARM, MISS = (0.25, 0.75, 0.35), (0.90, 0.30, 0.55), (0.20, 0.65, 0.95)


@dataclass(frozen=True, eq=False)
class Example:
    """An image with its masks.

    Args:
        name: of the image.
        scores: name -> score of the prediction; "f1" is one of them.
        pixels: (C, H, W) uint8, one or three channels.
        mask: (H, W) classes.
        predicted: (H, W) classes.
    """

    name: str
    scores: dict[str, float]
    pixels: NDArray[Any]
    mask: NDArray[Any]
    predicted: NDArray[Any]


def save_examples(examples: Sequence[Example], title: str, path: Path) -> None:
    """Draw images in a grid, each with the contours of its mask and of its prediction.

    Args:
        examples: one at least.
        title: of the figure.
        path: of the PNG.
    """
    columns = min(COLUMNS, len(examples))
    rows = -(-len(examples) // columns)
    figure = new_figure(2.85 * rows + 0.75, 2.6 * columns + 0.2, of_run=True)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, example in zip(figure.axes, examples, strict=False):
        _draw_contours(axes, example)
        axes.set_title(
            f"{cut_middle(example.name, MOST_OF_TITLE)}   F1 {example.scores['f1']:.3f}", fontsize=8, parse_math=False
        )
    figure.suptitle(title, fontsize=10)
    _contour_legend(figure)
    figure.savefig(path)


def save_single(example: Example, class_names: Sequence[str], path: Path) -> None:
    """Draw one image: as it is, with contours, and where mask and prediction differ.

    Args:
        example: the image.
        class_names: the background first.
        path: of the PNG.
    """
    from matplotlib.patches import Patch

    figure = new_figure(4.3, 10.2, of_run=True)
    plain, contours, errors = figure.subplots(1, 3)
    for axes in (plain, contours, errors):
        axes.set_axis_off()
    show_pixels(plain, example.pixels)
    plain.set_title("image", fontsize=9)
    _draw_contours(contours, example)
    contours.set_title("contours", fontsize=9)
    show_pixels(errors, example.pixels)
    errors.imshow(_errors(example.mask, example.predicted))
    errors.set_title(f"pixels of {', '.join(class_names[1:])}", fontsize=9, parse_math=False)
    errors.legend(
        handles=[
            Patch(color=HIT, label="right"), Patch(color=FALSE_ALARM, label="not in the mask"),
            Patch(color=MISS, label="missed or another class"),
        ],
        loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, fontsize=7, frameon=False,
        handlelength=1, columnspacing=1,
    )  # fmt: skip
    scores = "   ".join(f"{_WRITTEN.get(name, name)} {value:.3f}" for name, value in example.scores.items())
    figure.suptitle(f"{example.name}   {scores}\n", fontsize=10, parse_math=False)
    _contour_legend(figure)
    figure.savefig(path)


def _draw_contours(axes: Axes, example: Example) -> None:
    show_pixels(axes, example.pixels)
    for classes, color, style in ((example.mask, TRUTH, "solid"), (example.predicted, PREDICTION, "dashed")):
        for label in np.unique(classes[classes > 0]):
            if not (classes == label).all():  # no border to draw
                axes.contour(classes == label, levels=[0.5], colors=color, linestyles=style, linewidths=1.1)


def _errors(mask: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any]:
    """(H, W, 4) colours in [0, 1]: transparent where both have the background."""
    colours = np.zeros((*mask.shape, 4))
    right = (mask == predicted) & (mask > 0)
    for where, colour in ((right, HIT), ((mask == 0) & (predicted > 0), FALSE_ALARM), ((mask > 0) & ~right, MISS)):
        colours[where] = (*colour, 0.35 if colour == HIT else 0.85)
    return colours


def _contour_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    figure.legend(
        handles=[
            Line2D([], [], color=TRUTH, label="ground truth"),
            Line2D([], [], color=PREDICTION, linestyle="dashed", label="prediction"),
        ],
        loc="outside lower center", ncols=2, fontsize=8, frameon=False, facecolor="black",
    )  # fmt: skip
