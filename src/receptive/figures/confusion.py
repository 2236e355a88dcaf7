"""The confusion matrix of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

TITLE = 9  # points


def save_confusion_matrix(matrix: Sequence[Sequence[int]], class_names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix as shares of each true class.

    Args:
        matrix: (classes, classes) counts; rows are the true classes, columns the predicted.
        class_names: one a row.
        path: of the PNG.
    """
    from matplotlib.figure import Figure  # heavy; without pyplot nothing global is left behind

    counts = np.asarray(matrix, dtype=float)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    classes = len(counts)
    right = counts.trace() / max(counts.sum(), 1)
    title = f"{100 * right:.2f} % of {int(counts.sum()):,} images right; cells: % of the true class"
    scale = classes > 12  # a colour bar; with fewer classes the cells say their shares in figures
    size = 8 if classes <= 20 else 6
    # in inches, placed by hand: a layout engine would draw everything twice
    plane = min(9.0, 2.2 + 0.26 * classes)
    below = max(_width(name, size) for name in class_names) + 0.5
    beside = (_width(title, TITLE) - plane) / 2 + 0.1  # the title is wider than few classes
    before, behind = max(below, beside), max(0.95 if scale else 0.15, beside)
    width, height = before + plane + behind, below + plane + 0.4
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((before / width, below / height, plane / width, plane / height))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_xticks(range(classes), class_names, parse_math=False, rotation=90, fontsize=size)
    axes.set_yticks(range(classes), class_names, parse_math=False, fontsize=size)
    if not scale:
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            axes.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                color="white" if share > 0.5 else "black",
            )  # fmt: skip
    axes.set_title(title, fontsize=TITLE, y=1.01)  # with y, matplotlib does not look for a place among all labels
    if scale:
        figure.colorbar(
            image, cax=figure.add_axes(((before + plane + 0.15) / width, below / height, 0.25 / width, plane / height))
        )
    figure.savefig(path, dpi=120, pil_kwargs={"compress_level": 1})  # a fifth of the time, for some kilobytes


def _width(text: str, size: float) -> float:
    """Of a line of text of so many points, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    points, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(points) / 72
