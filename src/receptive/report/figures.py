"""The figures of a report as files: learning curves, points and intervals, heat map, lines, importance."""

from __future__ import annotations

import functools
import itertools
import math
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receptive.figures.style import COLORS, SMALL, WIDTH, cut_middle, new_figure, tidy, turn_labels
from receptive.metrics import is_share, metric_text
from receptive.report.bands import numeric_factors
from receptive.report.collection import Collection
from receptive.report.curve_figures import draw_curves, draw_over
from receptive.report.importance import importance
from receptive.report.labels import LONGEST, axis_title, cut_names, title_of
from receptive.report.series import Points, grid, lines, points
from receptive.report.styles import hues
from receptive.report.tables import shown_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 40  # groups in a figure of points and intervals
MOST_CELLS = 150  # of a heat map whose cells say their value
_MOST_COLUMNS = 16  # in which a value has room


def draw_points(collection: Collection) -> Figure | None:
    """Mean, 95 % interval and single runs of every group, on validation and test; None of fewer than two done runs."""
    panels = [(metric, found) for metric in shown_metrics(collection) if (found := points(collection, metric))]
    if not panels or sum(len(one.runs) for one in panels[0][1]) < 2:
        return None
    shown = panels[0][1][:MOST_POINTS]
    order = {one.group.name: place for place, one in enumerate(shown)}
    colors = hues(collection, [one.group for one in shown])
    figure = new_figure(1.1 + 0.19 * max(len(shown), 3))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (metric, found) in zip(all_axes, panels, strict=True):
        here = [one for one in found if one.group.name in order]
        for one in here:
            _draw_points(axes, metric, order[one.group.name], one, colors[order[one.group.name]])
        axes.set_xlim(*limits(metric, here))
        tidy(axes, "", axis_title(metric), grid="y")
    all_axes[0].set_yticks(range(len(shown)), cut_names(list(order)), fontsize=SMALL, parse_math=False)
    all_axes[0].set_ylim(len(shown) - 0.5, -0.5)
    total = len(panels[0][1])
    cut = f"; the best {MOST_POINTS} of {total}" if total > MOST_POINTS else ""
    what = "mean with its 95 % interval, single runs (open)" if repeated(shown) else "a point a run"
    figure.suptitle(title_of(collection, what + cut), fontsize=SMALL + 2, parse_math=False)
    return figure


def repeated(found: Sequence[Points]) -> bool:
    """Whether a group has several runs, so that there are means and intervals."""
    return any(one.spread.n > 1 for one in found)


def _draw_points(axes: Axes, metric: str, place: int, one: Points, color: str) -> None:
    scale = 100 if is_share(metric) else 1
    values = [scale * value for _, value in one.runs]
    axes.plot(values, [place] * len(values), "o", markersize=3.5, markerfacecolor="none", color=color, alpha=0.8)
    if one.spread.n > 1:
        axes.hlines(place, scale * one.spread.low, scale * one.spread.high, color=color, linewidth=1.3)
    axes.plot([scale * one.spread.mean], [place], "o", markersize=4, color=color)


def limits(metric: str, found: Sequence[Points]) -> tuple[float, float]:
    """From where to where an axis goes: all runs, and intervals where they are not so wide that runs would merge.

    In percent for metrics that are shown so.
    """
    scale = 100 if is_share(metric) else 1
    values = [value for one in found for _, value in one.runs]
    room = (max(values) - min(values)) or abs(values[0]) * 0.05 or 0.05
    ends = [end for one in found for end in (one.spread.low, one.spread.high) if math.isfinite(end)]
    low = max(min([*values, *ends]), min(values) - room)
    high = min(max([*values, *ends]), max(values) + room)
    margin = 0.05 * ((high - low) or room)
    return scale * (low - margin), scale * (high + margin)


def draw_heat_map(collection: Collection) -> Figure | None:
    """The monitored metric over two parameters; None where not exactly two were swept."""
    metric = collection.monitor
    found = grid(collection, metric)
    if found is None:
        return None
    scale = 100 if is_share(metric) else 1
    means = [[scale * value for value in row] for row in found.means]
    height, width = len(found.rows.values), len(found.columns.values)
    figure = new_figure(min(8.0, 1.3 + 0.42 * height), min(WIDTH, 3.4 + 0.6 * width))
    axes = figure.subplots()
    image = axes.imshow(means, cmap="viridis" + ("_r" if collection.smaller(metric) else ""), aspect="auto")
    axes.set_facecolor("0.85")  # of a pair without a done run
    for setter, factor in ((axes.set_xticks, found.columns), (axes.set_yticks, found.rows)):
        names = [cut_middle(value, 24) for value in factor.values]
        setter(range(len(names)), names, fontsize=SMALL, parse_math=False)
    if width > 8 or any(len(value) > 8 for value in found.columns.values):
        turn_labels(axes)
    axes.set_xlabel(found.columns.title, fontsize=SMALL + 1, parse_math=False)
    axes.set_ylabel(found.rows.title, fontsize=SMALL + 1, parse_math=False)
    if height * width <= MOST_CELLS and width <= _MOST_COLUMNS:
        for row, column in itertools.product(range(height), range(width)):
            _write_cell(axes, image, row, column, means[row][column], found.digits(metric))
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label(axis_title(metric), fontsize=SMALL + 1)
    bar.ax.tick_params(labelsize=SMALL)
    counts = sorted({count for row in found.counts for count in row if count})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    what = f"{metric}, mean of {runs} run{'s' * (runs != '1')} a cell"
    axes.set_title(title_of(collection, what), fontsize=SMALL + 2, parse_math=False)
    return figure


