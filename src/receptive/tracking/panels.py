"""The panels of a dashboard, for W&B's workspaces and reports alike. Imports wandb-workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wandb_workspaces.reports.v2 import interface as reports

from receptive.tracking.board import Axis, Board

_WIDE, _HALF, _THIRD = 24, 12, 8  # of the 24 columns of a report's grid
_HEIGHT = 8
_MOST_AXES = 12  # of parallel coordinates that can still be read

Panel = Any  # one of the package's many classes of panels


def sweep_panels(board: Board) -> list[Panel]:
    """What was swept against what came out; nothing of a single run."""
    if board.runs < 2:
        return []
    panels: list[Panel] = []
    if board.axes:
        columns = [
            reports.ParallelCoordinatesPlotColumn(
                metric=reports.Config(axis.key), display_name=axis.title, log=axis.log or None
            )
            for axis in board.axes[:_MOST_AXES]
        ]
        last = reports.ParallelCoordinatesPlotColumn(
            metric=reports.SummaryMetric(board.metric), inverted=board.smaller or None
        )
        panels += [
            reports.ParallelCoordinatesPlot(columns=[*columns, last], layout=_layout(_WIDE)),
            reports.ParameterImportancePlot(with_respect_to=board.metric, layout=_layout(_HALF)),
            _scatter(board),
        ]
    bars: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"} if board.repeated else {}
    return [
        *panels,
        reports.BarPlot(
            title=board.metric, metrics=[board.metric], groupby=_only_key(board), **bars, layout=_layout(_HALF)
        ),
        reports.RunComparer(diff_only="split", layout=_layout(_WIDE)),
    ]


def _scatter(board: Board) -> Panel:
    """Two parameters, the metric as color; of one parameter against the metric. Numbers come before words."""
    x, *others = sorted(board.axes, key=lambda axis: not axis.numeric)
    metric = reports.SummaryMetric(board.metric)
    if not others:
        return reports.ScatterPlot(
            x=reports.Config(x.key),
            y=metric,
            log_x=_log(x),
            title=f"{board.metric} by {x.title}",
            layout=_layout(_HALF),
        )
    y = others[0]
    return reports.ScatterPlot(
        x=reports.Config(x.key),
        y=reports.Config(y.key),
        z=metric,
        log_x=_log(x),
        log_y=_log(y),
        title=f"{board.metric} by {x.title} and {y.title}",
        layout=_layout(_HALF),
    )


def curve_panels(board: Board) -> list[Panel]:
    """A metric an epoch, mean and deviation over the seeds; learning rate and gradients."""
    band: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"} if board.repeated else {}
    return [
        reports.LinePlot(
            title=name, x="epoch", y=[name], title_x="epoch", groupby=_only_key(board), **band, layout=_layout(_THIRD)
        )
        for name in (*board.curves, *board.own_curves)
    ]


def media_panels(board: Board) -> list[Panel]:
    """Confusion matrices, tables of classes, masks over images, figures; as far as there are any."""
    panels: list[Panel] = []
    if board.confusion:
        fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
        panels.append(
            reports.CustomChart(
                query={"summaryTable": {"tableKey": "confusion_matrix_table"}},
                chart_name="wandb/confusion_matrix/v1",
                chart_fields=fields,
                chart_strings={"title": "Confusion matrix of the test images"},
                layout=_layout(_HALF),
            )
        )
    if board.classes:
        panels.append(reports.WeavePanelSummaryTable(table_name="classes", layout=_layout(_HALF)))
    return panels + [
        reports.MediaBrowser(title=key.removeprefix("figures/"), media_keys=[key], layout=_layout(_HALF))
        for key in board.pictures
    ]


def group_keys(board: Board) -> list[str]:
    """Keys by which the runs are put together: what was swept, where points were run several times."""
    return [axis.key for axis in board.axes] if board.repeated else []


def filter_text(where: Any) -> str:
    """A filter for runs, as wandb-workspaces reads one: a Python expression.

    The package rewrites = < > in it, within texts too, and splits at quotes: all but letters and digits is escaped.
    """
    return " and ".join(f'Metric("{name}") == "{_escaped(value)}"' for name, value in where.items())


def _escaped(text: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else f"\\U{ord(one):08x}" for one in text)


def _only_key(board: Board) -> Any:
    """A plot of its own groups by one key alone; of several the table of runs is grouped, which plots follow."""
    keys = group_keys(board)
    return reports.Config(keys[0]) if len(keys) == 1 else None


def _log(axis: Axis) -> bool | None:
    return axis.log or None


def _layout(width: int) -> Any:
    return reports.Layout(w=width, h=_HEIGHT)


def in_rows(panels: Sequence[Panel]) -> list[Panel]:
    """Panels placed from left to right and from top to bottom, as a report's grid needs it."""
    x = y = 0
    for panel in panels:
        if x + panel.layout.w > _WIDE:
            x, y = 0, y + _HEIGHT
        panel.layout.x, panel.layout.y = x, y
        x += panel.layout.w
    return list(panels)
