"""The interactive figures of a report's page that are lines: learning curves, and the metric over a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from receptive.report.bands import Band, curve_metrics, curves, frame, over
from receptive.report.collection import Collection
from receptive.report.labels import cut_names
from receptive.report.plotting import (
    MOST_CHOICES,
    Plot,
    figure_of,
    hover_format,
    metric_axis,
    plain_text,
    rounded,
    run_text,
    word_axis,
)
from receptive.report.series import Factor, factors, points
from receptive.report.styles import MOST_CURVES, MOST_FILLED, Style, chosen, hues, kind, styles

_MOST_BANDS = 16  # of which those beyond MOST_CURVES are drawn when the legend is clicked
_MOST_EPOCHS = 150  # points of a curve
_FEW_EPOCHS = 15
_LONGEST_NAME = 80  # signs in a legend
_MOST_SCATTERED = 1000  # runs over a parameter
_DASHES = {"solid": "solid", "dashed": "dash", "dotted": "dot", "dashdot": "dashdot"}


def curves_plot(collection: Collection) -> Plot | None:
    """Learning curves, a metric at a time: of the best groups of each variant, in the order of the sweep."""
    figures = {}
    for metric in curve_metrics(collection)[:MOST_CHOICES]:
        found = curves(collection, metric)
        bands = _shown(collection, found, MOST_CURVES)
        first = {id(band) for band in bands}
        more = [band for band in _shown(collection, found, _MOST_BANDS) if id(band) not in first]
        names = cut_names([f"{band.name} (n={band.runs})" for band in (*bands, *more)], _LONGEST_NAME)
        looks = styles(collection, [band.group for band in (*bands, *more)])
        limits = frame(metric, bands)
        axis: dict[str, Any] = {"type": "log"} if limits.logarithmic else {}
        axis |= {"range": [rounded(end) for end in limits.ends]} if limits.ends else {}
        figures[metric] = figure_of(
            [
                trace
                for place, (band, name, style) in enumerate(zip((*bands, *more), names, looks, strict=True))
                for trace in _curve(metric, place, band, name, style, len(bands) <= MOST_FILLED)
            ],
            xaxis={"title": {"text": "epoch"}, "zeroline": False, "dtick": _epoch_step(found)},
            yaxis=metric_axis(metric, **axis),
            height=460,
        )
    return Plot("curves", "Learning curves", _caption(collection), "metric", figures) if figures else None


def _caption(collection: Collection) -> str:
    first = kind(collection)
    best = f"the best {MOST_CURVES}, of each {first.title} in turn," if first else f"the best {MOST_CURVES}"
    return (
        f"Mean over the runs of a group; of up to {MOST_FILLED} groups the band goes from the smallest to the largest "
        f"of them. A click in the legend hides or shows a group; at first {best} are shown. Losses that span a factor "
        "of ten stand on a logarithmic axis; single epochs far outside are cut off by the frame."
    )


def _shown(collection: Collection, found: Sequence[Band], most: int) -> list[Band]:
    by_group = {id(band.group): band for band in found}
    return [by_group[id(group)] for group in chosen(collection, [band.group for band in found], most)]


def _epoch_step(bands: Sequence[Band]) -> float | None:
    """Few epochs have a tick each: there is none between them."""
    return 1 if max((band.places[-1] for band in bands), default=0) <= _FEW_EPOCHS else None


def _curve(metric: str, place: int, band: Band, name: str, style: Style, filled: bool) -> list[Any]:
    """The band of a group, where it has several runs, and their mean."""
    last = len(band.places) - 1
    kept = sorted({*range(0, last + 1, last // _MOST_EPOCHS + 1), last})
    epochs, mean, low, high = (
        [rounded(column[at]) for at in kept] for column in (band.places, band.mean, band.low, band.high)
    )
    shared = {"legendgroup": str(place), "visible": True if place < MOST_CURVES else "legendonly"}
    line = go.Scatter(
        x=epochs, y=mean, mode="lines" if last else "markers", line=_line(style),
        name=plain_text(name, _LONGEST_NAME), showlegend=True,
        hovertemplate=f"%{{y{hover_format(metric)}}} in epoch %{{x}}<extra>%{{fullData.name}}</extra>", **shared,
    )  # fmt: skip
    if band.runs < 2 or not filled:
        return [line]
    area = go.Scatter(
        x=epochs + epochs[::-1], y=high + low[::-1], fill="toself", fillcolor=_faded(style.color), mode="none",
        hoverinfo="skip", showlegend=False, **shared,
    )  # fmt: skip
    return [area, line]


def _line(style: Style) -> dict[str, Any]:
    return {"color": style.color, "dash": _DASHES[style.dashes], "width": 2}


def parameter_plot(collection: Collection) -> Plot | None:
    """The monitored metric over each parameter: a point a run, and of a number the means."""
    metric = collection.monitor
    runs = [(one.group, seed, value) for one in points(collection, metric) for seed, value in one.runs]
    drawn = runs[:_MOST_SCATTERED]
    colors = hues(collection, [group for group, _, _ in drawn])
    figures = {}
    for factor in factors(collection) if len(runs) > 1 else []:
        places = [factor.values.index(group.labels.get(factor.key, "")) for group, _, _ in drawn]
        trace = go.Scatter(
            x=places if factor.numbers is None else [factor.numbers[place] for place in places],
            y=[rounded(value) for _, _, value in drawn], mode="markers",
            marker={"color": colors, "size": 8, "opacity": 0.6}, showlegend=False,
            text=[run_text(group.name, seed) for group, seed, _ in drawn],
            hovertemplate=f"%{{y{hover_format(metric)}}}<br>%{{text}}<extra></extra>",
        )  # fmt: skip
        bands = _shown(collection, over(collection, factor, metric), MOST_CURVES)
        yaxis = metric_axis(metric, **({"type": "log"} if frame(metric, bands).logarithmic else {}))
        traces = [trace, *_means(collection, metric, bands)]
        figures[factor.key] = figure_of(traces, xaxis=_parameter_axis(factor), yaxis=yaxis, height=380)
    many = f"{_MOST_SCATTERED:,} of {len(runs):,} done runs, those of the best groups,"
    told = many if len(runs) > _MOST_SCATTERED else "every done run"
    caption = f"{metric} of {told} over the values of one parameter; lines: means of runs that differ in it alone."
    return Plot("parameter", "One parameter", caption, "parameter", figures) if figures else None


def _means(collection: Collection, metric: str, bands: Sequence[Band]) -> list[Any]:
    looks = styles(collection, [band.group for band in bands])
    names = cut_names([f"{band.name} (n={band.runs})" for band in bands], _LONGEST_NAME)
    return [
        go.Scatter(
            x=list(band.places), y=[rounded(value) for value in band.mean], mode="lines", line=_line(style),
            name=plain_text(name, _LONGEST_NAME),
            hovertemplate=f"%{{y{hover_format(metric)}}} at %{{x}}<extra>%{{fullData.name}}</extra>",
        )
        for band, name, style in zip(bands, names, looks, strict=True)
    ]  # fmt: skip


def _parameter_axis(factor: Factor) -> dict[str, Any]:
    title = {"title": {"text": plain_text(factor.key)}}
    if factor.numbers is None:
        return word_axis(factor.values, 20, range=[-0.5, len(factor.values) - 0.5], showgrid=False, **title)
    ticks = {"tickvals": [float(word) for word in factor.words], "ticktext": list(factor.words)}
    return {"type": "log" if factor.logarithmic else "linear", "automargin": True, "zeroline": False, **ticks, **title}


def _faded(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"
