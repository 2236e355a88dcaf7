"""The interactive figures of a report's page: lines, points and bars, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from receptive.figures.style import COLORS
from receptive.metrics import is_share, metric_text
from receptive.report.collection import Collection
from receptive.report.figures import cut_names, limits, shown_values
from receptive.report.importance import importance
from receptive.report.matrices import confusion_plot, heat_map_plot
from receptive.report.plotting import (
    MOST_CHOICES,
    Plot,
    figure_of,
    hover_format,
    metric_axis,
    plain_text,
    rounded,
    word_axis,
)
from receptive.report.series import (
    MOST_CURVES,
    Band,
    Factor,
    Lines,
    Points,
    curve_metrics,
    curves,
    factors,
    lines,
    points,
)
from receptive.report.statistics import Spread

_MOST_BANDS = 16  # of which those beyond MOST_CURVES are drawn when the legend is clicked
_MOST_EPOCHS = 150  # points of a curve
_FEW_EPOCHS = 15
_LONGEST_NAME = 80  # characters in a legend
_MOST_POINTS = 60  # groups of points and intervals
_MOST_SCATTERED = 1000  # runs over a parameter
_SHADES = 16  # colours of lines
_DASHES = ("solid", "dash", "dot")
_LONGEST_HOVER = 200  # characters


def curves_plot(collection: Collection) -> Plot | None:
    """Learning curves of the best groups, a metric at a time."""
    figures = {}
    for metric in curve_metrics(collection)[:MOST_CHOICES]:
        bands = curves(collection, metric)[:_MOST_BANDS]
        names = cut_names([f"{band.name} (n={band.runs})" for band in bands], _LONGEST_NAME)
        figures[metric] = figure_of(
            [trace for place, band in enumerate(bands) for trace in _curve(metric, place, band, names[place])],
            xaxis={"title": {"text": "epoch"}, "zeroline": False, "dtick": _epoch_step(bands)},
            yaxis=metric_axis(metric),
            height=460,
        )
    caption = (
        "Mean over the runs of a group; the band goes from the smallest to the largest of them. A click in the legend "
        f"hides or shows a group; at first the best {MOST_CURVES} are shown."
    )
    return Plot("curves", "Learning curves", caption, "metric", figures) if figures else None


def _epoch_step(bands: Sequence[Band]) -> float | None:
    """Few epochs have a tick each: there is none between them."""
    return 1 if max((band.epochs[-1] for band in bands), default=0) <= _FEW_EPOCHS else None


def _curve(metric: str, place: int, band: Band, name: str) -> list[Any]:
    """The band of a group, where it has several runs, and their mean."""
    last = len(band.epochs) - 1
    kept = sorted({*range(0, last + 1, last // _MOST_EPOCHS + 1), last})
    epochs, mean, low, high = (
        [rounded(column[at]) for at in kept] for column in (band.epochs, band.mean, band.low, band.high)
    )
    color, dash = COLORS[place % len(COLORS)], _DASHES[place // len(COLORS)]
    shared = {"legendgroup": str(place), "visible": True if place < MOST_CURVES else "legendonly"}
    line = go.Scatter(
        x=epochs, y=mean, mode="lines" if last else "markers", line={"color": color, "dash": dash, "width": 2},
        name=plain_text(name, _LONGEST_NAME), showlegend=True,
        hovertemplate=f"%{{y{hover_format(metric)}}} in epoch %{{x}}<extra>%{{fullData.name}}</extra>", **shared,
    )  # fmt: skip
    if band.runs < 2:
        return [line]
    area = go.Scatter(
        x=epochs + epochs[::-1], y=high + low[::-1], fill="toself", fillcolor=_faded(color), mode="none",
        hoverinfo="skip", showlegend=False, **shared,
    )  # fmt: skip
    return [area, line]


def points_plot(collection: Collection) -> Plot | None:
    """Mean, interval and single runs of each group, a metric at a time."""
    figures = {}
    for metric in collection.metrics[:MOST_CHOICES]:
        found = points(collection, metric)[:_MOST_POINTS]
        if sum(len(one.runs) for one in found) > 1:
            low, high = (end / (100 if is_share(metric) else 1) for end in limits(metric, found))
            figures[metric] = figure_of(
                _dots(metric, found),
                xaxis=metric_axis(metric, range=[low, high]),
                yaxis=word_axis([one.group.name for one in found], 60, range=[len(found) - 0.5, -0.5]),
                height=170 + 26 * len(found),
            )
    cut = f", {_MOST_POINTS} at most" if len(collection.groups) > _MOST_POINTS else ""
    caption = (
        "Dot: mean over seeds; line: its 95 % interval (Student's t), cut off by the frame where it is very wide; "
        f"open: single runs. Best groups first{cut}."
    )
    return Plot("points", "Groups and their spread over seeds", caption, "metric", figures) if figures else None


def _dots(metric: str, found: Sequence[Points]) -> list[Any]:
    runs = [(place, one.group.name, seed, value) for place, one in enumerate(found) for seed, value in one.runs]
    single = go.Scatter(
        x=[rounded(value) for *_, value in runs], y=[place for place, *_ in runs], mode="markers", name="single runs",
        marker={"symbol": "circle-open", "size": 7, "color": COLORS[5]},
        text=[_run_text(name, seed) for _, name, seed, _ in runs],
        hovertemplate=f"%{{x{hover_format(metric)}}}<br>%{{text}}<extra></extra>",
    )  # fmt: skip
    spreads = [one.spread for one in found]
    mean = go.Scatter(
        x=[rounded(one.mean) for one in spreads], y=list(range(len(found))), mode="markers",
        name="mean and its 95 % interval", marker={"size": 9, "color": COLORS[0]},
        error_x={  # not symmetric where a bound of the metric cuts the interval off
            "array": [rounded(one.high - one.mean) if one.n > 1 else None for one in spreads],
            "arrayminus": [rounded(one.mean - one.low) if one.n > 1 else None for one in spreads],
            "width": 0,
        },
        text=[f"{plain_text(one.group.name, _LONGEST_HOVER)}<br>{_spread_text(metric, one.spread)}" for one in found],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    return [single, mean]


def _run_text(name: str, seed: str) -> str:
    return f"{plain_text(name, _LONGEST_HOVER)}<br>seed {plain_text(seed)}"


def _spread_text(metric: str, known: Spread) -> str:
    mean = metric_text(metric, known.mean)
    if known.n < 2:
        return f"{mean}, one run"
    ends = f"{metric_text(metric, known.low)} to {metric_text(metric, known.high)}"
    return f"{mean} ± {metric_text(metric, known.deviation)}, 95 % interval {ends}, n={known.n}"


def parameter_plot(collection: Collection) -> Plot | None:
    """The monitored metric over each parameter, a point a run; numbers that spread far on a logarithmic axis."""
    metric = collection.monitor
    runs = [(one.group, seed, value) for one in points(collection, metric) for seed, value in one.runs]
    figures = {}
    for factor in factors(collection) if len(runs) > 1 else []:
        places = [factor.values.index(group.labels.get(factor.key, "")) for group, _, _ in runs[:_MOST_SCATTERED]]
        trace = go.Scatter(
            x=places if factor.numbers is None else [factor.numbers[place] for place in places],
            y=[rounded(value) for _, _, value in runs[:_MOST_SCATTERED]], mode="markers",
            marker={"color": COLORS[0], "size": 8, "opacity": 0.6}, showlegend=False,
            text=[_run_text(group.name, seed) for group, seed, _ in runs[:_MOST_SCATTERED]],
            hovertemplate=f"%{{y{hover_format(metric)}}}<br>%{{text}}<extra></extra>",
        )  # fmt: skip
        xaxis, yaxis = _parameter_axis(factor), metric_axis(metric)
        figures[factor.key] = figure_of([trace], xaxis=xaxis, yaxis=yaxis, height=380)
    many = f"{_MOST_SCATTERED:,} of {len(runs):,} done runs, those of the best groups,"
    drawn = many if len(runs) > _MOST_SCATTERED else "every done run"
    caption = f"{metric} of {drawn} over the values of one parameter."
    return Plot("parameter", "One parameter", caption, "parameter", figures) if figures else None


def _parameter_axis(factor: Factor) -> dict[str, Any]:
    title = {"title": {"text": plain_text(factor.key)}}
    if factor.numbers is None:
        return word_axis(factor.values, 20, range=[-0.5, len(factor.values) - 0.5], showgrid=False, **title)
    return {"type": "log" if factor.logarithmic else "linear", "automargin": True, "zeroline": False, **title}


def lines_plot(collection: Collection) -> Plot | None:
    """Parallel coordinates: a line a run, over the parameters to the metric."""
    known = {metric: lines(collection, metric) for metric in collection.metrics[:2]}
    figures = {
        metric: _parallel(metric, found, collection.smaller(metric))
        for metric, found in known.items()
        if found is not None
    }
    left_out = max((found.left_out for found in known.values() if found is not None), default=0)
    caption = (
        "A line a run, from its parameters to the metric; bright where the metric is good. Runs of one value lie side "
        f"by side.{f' The worst {left_out} runs are left out.' if left_out else ''}"
    )
    return Plot("lines", "All parameters", caption, "metric", figures) if figures else None


def _parallel(metric: str, found: Lines, smaller: bool) -> dict[str, Any]:
    low, high = min(found.values), max(found.values)
    shares = [(value - low) / ((high - low) or 1.0) for value in found.values]
    shades = sorted({_shade(share) for share in shares})
    last = len(found.factors)
    marks = [
        (place, factor.place(value), value)
        for place, factor in enumerate(found.factors)
        for value in shown_values(factor)
    ]
    marks += [(last, share, metric_text(metric, low + share * (high - low))) for share in (0.0, 0.5, 1.0)]
    shared = {"showarrow": False, "xanchor": "left", "xshift": 3}
    return figure_of(
        [_lines_of_shade(metric, found, shares, shade, smaller) for shade in shades],
        xaxis=word_axis([*(factor.title for factor in found.factors), metric], range=[-0.1, last + 0.45], side="top"),
        yaxis={"visible": False, "range": [-0.06, 1.06]},
        annotations=[{"x": place, "y": share, "text": plain_text(text, 18), **shared} for place, share, text in marks],
        height=420,
    )


def _shade(share: float) -> int:
    return round(share * (_SHADES - 1))


def _lines_of_shade(metric: str, found: Lines, shares: Sequence[float], shade: int, smaller: bool) -> Any:
    """The lines of one colour as a single trace, interrupted between runs: many traces would be slow."""
    chosen = [number for number, share in enumerate(shares) if _shade(share) == shade]
    y: list[float | None] = []
    texts: list[str] = []
    for number in chosen:
        y += [round(place, 4) for place in (*found.places[number], shares[number])] + [None]
        text = f"{metric_text(metric, found.values[number])}<br>{plain_text(found.names[number], _LONGEST_HOVER)}"
        texts += [text] * (len(found.factors) + 2)
    bright = 1 - shade / (_SHADES - 1) if smaller else shade / (_SHADES - 1)
    [color] = sample_colorscale("Viridis", [bright])
    return go.Scatter(
        x=[*range(len(found.factors) + 1), None] * len(chosen), y=y, mode="lines", opacity=0.8, showlegend=False,
        line={"color": color, "width": 1.8}, text=texts, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def importance_plot(collection: Collection) -> Plot | None:
    """Which parameter the monitored metric depends on, where a forest can tell."""
    found = importance(collection, collection.monitor)
    if found is None or not found.explains:
        return None
    bars = go.Bar(
        x=[rounded(mean) for mean in found.means], y=list(range(len(found.factors))), orientation="h",
        marker={"color": COLORS[0]}, error_x={"array": [rounded(one) for one in found.deviations], "thickness": 1},
        hovertemplate="%{x:.3f}<extra></extra>", showlegend=False,
    )  # fmt: skip
    title = f"fall of R² ({plain_text(collection.monitor)})"
    figure = figure_of(
        [bars],
        xaxis={"title": {"text": title}},
        yaxis=word_axis([factor.key for factor in found.factors], 40, autorange="reversed"),
        height=150 + 34 * len(found.factors),
    )
    return Plot(
        "importance",
        "Importance of the parameters",
        f"{found.caption}. Lines: deviation over shuffles.",
        "metric",
        {"": figure},
    )


def _faded(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


# In the order in which the page shows them.
PLOTS: dict[str, Callable[[Collection], Plot | None]] = {
    "learning curves": curves_plot,
    "points and intervals": points_plot,
    "heat map": heat_map_plot,
    "one parameter": parameter_plot,
    "parallel coordinates": lines_plot,
    "parameter importance": importance_plot,
    "confusion matrices": confusion_plot,
}