def _write_cell(axes: Axes, image: Any, row: int, column: int, value: float, digits: int) -> None:
    if math.isnan(value):
        return
    red, green, blue, _ = image.cmap(image.norm(value))
    color = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
    axes.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=SMALL, color=color)


def draw_lines(collection: Collection) -> Figure | None:
    """Parallel coordinates: a line a run, over the parameters to the monitored metric."""
    metric = collection.monitor
    found = lines(collection, metric)
    if found is None:
        return None
    from matplotlib import colormaps

    figure = new_figure(3.2)
    axes = figure.subplots()
    low, high = min(found.values), max(found.values)
    shares = [(value - low) / ((high - low) or 1.0) for value in found.values]
    shades = colormaps["viridis" + ("_r" if collection.smaller(metric) else "")]
    for places, share in zip(found.places, shares, strict=True):
        axes.plot([*places, share], color=shades(share), linewidth=1.1, alpha=0.75)
    for place, factor in enumerate(found.factors):
        axes.axvline(place, color="0.6", linewidth=0.8)
        for value in factor.words:
            _beside_axis(axes, place, factor.place(value), cut_middle(value, 18))
    axes.axvline(len(found.factors), color="0.6", linewidth=0.8)
    for share in (0.0, 0.5, 1.0):
        _beside_axis(axes, len(found.factors), share, metric_text(metric, low + share * (high - low)))
    titles = [*(cut_middle(factor.title, 20) for factor in found.factors), metric]
    axes.set_xticks(range(len(titles)), titles, fontsize=SMALL + 1, parse_math=False)
    axes.set_xlim(-0.1, len(found.factors) + 0.35)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    cut = f"; the best {len(found.values)} of {len(found.values) + found.left_out}" if found.left_out else ""
    what = f"a line a run, bright where {metric} is good{cut}"
    axes.set_title(title_of(collection, what), fontsize=SMALL + 2, parse_math=False)
    return figure


def _beside_axis(axes: Axes, place: float, share: float, text: str) -> None:
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    axes.text(place + 0.02, share, text, fontsize=SMALL, va="center", bbox=box, parse_math=False)


def draw_importance(collection: Collection) -> Figure | None:
    """Which parameter the monitored metric depends on; None of few runs, or where a forest cannot tell."""
    found = importance(collection, collection.monitor)
    if found is None or not found.explains:
        return None
    figure = new_figure(1.0 + 0.24 * max(len(found.factors), 2))
    axes = figure.subplots()
    places = range(len(found.factors))
    bars = {"elinewidth": 1, "ecolor": "0.3"}
    axes.barh(places, found.means, xerr=found.deviations, color=COLORS[0], height=0.6, error_kw=bars)
    axes.set_yticks(
        places, [cut_middle(factor.key, LONGEST) for factor in found.factors], fontsize=SMALL, parse_math=False
    )
    axes.invert_yaxis()
    axes.set_xlim(left=min(0.0, *found.means))
    tidy(axes, "", f"fall of R² ({collection.monitor}) ± deviation over shuffles")
    figure.suptitle(
        title_of(collection, found.caption[0].lower() + found.caption[1:]), fontsize=SMALL + 1, parse_math=False
    )
    return figure


# Name of a file in figures/ -> what draws it; `OVER` with the title of each number that was swept comes beside them.
FIGURES: dict[str, Callable[[Collection], Figure | None]] = {
    "curves": draw_curves,
    "points": draw_points,
    "heat_map": draw_heat_map,
    "parallel_coordinates": draw_lines,
    "importance": draw_importance,
}
OVER = "over_"


def figures_of(collection: Collection) -> dict[str, Callable[[Collection], Figure | None]]:
    """The figures that this collection may have, as `FIGURES` is."""
    found = {OVER + re.sub(r"[^\w.-]", "_", factor.title): factor for factor in numeric_factors(collection)}
    return FIGURES | {name: functools.partial(draw_over, factor=factor) for name, factor in found.items()}


def save_figure(draw: Callable[[Collection], Figure | None], collection: Collection, path: Path) -> bool:
    """Draw one of `figures_of` into a PNG; gives whether the figure makes sense.

    A file of an earlier report that is not drawn any more is removed. Raises OSError.
    """
    figure = draw(collection)
    if figure is None:
        path.unlink(missing_ok=True)
        return False
    path.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # labels in any script
        figure.savefig(path, pil_kwargs={"compress_level": 1})
    return True


def remove_others(collection: Collection, folder: Path) -> None:
    """Remove the files over parameters of an earlier report that this one does not draw. Raises OSError."""
    known = figures_of(collection)
    for path in folder.glob(f"{OVER}*.png"):
        if path.stem not in known:
            path.unlink()
