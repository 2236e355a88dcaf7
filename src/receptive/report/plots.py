"""The interactive figures of a report's page: lines, points and bars, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from receptive.figures.style import BLUE
from receptive.metrics import is_share, metric_text
from receptive.report.collection import Collection
from receptive.report.curve_plots import curves_plot, parameter_plot
from receptive.report.figures import limits, repeated
from receptive.report.importance import importance
from receptive.report.matrices import confusion_plot, heat_map_plot
from receptive.report.plotting import (
    LONGEST_HOVER,
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
from receptive.report.series import Lines, Points, lines, points
from receptive.report.statistics import Spread
from receptive.report.styles import hues

_MOST_POINTS = 60  # groups of points and intervals
_SHADES = 16  # colours of lines


def points_plot(collection: Collection) -> Plot | None:
    """Mean, interval and single runs of each group, a metric at a time."""
    figures, means = {}, False
    for metric in collection.metrics[:MOST_CHOICES]:
        found = points(collection, metric)[:_MOST_POINTS]
        if sum(len(one.runs) for one in found) > 1:
            means = means or repeated(found)
            low, high = (end / (100 if is_share(metric) else 1) for end in limits(metric, found))
            figures[metric] = figure_of(
                _dots(metric, found, hues(collection, [one.group for one in found])),
                xaxis=metric_axis(metric, range=[low, high]),
                yaxis=word_axis([one.group.name for one in found], 60, range=[len(found) - 0.5, -0.5]),
                height=170 + 26 * len(found),
            )
    cut = f", {_MOST_POINTS} at most" if len(collection.groups) > _MOST_POINTS else ""
    dots = "Dot: mean over seeds; line: its 95 % interval (Student's t), cut off by the frame where it is very wide; "
    caption = f"{dots + 'open: single runs' if means else 'Dot: a run'}. Best groups first{cut}."
    title = "Groups and their spread over seeds" if means else "Groups"
    return Plot("points", title, caption, "metric", figures) if figures else None


def _dots(metric: str, found: Sequence[Points], colors: Sequence[str]) -> list[Any]:
    """Single runs and means; a pair of traces for each colour, since Plotly's error bars have one."""
    by_color: dict[str, list[int]] = {}
    for place, color in enumerate(colors):
        by_color.setdefault(color, []).append(place)
    kinds = 2 if repeated(found) else 1  # single runs need no mean
    pairs = [_pair(metric, found, places, color)[:kinds] for color, places in by_color.items()]
    return [trace.update(showlegend=not number) for number, pair in enumerate(pairs) for trace in pair]


def _pair(metric: str, found: Sequence[Points], places: Sequence[int], color: str) -> tuple[Any, Any]:
    runs = [(place, found[place].group.name, seed, value) for place in places for seed, value in found[place].runs]
    single = go.Scatter(
        x=[rounded(value) for *_, value in runs], y=[place for place, *_ in runs], mode="markers", name="single runs",
        legendgroup="runs", marker={"symbol": "circle-open", "size": 8, "color": color},
        text=[run_text(name, seed) for _, name, seed, _ in runs],
        hovertemplate=f"%{{x{hover_format(metric)}}}<br>%{{text}}<extra></extra>",
    )  # fmt: skip
    names = [plain_text(found[place].group.name, LONGEST_HOVER) for place in places]
    spreads = [found[place].spread for place in places]
    mean = go.Scatter(
        x=[rounded(one.mean) for one in spreads], y=list(places), mode="markers", legendgroup="means",
        name="mean and its 95 % interval", marker={"size": 9, "color": color},
        error_x={  # not symmetric where a bound of the metric cuts the interval off
            "array": [rounded(one.high - one.mean) if one.n > 1 else None for one in spreads],
            "arrayminus": [rounded(one.mean - one.low) if one.n > 1 else None for one in spreads],
            "width": 0,
        },
        text=[f"{name}<br>{_spread_text(metric, one)}" for name, one in zip(names, spreads, strict=True)],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    return single, mean


def _spread_text(metric: str, known: Spread) -> str:
    mean = metric_text(metric, known.mean)
    if known.n < 2:
        return f"{mean}, one run"
    ends = f"{metric_text(metric, known.low)} to {metric_text(metric, known.high)}"
    return f"{mean} ± {metric_text(metric, known.deviation)}, 95 % interval {ends}, n={known.n}"


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
        (place, factor.place(value), value) for place, factor in enumerate(found.factors) for value in factor.words
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
        text = f"{metric_text(metric, found.values[number])}<br>{plain_text(found.names[number], LONGEST_HOVER)}"
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
        marker={"color": BLUE}, error_x={"array": [rounded(one) for one in found.deviations], "thickness": 1},
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
