"""The figures of a report that are lines, as files: learning curves, and the metric over a parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from receptive.figures.style import SMALL, new_figure, tidy, turn_labels
from receptive.metrics import is_share
from receptive.report.bands import Band, Frame, curve_metrics, curves, frame, over
from receptive.report.collection import Collection
from receptive.report.labels import axis_title, cut_names, title_of
from receptive.report.series import Factor, ranked
from receptive.report.styles import MOST_CURVES, MOST_FILLED, Style, chosen, styles, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_NAME = 60  # signs in a legend
_FEW_TICKS = 6  # values of a parameter that stand upright
_FEW_DECADES = 2.5  # on which an axis has ticks at 2 and 5, too


def draw_curves(collection: Collection) -> Figure | None:
    """Monitored metric and loss in validation, epoch by epoch, and what of training a claim speaks of.

    None where no run has come that far.
    """
    panels = [(metric, found) for metric in _metrics(collection) if (found := curves(collection, metric))]
    if not panels:
        return None
    known = {id(band.group): band for _, found in reversed(panels) for band in found}  # of runs of several tasks
    groups = [group for group in ranked(collection) if id(group) in known]  # not all in a panel
    shown = chosen(collection, groups, MOST_CURVES)
    looks = {id(group): style for group, style in zip(shown, styles(collection, shown), strict=True)}
    figure = new_figure(2.7 + 0.15 * -(-len(shown) // 2))
    handles: dict[int, Any] = {}
    cut = several = False
    for axes, (metric, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        bands = sorted((band for band in found if id(band.group) in looks), key=lambda one: shown.index(one.group))
        tidy(axes, axis_title(metric), "epoch")
        for number, band in enumerate(bands):
            handles[id(band.group)] = _draw_line(axes, metric, band, looks[id(band.group)])
            if len(shown) <= MOST_FILLED:
                _fill(axes, metric, band, looks[id(band.group)])
            else:
                _draw_end(axes, metric, band, looks[id(band.group)], 5 + 3 * number)
        axes.xaxis.get_major_locator().set_params(integer=True)
        limits = frame(metric, bands)
        _cut_out(axes, metric, limits)
        cut |= limits.ends is not None
        several |= any(band.runs > 1 for band in bands)
    spread = "a band" if len(shown) <= MOST_FILLED else "bars at the end"
    what = f"mean of the runs, smallest to largest as {spread}" if several else "a line a run"
    what += "; single epochs cut off" * cut
    figure.suptitle(
        title_of(collection, what + told(collection, len(shown), len(groups), "groups")),
        fontsize=SMALL + 2,
        parse_math=False,
    )
    names = cut_names([f"{known[id(group)].name} (n={known[id(group)].runs})" for group in shown], _LONGEST_NAME)
    _add_legend(figure, [handles[id(group)] for group in shown], names)
    return figure


def _metrics(collection: Collection) -> list[str]:
    known = curve_metrics(collection)
    claimed = " ".join(str(claim.get("metric")) for claim in collection.claims)
    training = [metric for metric in known if metric.startswith("train/") and metric in claimed]
    return [metric for metric in (collection.monitor, "val/loss", *training[:1]) if metric in known] or known[:2]


def draw_over(collection: Collection, factor: Factor) -> Figure | None:
    """The monitored metric over the values of a number that was swept, a line for each variant; None without any."""
    metric = collection.monitor
    found = over(collection, factor, metric)
    if not found:
        return None
    by_group = {id(band.group): band for band in found}
    shown = chosen(collection, [band.group for band in found], MOST_CURVES)
    bands = [by_group[id(group)] for group in shown]
    figure = new_figure(2.9 + 0.15 * -(-len(bands) // 2) * (len(bands) > 1))
    axes = figure.subplots()
    tidy(axes, axis_title(metric), factor.key)
    handles = []
    for number, (band, style) in enumerate(zip(bands, styles(collection, shown), strict=True)):
        shifted = _shifted(axes, 2 * number - len(bands) + 1)
        handles.append(_draw_line(axes, metric, band, style, marker="o", transform=shifted))
        _draw_bars(axes, metric, band, style, shifted)
    if factor.logarithmic:
        axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks([float(word) for word in factor.words], factor.words, fontsize=SMALL, parse_math=False)
    if len(factor.words) > _FEW_TICKS:
        turn_labels(axes)
    _cut_out(axes, metric, Frame(frame(metric, bands).logarithmic))
    what = f"{metric} over {factor.title}"
    if any(band.runs > 1 for band in bands):
        what += ", mean of the runs, smallest to largest as bars"
    what += told(collection, len(bands), len(found), "lines")
    figure.suptitle(title_of(collection, what), fontsize=SMALL + 2, parse_math=False)
    if len(bands) > 1:
        _add_legend(figure, handles, cut_names([f"{band.name} (n={band.runs})" for band in bands], _LONGEST_NAME))
    return figure


def _draw_line(axes: Axes, metric: str, band: Band, style: Style, **look: Any) -> Any:
    look = {"marker": "o" if len(band.mean) == 1 else None, "markersize": 3} | look
    mean = [_scale(metric) * value for value in band.mean]
    [line] = axes.plot(band.places, mean, color=style.color, linestyle=style.dashes, linewidth=1.3, **look)
    return line


def _fill(axes: Axes, metric: str, band: Band, style: Style) -> None:
    low, high = ([_scale(metric) * value for value in side] for side in (band.low, band.high))
    if band.runs > 1:
        inside, edge = (style.color, 0.13), (style.color, 0.5)  # without edges bands over one another are grey
        axes.fill_between(band.places, low, high, facecolor=inside, edgecolor=edge, linewidth=0.5)


def _draw_bars(axes: Axes, metric: str, band: Band, style: Style, transform: Any) -> None:
    """From the smallest to the largest run at each place."""
    for place, *ends in zip(band.places, band.low, band.high, strict=True):
        low, high = (_scale(metric) * end for end in ends)
        axes.plot([place] * 2, [low, high], color=style.color, linewidth=1.1, transform=transform, clip_on=False)
        axes.update_datalim([(place, low), (place, high)])  # matplotlib leaves out what is shifted
    axes.autoscale_view()


def _draw_end(axes: Axes, metric: str, band: Band, style: Style, points: float) -> None:
    """Mean, smallest and largest run of the last epoch, so many points beside it."""
    if band.runs > 1:
        sides = (band.places, band.mean, band.low, band.high)
        last = Band(band.group, band.name, band.runs, *((side[-1],) for side in sides))
        shifted = _shifted(axes, points)
        _draw_bars(axes, metric, last, style, shifted)
        _draw_line(axes, metric, last, style, markersize=2.5, transform=shifted, clip_on=False)


def _shifted(axes: Axes, points: float) -> Any:
    """As the data, so many points to the right."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def _scale(metric: str) -> int:
    return 100 if is_share(metric) else 1


def _cut_out(axes: Axes, metric: str, limits: Frame) -> None:
    if limits.logarithmic:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes.set_yscale("log")
        low, high = axes.get_ylim()
        fine = math.log10(high / low) < _FEW_DECADES
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if fine else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if limits.ends is not None:
        axes.set_ylim(*(_scale(metric) * end for end in limits.ends))


def _add_legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    # matplotlib leaves out names that begin with an underscore
    legend = figure.legend(
        handles, [name if name[0] != "_" else f" {name}" for name in names], loc="outside lower center",
        ncols=2 if len(names) > 1 else 1, fontsize=SMALL, frameon=False, handlelength=3.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
