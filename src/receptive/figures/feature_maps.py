"""Feature maps as pictures: every channel of a layer, and the averages over the channels of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from receptive.figures.style import MOST_OF_TITLE, SMALL, WIDTH, cut_middle, fold_labels, new_figure, show_pixels

Array = NDArray[Any]

MOST_MAPS = 256  # of a sheet
FEW_MAPS = 16  # of several layers together
RAW, ABSOLUTE = "RdBu_r", "magma"


def save_sheet(raw: Array, absolute: Array, title: str, path: Path) -> None:
    """Draw all channels of a layer twice: with their sign, and their absolute values; each on one colour scale.

    Args:
        raw: (C, H, W), or (C,) of a layer without maps.
        absolute: the same shape; of a single image |raw|, of an average the mean of |x|.
        title: of the figure.
        path: of the PNG.
    """
    channels = len(raw)
    raw, absolute = (
        maps[:MOST_MAPS] if maps.ndim == 3 else maps[:MOST_MAPS].reshape(min(channels, MOST_MAPS), -1, 1)
        for maps in (raw, absolute)
    )
    left, right = _mosaic(raw), _mosaic(absolute)
    figure = new_figure(min(9.5, (WIDTH / 2 - 0.45) * left.shape[0] / left.shape[1] + 0.85))
    scale = float(np.abs(raw).max()) or 1.0
    for axes, mosaic, name, cmap, low in zip(
        figure.subplots(1, 2), (left, right), ("raw", "absolute"), (RAW, ABSOLUTE), (-scale, 0.0), strict=True
    ):
        axes.set_axis_off()
        high = scale if low else float(absolute.max()) or 1.0
        image = axes.imshow(mosaic, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(name, fontsize=SMALL + 1)
        bar = figure.colorbar(image, ax=axes, location="bottom", pad=0.02, shrink=0.9, aspect=35)
        bar.ax.tick_params(labelsize=SMALL)
        bar.set_label("activation", fontsize=SMALL)
    shown = f"; the first {MOST_MAPS} of {channels} channels" if channels > MOST_MAPS else ""
    figure.suptitle(title + shown, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def _mosaic(maps: Array) -> Array:
    """From (C, H, W) to one picture of all, NaN between them; nearly square."""
    count, height, width = maps.shape
    columns = int(np.ceil(np.sqrt(count * height / width)))
    rows = -(-count // columns)
    gap = max(1, height // 16)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for place, values in enumerate(maps):
        top, left = (height + gap) * (place // columns), (width + gap) * (place % columns)
        sheet[top : top + height, left : left + width] = values
    return sheet


def save_first_layers(
    images: Sequence[tuple[str, Array]], layers: Sequence[tuple[str, Sequence[Array]]], path: Path
) -> None:
    """Draw a row an image: itself, then the channels of some layers; a layer has one colour scale for all images.

    Args:
        images: (name, pixels (C, H, W) uint8) of each.
        layers: (label, an array (C, H, W) an image) of each; at most FEW_MAPS channels are drawn.
        path: of the PNG.
    """
    columns = 1 + len(layers)
    figure = new_figure(WIDTH / columns * len(images) + 0.8)
    grid = figure.subplots(len(images), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (name, pixels) in zip(grid[:, 0], images, strict=True):
        show_pixels(axes, pixels)
        axes.set_title(cut_middle(name, MOST_OF_TITLE), fontsize=SMALL - 1, parse_math=False, pad=2)
    labels = fold_labels([label for label, _ in layers])
    for column, (label, (_, maps)) in enumerate(zip(labels, layers, strict=True), 1):
        drawn = [own[:FEW_MAPS] for own in maps]
        scale = max(float(np.abs(own).max()) for own in drawn) or 1.0
        for axes, own in zip(grid[:, column], drawn, strict=True):
            axes.imshow(_mosaic(own), cmap=RAW, vmin=-scale, vmax=scale, interpolation="nearest")
        grid[0, column].set_title(f"{label}\n±{scale:.2g}", fontsize=SMALL - 1, parse_math=False, pad=2)
    figure.suptitle(
        f"the first layers: red > 0 > blue, at most {FEW_MAPS} channels of each", fontsize=SMALL + 1, parse_math=False
    )
    figure.savefig(path)


def save_overview(
    pixels: Array, layers: Sequence[tuple[str, Array, Array]], title: str, path: Path, columns: int = 8
) -> None:
    """Draw one map a layer, the average over its channels (R2.16): with sign above, of the absolute values below.

    Args:
        pixels: (C, H, W) uint8 of the image itself, which comes first.
        layers: (label, average (H, W), average of the absolute values (H, W)) of each.
        title: of the figure.
        path: of the PNG.
        columns: of the grid.
    """
    rows = -(-(1 + len(layers)) // columns)
    figure = new_figure(2.1 * rows + 0.5)
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    show_pixels(grid[0, 0], pixels)
    grid[0, 0].set_title("image", fontsize=SMALL - 1.5, pad=2)
    labels = fold_labels([label for label, _, _ in layers])
    for place, (label, (_, raw, absolute)) in enumerate(zip(labels, layers, strict=True), 1):
        above, below = (grid[2 * (place // columns) + half, place % columns] for half in (0, 1))
        above.set_title(label, fontsize=SMALL - 1.5, parse_math=False, pad=2)
        scale = float(np.abs(raw).max()) or 1.0
        above.imshow(raw, cmap=RAW, vmin=-scale, vmax=scale)
        below.imshow(absolute, cmap=ABSOLUTE, vmin=0, vmax=float(absolute.max()) or 1.0)
        for axes, said in ((above, f"±{scale:.2g}"), (below, f"0 to {absolute.max():.2g}")):
            axes.text(0.5, -0.02, said, transform=axes.transAxes, fontsize=SMALL - 2, ha="center", va="top")
    figure.suptitle(
        f"{title}\naverage over the channels: above of the activations (red > 0 > blue), below of the absolute values",
        fontsize=SMALL + 1, parse_math=False,
    )  # fmt: skip
    figure.savefig(path)
