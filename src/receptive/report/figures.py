"""The figures of a report as files: learning curves, points and intervals, heat map, lines, importance."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receptive.figures.style import COLORS, SMALL, WIDTH, new_figure
from receptive.metrics import is_share, metric_text
from receptive.report.collection import Collection
from receptive.report.importance import importance
from receptive.report.series import (
    MOST_CURVES,
    Band,
    Factor,
    Lines,
    Points,
    curve_metrics,
    curves,
    grid,
    lines,
    points,
    ranked,
)
from receptive.report.tables import shown_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 40  # groups in a figure of points and intervals
MOST_CELLS = 150  # of a heat map whose cells say their value
_STYLES = tuple(itertools.product(("solid", "dashed"), COLORS))[:MOST_CURVES]
_LONGEST = 46  # characters of a name beside an axis


def draw_curves(collection: Collection) -> Figure | None:
    """Loss and monitored metric in validation, epoch by epoch; None where no run has come that far."""
    known = curve_metrics(collection)
    wanted = [metric for metric in (collection.monitor, "val/loss") if metric in known] or known[:2]
    panels = [(metric, found) for metric in wanted if (found := curves(collection, metric))]
    if not panels:
        return None
    known_bands = {id(band.group): band for _, found in reversed(panels) for band in found}  # of runs of several tasks
    bands = [known_bands[id(group)] for group in ranked(collection) if id(group) in known_bands]  # not all in a panel
    styles = {id(band.group): style for band, style in zip(bands, _STYLES, strict=False)}
    figure = new_figure(2.7 + 0.15 * -(-len(styles) // 2))
    handles: dict[int, Any] = {}
    for axes, (metric, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for band in found:
            if id(band.group) in styles:
                handles[id(band.group)] = _draw_band(axes, metric, band, *styles[id(band.group)])
        _tidy(axes, "epoch", _axis_title(metric))
        axes.xaxis.get_major_locator().set_params(integer=True)
    cut = f"; the best {MOST_CURVES} of {len(bands)} groups" if len(bands) > MOST_CURVES else ""
    several = any(band.runs > 1 for _, found in panels for band in found if id(band.group) in styles)
    what = "mean over the runs of a group, band from the smallest to the largest" if several else "a line a run"
    figure.suptitle(f"Learning curves: {what}{cut}", fontsize=SMALL + 2)
    shown = bands[: len(styles)]
    names = cut_names([f"{band.name} (n={band.runs})" for band in shown], 60)
    _legend(figure, [handles[id(band.group)] for band in shown], names)
    return figure


def _draw_band(axes: Axes, metric: str, band: Band, dashes: str, color: str) -> Any:
    scale = 100 if is_share(metric) else 1
    mean, low, high = ([scale * value for value in values] for values in (band.mean, band.low, band.high))
    marker = "o" if len(mean) == 1 else None
    [line] = axes.plot(band.epochs, mean, color=color, linestyle=dashes, linewidth=1.2, marker=marker, markersize=3)
    if band.runs > 1:
        axes.fill_between(band.epochs, low, high, color=color, alpha=0.15, linewidth=0)
    return line


def draw_points(collection: Collection) -> Figure | None:
    """Mean, 95 % interval and single runs of every group, on validation and test; None of fewer than two done runs."""
    panels = [(metric, found) for metric in shown_metrics(collection) if (found := points(collection, metric))]
    if not panels or sum(len(one.runs) for one in panels[0][1]) < 2:
        return None
    shown = panels[0][1][:MOST_POINTS]
    order = {one.group.name: place for place, one in enumerate(shown)}
    figure = new_figure(1.1 + 0.19 * max(len(shown), 3))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (metric, found) in zip(all_axes, panels, strict=True):
        here = [one for one in found if one.group.name in order]
        for one in here:
            _draw_points(axes, metric, order[one.group.name], one)
        axes.set_xlim(*limits(metric, here))
        _tidy(axes, _axis_title(metric), "")
        axes.grid(axis="y", linewidth=0.3, alpha=0.5)
    all_axes[0].set_yticks(range(len(shown)), cut_names(list(order)), fontsize=SMALL, parse_math=False)
    all_axes[0].set_ylim(len(shown) - 0.5, -0.5)
    total = len(panels[0][1])
    cut = f"; the best {MOST_POINTS} of {total} groups" if total > MOST_POINTS else ""
    figure.suptitle(f"Mean with its 95 % interval, single runs (open){cut}", fontsize=SMALL + 2)
    return figure


def _draw_points(axes: Axes, metric: str, place: int, one: Points) -> None:
    scale = 100 if is_share(metric) else 1
    values = [scale * value for _, value in one.runs]
    axes.plot(values, [place] * len(values), "o", markersize=3, markerfacecolor="none", color=COLORS[5], alpha=0.9)
    if one.spread.n > 1:
        axes.hlines(place, scale * one.spread.low, scale * one.spread.high, color=COLORS[0], linewidth=1.3)
    axes.plot([scale * one.spread.mean], [place], "o", markersize=4, color=COLORS[0])


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
        axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlabel(found.columns.title, fontsize=SMALL + 1, parse_math=False)
    axes.set_ylabel(found.rows.title, fontsize=SMALL + 1, parse_math=False)
    if height * width <= MOST_CELLS:
        for row, column in itertools.product(range(height), range(width)):
            _write_cell(axes, image, row, column, means[row][column], 1 if scale == 100 else 3)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label(_axis_title(metric), fontsize=SMALL + 1)
    bar.ax.tick_params(labelsize=SMALL)
    counts = sorted({count for row in found.counts for count in row if count})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    axes.set_title(f"{metric}: mean of {runs} run{'s' * (runs != '1')} a cell", fontsize=SMALL + 2)
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
        for value in shown_values(factor):
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
    axes.set_title(_lines_title(found), fontsize=SMALL + 2)
    return figure


def _lines_title(found: Lines) -> str:
    cut = f"; the best {len(found.values)} of {len(found.values) + found.left_out}" if found.left_out else ""
    return f"A line a run, bright where the metric is good; runs of one value lie side by side{cut}"


def shown_values(factor: Factor, most: int = 9) -> tuple[str, ...]:
    """The values that stand beside an axis: all, or of many numbers some."""
    if len(factor.values) <= most or factor.numbers is None:
        return factor.values
    step = (len(factor.values) - 1) / (most - 1)
    return tuple(factor.values[round(step * number)] for number in range(most))


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
    axes.set_yticks(places, [cut_middle(factor.key) for factor in found.factors], fontsize=SMALL, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=min(0.0, *found.means))
    _tidy(axes, f"fall of R² ({collection.monitor}) ± deviation over shuffles", "")
    figure.suptitle(textwrap.fill(found.caption, 110), fontsize=SMALL + 1)
    return figure


# Name of a file in figures/ -> what draws it.
FIGURES: dict[str, Callable[[Collection], Any]] = {
    "curves": draw_curves,
    "points": draw_points,
    "heat_map": draw_heat_map,
    "parallel_coordinates": draw_lines,
    "importance": draw_importance,
}


def save_figure(name: str, collection: Collection, folder: Path) -> Path | None:
    """Draw one of `FIGURES` into a folder; gives the file, None where the figure makes no sense.

    A file of an earlier report that is not drawn any more is removed. Raises OSError.
    """
    path = folder / f"{name}.png"
    figure = FIGURES[name](collection)
    if figure is None:
        path.unlink(missing_ok=True)
        return None
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # labels in any script
        figure.savefig(path, pil_kwargs={"compress_level": 1})
    return path


def cut_middle(text: str, most: int = _LONGEST) -> str:
    """A text without its middle where it is too long, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most // 2 - 1]}…{line[-(most - most // 2) :]}"


def cut_names(names: Sequence[str], most: int = _LONGEST) -> list[str]:
    """Names of groups without their middles where they are too long; without the keys where they would look alike."""
    short = [cut_middle(name, most) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    return [cut_middle(re.sub(r"(^|, )[\w.]+=", r"\1", name), most) for name in names]


def _axis_title(metric: str) -> str:
    return f"{metric} (%)" if is_share(metric) else metric


def _tidy(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel, fontsize=SMALL + 1)
    axes.set_ylabel(ylabel, fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    # matplotlib leaves out names that begin with an underscore
    legend = figure.legend(
        handles, [name if name[0] != "_" else f" {name}" for name in names],
        loc="outside lower center", ncols=2 if len(names) > 1 else 1, fontsize=SMALL, frameon=False,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
