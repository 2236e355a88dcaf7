"""What the layers of a network give, layer by layer: profiles, histograms, channels, correlations, probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from receptive.figures.style import COLORS, SMALL, fold_labels, label_layers, new_figure, tidy

Array = NDArray[Any]

# of layers.csv -> what it is called in a figure
SHARES = {
    "zeros": "exactly 0",
    "near_zeros": "near 0",
    "dark": "dark pixels",
    "blank": "blank maps",
}
COLUMNS, COLUMNS_OF_MATRICES = 4, 6  # of the grids of histograms and of correlations
LOWEST = -0.1  # of the shares that are drawn: probes of few images can be worse than the mean without bound


def save_profile(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], title: str, path: Path) -> None:
    """Draw mean, deviation and mean absolute activation of every layer, and its shares of zeros and of dark.

    Args:
        rows: one a layer: mean, std, mean_absolute, and the keys of SHARES.
        labels: of the layers.
        title: of the figure.
        path: of the PNG.
    """
    figure = new_figure(5.4)
    sizes, shares = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(rows))
    mean, std, absolute = (
        np.array([row[key] for row in rows], dtype=float) for key in ("mean", "std", "mean_absolute")
    )
    sizes.axhline(0, color="grey", linewidth=0.5)
    sizes.errorbar(
        places, mean, std, fmt="o", markersize=3, color=COLORS[0], elinewidth=0.8, capsize=2,
        label="mean ± standard deviation of the activations",
    )  # fmt: skip
    sizes.plot(places, absolute, "s-", markersize=3, linewidth=0.8, color=COLORS[1], label="mean absolute activation")
    tidy(sizes, "activation", grid="x")
    for (key, name), color in zip(SHARES.items(), COLORS, strict=False):
        shares.plot(places, [row[key] for row in rows], "o-", markersize=3, linewidth=0.8, color=color, label=name)
    tidy(shares, "share", grid="x")
    shares.set_ylim(-0.03, 1.03)
    for axes in (sizes, shares):
        axes.legend(fontsize=SMALL, frameon=False, ncols=2 if axes is sizes else len(SHARES), loc="lower left",
                    bbox_to_anchor=(0, 1.0))  # fmt: skip
    label_layers(shares, labels)
    figure.suptitle(title, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def save_histograms(histograms: Sequence[tuple[str, Array, Array]], title: str, path: Path) -> None:
    """Draw the histogram of every layer's activations, all channels together.

    Args:
        histograms: (label, edges (bins + 1,), counts (bins,)) of each layer.
        title: of the figure.
        path: of the PNG.
    """
    rows = -(-len(histograms) // COLUMNS)
    figure = new_figure(1.25 * rows + 0.5)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(histograms) :]:
        axes.set_axis_off()
    for axes, (label, edges, counts) in zip(grid, histograms, strict=False):
        filled = counts.nonzero()[0]
        first, last = filled[0], filled[-1] + 1
        density = counts / counts.sum() / np.diff(edges)
        axes.stairs(density[first:last], edges[first : last + 1], fill=True, color=COLORS[0])
        axes.set_yscale("log")
        axes.axvline(0, color="grey", linewidth=0.4)
        axes.set_title(label, fontsize=SMALL, parse_math=False, pad=2)
        axes.tick_params(labelsize=SMALL - 1.5, length=2, pad=1)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("activation", fontsize=SMALL + 1)
    figure.supylabel("density (log)", fontsize=SMALL + 1)
    figure.suptitle(title, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def save_channels(channels: Sequence[tuple[str, Array]], quantity: str, title: str, path: Path) -> None:
    """Draw a strip of cells for every layer, a cell a channel, ordered from large to small.

    Args:
        channels: (label, values (C,)) of each layer.
        quantity: what the values are, for the colour scale.
        title: of the figure.
        path: of the PNG.
    """
    from matplotlib.colors import LogNorm

    values = np.concatenate([found for _, found in channels])
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
    norm = LogNorm(max(low, high / 1e4), max(high, low * 1.01), clip=True)
    figure = new_figure(0.17 * len(channels) + 1.3)
    axes = figure.subplots()
    image = None
    for place, (_, found) in enumerate(channels):
        shown = np.ma.masked_less_equal(np.sort(found)[::-1], 0)[None]
        image = axes.imshow(shown, cmap="viridis", norm=norm, aspect="auto", extent=(0, 1, place + 0.42, place - 0.42))
    axes.set(xlim=(0, 1), ylim=(len(channels) - 0.5, -0.5), facecolor="0.85")
    axes.set_yticks(
        range(len(channels)), [f"{label} ({len(found)})" for label, found in channels], fontsize=SMALL - 1,
        parse_math=False,
    )  # fmt: skip
    axes.set_xlabel("channels of the layer, from the largest to the smallest; grey: 0", fontsize=SMALL + 1)
    axes.set_xticks([])
    axes.set_title(title, fontsize=SMALL + 2, parse_math=False)
    assert image is not None
    figure.colorbar(image, ax=axes, pad=0.01, aspect=max(20, 1.2 * len(channels))).set_label(
        quantity, fontsize=SMALL + 1
    )
    figure.axes[-1].tick_params(labelsize=SMALL)
    figure.savefig(path)


def save_correlations(matrices: Sequence[tuple[str, float, Array]], title: str, path: Path) -> None:
    """Draw the correlation matrix of every layer's channels.

    Args:
        matrices: (label, mean absolute correlation, (C, C) in [-1, 1], NaN for constant channels) of each layer.
        title: of the figure.
        path: of the PNG.
    """
    from matplotlib import colormaps

    rows = -(-len(matrices) // COLUMNS_OF_MATRICES)
    figure = new_figure(1.45 * rows + 0.4)
    shades = colormaps["RdBu_r"].with_extremes(bad="0.6")  # white would be a correlation of 0
    grid = figure.subplots(rows, COLUMNS_OF_MATRICES, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    image = None
    labels = fold_labels([label for label, _, _ in matrices])
    for axes, label, (_, mean, matrix) in zip(grid, labels, matrices, strict=False):
        image = axes.imshow(matrix, cmap=shades, vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(f"{label}\nmean |r| {mean:.2f}", fontsize=SMALL - 1, parse_math=False, pad=2)
    assert image is not None
    bar = figure.colorbar(image, ax=list(grid), shrink=0.8 if rows > 1 else 1, aspect=15 * (rows + 1))
    bar.set_label("correlation of two channels; grey: a channel that never changes", fontsize=SMALL + 1)
    bar.ax.tick_params(labelsize=SMALL)
    figure.suptitle(title, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def save_probes(labels: Sequence[str], curves: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Draw what linear probes read from every layer.

    Args:
        labels: of the layers.
        curves: name -> a share, at most 1, for every layer.
        title: of the figure.
        path: of the PNG.
    """
    figure = new_figure(3.2)
    axes = figure.subplots()
    for (name, values), color in zip(curves.items(), COLORS, strict=False):
        axes.plot(
            range(len(values)), np.maximum(values, LOWEST), "o-", markersize=3, linewidth=0.9, color=color, label=name
        )
    below = any(value < LOWEST for values in curves.values() for value in values)
    tidy(axes, "share, on images held out" + (f"\n(at {LOWEST}: or less)" if below else ""), grid="x")
    axes.set_ylim(top=1.02)
    axes.legend(fontsize=SMALL, frameon=False)
    label_layers(axes, labels)
    axes.set_title(title, fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)


def save_moving_averages(
    labels: Sequence[str], shifts: Sequence[Array], ratios: Sequence[Array], title: str, path: Path
) -> None:
    """Draw how far batch normalisation's moving averages are from the exact statistics, a dot a channel.

    Args:
        labels: of the layers.
        shifts: (C,) of each layer: difference of the means, in standard deviations.
        ratios: (C,) of each layer: running over exact variance.
        title: of the figure.
        path: of the PNG.
    """
    figure = new_figure(4.8)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, parts, neutral in ((upper, shifts, 0), (lower, ratios, 1)):
        axes.axhline(neutral, color="grey", linewidth=0.6)
        for place, values in enumerate(parts):
            spread = np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(place + spread, values, ".", markersize=2.5, color=COLORS[0])
            if not np.isnan(values).all():
                axes.hlines(np.nanmedian(values), place - 0.35, place + 0.35, color=COLORS[1], linewidth=1.2)
    tidy(upper, "mean\n(running − exact) / std", grid="x")
    tidy(lower, "variance\nrunning / exact", grid="x")
    label_layers(lower, labels)
    figure.suptitle(f"{title}; a dot a channel, the line their median", fontsize=SMALL + 2, parse_math=False)
    figure.savefig(path)
