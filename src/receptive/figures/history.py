"""How loss and score went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from receptive.figures.style import BLUE, VERMILION, new_figure, tidy

COLORS = {"train": BLUE, "val": VERMILION}
NAMES = {"train": "training", "val": "validation"}


def save_history(rows: Sequence[dict[str, float]], score: tuple[str, str], best_epoch: int, path: Path) -> None:
    """Draw loss and one score over the epochs, in training and in validation.

    Args:
        rows: one an epoch with "epoch" and, where there are any, train/loss, val/loss and the score.
        score: its keys in training and in validation; the first names the axis.
        best_epoch: marked with a line.
        path: of the PNG.
    """
    figure = new_figure(3.4, 9, of_run=True)
    for axes, keys in zip(figure.subplots(1, 2), (("train/loss", "val/loss"), score), strict=True):
        for split, key in zip(COLORS, keys, strict=True):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                marker = "o" if len(points) == 1 else None
                axes.plot(*zip(*points, strict=True), color=COLORS[split], label=NAMES[split], marker=marker)
        axes.axvline(best_epoch, color="grey", linewidth=0.8, linestyle=":", label=f"best, epoch {best_epoch}")
        tidy(axes, keys[0].partition("/")[2].replace("f1", "F1"), "epoch", size=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
