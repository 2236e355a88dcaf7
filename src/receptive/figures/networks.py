"""Networks over time and side by side: how layers go in training, and the layers of several nets in one figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from receptive.figures.style import COLORS, SMALL, fold_labels, label_layers, new_figure, show_pixels, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]


def save_training(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    """Draw mean, deviation and gradient norm of every layer over the epochs, a row a layer.

    Args:
        rows: of activations.csv: epoch, label, mean, std, gradient_norm (empty where a layer has none).
        path: of the PNG.
    """
    from matplotlib.colors import LogNorm, Normalize

    labels = list(dict.fromkeys(row["label"] for row in rows))
    epochs = sorted({int(row["epoch"]) for row in rows})
    figure = new_figure(0.15 * len(labels) + 1.4)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (key, name) in zip(
        panels, {"mean": "mean", "std": "standard deviation", "gradient_norm": "gradient norm"}.items(), strict=True
    ):
        values = np.full((len(labels), len(epochs)), np.nan)
        for row in rows:
            if row[key]:
                values[labels.index(row["label"]), epochs.index(int(row["epoch"]))] = float(row[key])
        low, high = _limits(values, key == "mean")
        norm = Normalize(low, high) if key == "mean" else LogNorm(low, high)
        shown = values if key == "mean" else np.ma.masked_invalid(np.where(values > 0, values, np.nan))
        image = axes.imshow(
            shown, aspect="auto", cmap="RdBu_r" if key == "mean" else "viridis", norm=norm, interpolation="nearest",
            extent=(epochs[0] - 0.5, epochs[-1] + 0.5, len(labels) - 0.5, -0.5),
        )  # fmt: skip
        axes.set_facecolor("0.9")
        axes.set_title(name, fontsize=SMALL + 1)
        axes.set_xlabel("epoch", fontsize=SMALL + 1)
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.get_major_locator().set_params(integer=True)
        bar = figure.colorbar(image, ax=axes, location="bottom", aspect=25)
        bar.ax.minorticks_off()
        ticks = [low, 0.0 if key == "mean" else float(np.sqrt(low * high)), high]
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
        bar.ax.tick_params(labelsize=SMALL)
        left, _, right = bar.ax.get_xticklabels()  # within the bar: neighbours' ends would meet
        left.set_horizontalalignment("left")
        right.set_horizontalalignment("right")
    panels[0].set_yticks(range(len(labels)), labels, fontsize=SMALL - 1, parse_math=False)
    figure.suptitle(
        "activations of the same held-out images at the end of each epoch; gradient norm: mean over its steps",
        fontsize=SMALL + 1,
    )
    figure.savefig(path)


def _limits(values: Array, signed: bool) -> tuple[float, float]:
    """Of the colour scale: around zero, or of the positive values."""
    if signed:
        largest = float(np.nanmax(np.abs(values))) or 1.0
        return -largest, largest
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (0.1, 1.0)
    return low, max(high, low * 1.01)


def save_comparison(
    labels: Sequence[str],
    panels: Mapping[str, Mapping[str, tuple[Array, Array]]],
    title: str,
    path: Path,
) -> None:
    """Draw quantities of several networks layer by layer.

    Args:
        labels: of the layers, in the order of all networks together.
        panels: quantity -> network -> mean and deviation over its runs, one a layer; NaN where a network has not got
            the layer.
        title: of the figure.
        path: of the PNG.
    """
    figure = new_figure(1.35 * len(panels) + 1.6)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False).ravel()
    for axes, (quantity, networks) in zip(grid, panels.items(), strict=True):
        for (network, (mean, std)), color in zip(networks.items(), itertools.cycle(COLORS), strict=False):
            _draw_network(axes, network, mean, std, color)
        tidy(axes, quantity, grid="x")
    legend = grid[0].legend(
        fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(3, len(grid[0].lines))
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    label_layers(grid[-1], labels)
    figure.suptitle(title, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def _draw_network(axes: Axes, network: str, mean: Array, std: Array, color: str) -> None:
    places = np.flatnonzero(~np.isnan(mean))
    axes.plot(places, mean[places], "o-", markersize=3, linewidth=0.9, color=color, label=network)
    spread = np.nan_to_num(std[places])
    axes.fill_between(places, mean[places] - spread, mean[places] + spread, color=color, alpha=0.25, linewidth=0)


def save_side_by_side(
    pixels: Array, networks: Mapping[str, Sequence[tuple[str, Array] | None]], title: str, path: Path, columns: int = 8
) -> None:
    """Draw a map a layer for several networks, one network under the other.

    Args:
        pixels: (C, H, W) uint8 of the image.
        networks: name -> (label, map (H, W)) of each common layer, None where it has none.
        title: of the figure.
        path: of the PNG.
        columns: of the grid, the first for the networks' names.
    """
    drawn = [place for place, cells in enumerate(zip(*networks.values(), strict=True)) if any(cells)]
    across = columns - 1
    blocks = max(1, -(-len(drawn) // across))  # without any map the image alone
    height = len(networks)
    names = iter(fold_labels([cell[0] for cells in networks.values() for cell in cells if cell is not None]))
    networks = {name: [cell and (next(names), cell[1]) for cell in cells] for name, cells in networks.items()}
    figure = new_figure(blocks * (1.02 * height + 0.15) + 0.6)
    grid = figure.subplots(blocks * height, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for block in range(blocks):
        for line, (name, cells) in enumerate(networks.items()):
            row = grid[block * height + line]
            if not block and not line:
                show_pixels(row[0], pixels)
                row[0].set_title(name, fontsize=SMALL, parse_math=False, pad=2)
            else:
                row[0].text(
                    0.5, 0.5, name.replace(", ", "\n"), fontsize=SMALL, ha="center", va="center", parse_math=False
                )
            for axes, place in zip(row[1:], drawn[block * across : (block + 1) * across], strict=False):
                if (cell := cells[place]) is not None:
                    label, values = cell
                    axes.imshow(values, cmap="magma", vmin=0, vmax=float(values.max()) or 1.0)
                    axes.set_title(f"{label}\n0 to {values.max():.2g}", fontsize=SMALL - 2, parse_math=False, pad=2)
    figure.suptitle(title, fontsize=SMALL + 1, parse_math=False)
    figure.savefig(path)
