"""What the interactive figures of a report's page share.

All of them are drawn as SVG: WebGL needs more than a strict content policy gives. Colours of text, grid and background
are left to the page, which changes them with its theme.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from receptive.figures.style import cut_middle
from receptive.metrics import is_share
from receptive.report.labels import cut_names

MOST_CHOICES = 8  # metrics among which one chooses
LONGEST_HOVER = 200  # signs of a name under the pointer


@dataclass(frozen=True)
class Plot:
    """Figures of which one is shown at a time.

    Args:
        key: names it within the page.
        title: of it.
        caption: how to read it.
        choice: what one chooses by: "metric", "parameter" ...
        figures: what is chosen -> Plotly's data and layout.
    """

    key: str
    title: str
    caption: str
    choice: str
    figures: dict[str, dict[str, Any]]


def figure_of(traces: Sequence[Any], **layout: Any) -> dict[str, Any]:
    """Data and layout as plain containers, checked by Plotly; without the colours of any template."""
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"}
    margin = {"l": 60, "r": 20, "t": 30, "b": 50}
    shared = {"template": go.layout.Template(), "margin": margin, "legend": legend, "hovermode": "closest"}
    figure: dict[str, Any] = go.Figure(list(traces), {**shared, **layout}).to_plotly_json()
    return figure


def metric_axis(metric: str, **more: Any) -> dict[str, Any]:
    """An axis for a metric."""
    title = {"text": plain_text(metric)}
    return {"title": title, "tickformat": tick_format(metric), "automargin": True, "zeroline": False, **more}


def word_axis(words: Sequence[str], most: int = 24, **more: Any) -> dict[str, Any]:
    """An axis on which words stand at 0, 1, 2 ..."""
    texts = [plain_text(word, most) for word in cut_names(words, most)]
    return {"tickvals": list(range(len(words))), "ticktext": texts, "automargin": True, "zeroline": False, **more}


def tick_format(metric: str) -> str:
    """D3's format of a metric's ticks: percent without trailing zeros, or as Plotly likes."""
    return "~%" if is_share(metric) else ""


def hover_format(metric: str) -> str:
    """D3's format of a single value of a metric, as it stands in a Plotly template."""
    return ":.2%" if is_share(metric) else ":.4f"


def plain_text(text: str, most: int = 60) -> str:
    """Text as Plotly shows it literally: it reads a subset of HTML, and no &quot;. A long one loses its middle."""
    return html.escape(cut_middle(text, most), quote=False)


def run_text(name: str, seed: str) -> str:
    """A run under the pointer."""
    return f"{plain_text(name, LONGEST_HOVER)}<br>seed {plain_text(seed)}"


def rounded(value: float) -> float:
    """Five significant digits: more only make the page larger."""
    return float(f"{value:.5g}")
