"""Networks over time and side by side: how layers go in training, and the layers of several nets in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from receptive.figures.activations import label_layers, tidy
from receptive.figures.style import COLORS, SMALL, new_figure

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
        if key == "mean":
            largest = float(np.nanmax(np.abs(values))) or 1.0
            norm: Normalize = Normalize(-largest, largest)
        else:
            positive = values[values > 0]
            low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
            norm = LogNorm(low, max(high, low * 1.01))
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
        figure.colorbar(image, ax=axes, location="bottom", aspect=25).ax.tick_params(labelsize=SMALL)
    panels[0].set_yticks(range(len(labels)), labels, fontsize=SMALL - 1, parse_math=False)
    figure.suptitle(
        "activations of the same held-out images at the end of each epoch; gradient norm: mean over its steps",
        fontsize=SMALL + 1,
    )
    figure.savefig(path)


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
        for (network, (mean, std)), color in zip(networks.items(), _colors(), strict=False):
            _draw_network(axes, network, mean, std, color)
        tidy(axes, quantity)
    grid[0].legend(
        fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(3, len(grid[0].lines))
    )
    label_layers(grid[-1], labels)
    figure.suptitle(title, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def _colors() -> Sequence[str]:
    return COLORS * 4


def _draw_network(axes: Axes, network: str, mean: Array, std: Array, color: str) -> None:
    places = np.flatnonzero(~np.isnan(mean))
    axes.plot(places, mean[places], "o-", markersize=3, linewidth=0.9, color=color, label=network)
    spread = np.nan_to_num(std[places])
    axes.fill_between(places, mean[places] - spread, mean[places] + spread, color=color, alpha=0.25, linewidth=0)
