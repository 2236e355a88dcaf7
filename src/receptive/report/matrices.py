"""The interactive figures of a report's page that are matrices: two parameters, confusion of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from receptive.metrics import is_share
from receptive.report.collection import Collection
from receptive.report.figures import MOST_CELLS
from receptive.report.plotting import (
    MOST_CHOICES,
    Plot,
    figure_of,
    hover_format,
    plain_text,
    rounded,
    tick_format,
    word_axis,
)
from receptive.report.series import Grid, best_record, grid, ranked

_MOST_MATRICES = 12
_MOST_CLASSES = 100
_MOST_WRITTEN = 15  # classes of a matrix whose cells say their share


def heat_map_plot(collection: Collection) -> Plot | None:
    """A metric over two parameters, a metric at a time."""
    found = {metric: grid(collection, metric) for metric in collection.metrics[:MOST_CHOICES]}
    figures = {
        metric: _heat_map(metric, one, collection.smaller(metric)) for metric, one in found.items() if one is not None
    }
    caption = "Mean of the runs of each pair of values; empty where none is done."
    return Plot("heat_map", "Two parameters", caption, "metric", figures) if figures else None


def _heat_map(metric: str, found: Grid, smaller: bool) -> dict[str, Any]:
    rows, columns = len(found.rows.values), len(found.columns.values)
    written = f"%{{z:.{found.digits(metric)}{'%' if is_share(metric) else 'f'}}}"
    told = f"{plain_text(found.rows.title)} %{{y}}, {plain_text(found.columns.title)} %{{x}}"
    trace = go.Heatmap(
        z=[[None if math.isnan(value) else rounded(value) for value in row] for row in found.means],
        x=list(range(columns)), y=list(range(rows)), customdata=found.counts, xgap=2, ygap=2, hoverongaps=False,
        colorscale="Viridis", reversescale=smaller,
        colorbar={"tickformat": tick_format(metric), "thickness": 14},
        texttemplate=written if rows * columns <= MOST_CELLS else None,
        hovertemplate=f"{told}<br>%{{z{hover_format(metric)}}}, n=%{{customdata}}<extra></extra>",
    )  # fmt: skip
    xaxis = word_axis(found.columns.values, showgrid=False, title={"text": plain_text(found.columns.title)})
    yaxis = word_axis(found.rows.values, showgrid=False, title={"text": plain_text(found.rows.title)})
    height = 170 + max(28, min(70, 900 // rows)) * rows
    return figure_of([trace], xaxis=xaxis, yaxis=yaxis | {"autorange": "reversed"}, height=height)


def confusion_plot(collection: Collection) -> Plot | None:
    """Confusion matrices of the best run of each group, a group at a time."""
    figures: dict[str, dict[str, Any]] = {}
    for group in ranked(collection):
        record = best_record(collection, group)
        if record is None or len(figures) == _MOST_MATRICES:
            continue
        counts = record.told("details", "confusion_matrix")
        names = record.told("data", "facts", "class_names")
        if counts and names and len(counts) == len(names) <= _MOST_CLASSES:
            figures[f"{group.name}, seed {record.seed}"] = _confusion(counts, names)
    caption = (
        "Test images of the best run of each group: colour and figure are the share of the true class in percent; of "
        f"{_MOST_MATRICES} groups at most, the best."
    )
    return Plot("confusion", "Confusion matrices", caption, "run", figures) if figures else None


def _confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> dict[str, Any]:
    places = list(range(len(names)))
    trace = go.Heatmap(
        z=[[round(100 * count / (sum(row) or 1), 1) for count in row] for row in counts],
        x=places, y=places, customdata=counts, colorscale="Viridis", zmin=0, zmax=100, xgap=1, ygap=1,
        colorbar={"thickness": 14, "ticksuffix": " %"},
        texttemplate="%{z:.0f}" if len(names) <= _MOST_WRITTEN else None,
        hovertemplate="true %{y}<br>predicted %{x}<br>%{z} %, %{customdata} images<extra></extra>",
    )  # fmt: skip
    axis = word_axis(names, 20, showgrid=False)
    return figure_of(
        [trace],
        xaxis=axis | {"title": {"text": "predicted class"}},
        yaxis=axis | {"title": {"text": "true class"}, "autorange": "reversed"},
        height=min(900, 330 + 14 * len(names)),
    )
