"""A workspace and a report page of W&B, made of a board's panels. Imports wandb-workspaces."""

from __future__ import annotations

import unicodedata
from typing import Any

import wandb_workspaces.workspaces as workspaces
from wandb_workspaces.reports.v2 import interface as reports

from receptive.tracking.board import Board
from receptive.tracking.panels import (
    Panel,
    curve_panels,
    filter_text,
    group_keys,
    in_rows,
    media_panels,
    sweep_panels,
)

_MOST_RUNS = 200  # that a plot of the workspace draws
_LONGEST_TITLE = 128  # characters that the package takes
_SYMBOLS = ("So", "Sk", "Sm", "Sc", "Cs")  # categories that it refuses in a workspace's name


def workspace_of(board: Board, project: str, entity: str) -> Any:
    """The workspace: a view of the project's runs that shows this board's alone."""
    claims = [reports.MarkdownPanel(markdown=board.claims)] if board.claims else []
    sections = [
        _section("Sweep", sweep_panels(board), columns=2),
        _section("Curves", curve_panels(board), columns=3),
        _section("Media", media_panels(board), columns=2),
        _section("Claims", claims, columns=1),
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=_plain_name(board.title),
        sections=[section for section in sections if section.panels],
        settings=workspaces.WorkspaceSettings(x_axis="epoch", max_runs=_MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(
            filters=filter_text(board.where),
            groupby=[workspaces.Config(key) for key in group_keys(board)],
            order=[workspaces.Ordering(workspaces.Summary(board.metric), ascending=board.smaller)],
            pinned_columns=[f"summary:{name}" for name in dict.fromkeys((board.metric, board.monitor))],
        ),
    )


def _section(name: str, panels: list[Panel], columns: int) -> Any:
    layout = workspaces.SectionLayoutSettings(columns=columns, rows=3)
    return workspaces.Section(name=name, panels=panels, is_open=True, layout_settings=layout)


def _plain_name(title: str) -> str:
    return "".join("-" if unicodedata.category(one) in _SYMBOLS else one for one in title)


def report_of(board: Board, project: str, entity: str) -> Any:
    """The report page: what is compared, claims, tables, panels, what went wrong, the command."""
    blocks: list[Any] = [reports.TableOfContents(), reports.P(board.about)]
    for title, text in (("Claims", board.claims), ("Summary", board.summary)):
        blocks += [reports.H1(title), reports.MarkdownBlock(text)] if text else []
    for title, panels in (("Sweep", sweep_panels), ("Curves", curve_panels), ("Media", media_panels)):
        if found := panels(board):
            blocks += [reports.H1(title), reports.PanelGrid(runsets=[_runset(board)], panels=in_rows(found))]
    if board.troubles:
        listed = "\n".join(f"- {text}" for text in board.troubles)
        blocks += [reports.H1("Not done"), reports.MarkdownBlock(listed)]
    if board.commands:
        command = "\n".join(board.commands)
        blocks += [reports.H1("Again"), reports.MarkdownBlock(f"```\n{command}\n```")]
    title = board.title[:_LONGEST_TITLE]
    return reports.Report(
        entity=entity, project=project, title=title, description=board.about, blocks=blocks, width="fluid"
    )


def _runset(board: Board) -> Any:
    """The runs below a grid of panels; without a project of their own they are those of the report's."""
    return reports.Runset(
        name=board.title,
        filters=filter_text(board.where),
        groupby=[f"config.{key}" for key in group_keys(board)],
        order=[reports.OrderBy(reports.SummaryMetric(board.metric), ascending=board.smaller)],
    )
