"""The confusion matrix of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


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
    side = min(12.0, 3.0 + 0.32 * classes)
    scale = classes > 12  # a colour bar; with fewer classes the cells say their shares in figures
    figure = Figure(figsize=(side + 0.8 if scale else side, side))
    # placed by hand: a layout engine would draw everything twice
    axes = figure.add_axes((0.17, 0.14, 0.68, 0.78) if scale else (0.19, 0.14, 0.78, 0.78))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_xticks(range(classes), class_names, parse_math=False, rotation=90, fontsize=8 if classes <= 20 else 6)
    axes.set_yticks(range(classes), class_names, parse_math=False, fontsize=8 if classes <= 20 else 6)
    if not scale:
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            axes.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                color="white" if share > 0.5 else "black",
            )  # fmt: skip
    right = counts.trace() / max(counts.sum(), 1)
    title = f"{100 * right:.2f} % of {int(counts.sum()):,} images right; cells: % of the true class"
    axes.set_title(title, fontsize=9, y=1.01)  # with y, matplotlib does not look for a place among all labels
    if scale:
        figure.colorbar(image, cax=figure.add_axes((0.88, 0.14, 0.025, 0.78)))
    figure.savefig(path, dpi=120, pil_kwargs={"compress_level": 1})  # a fifth of the time, for some kilobytes
