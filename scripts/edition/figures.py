"""The figures of results/checks, drawn from committed tables alone; none shows an image of a data set.

results/checks/figures/
layers.png      nets A and B by depth: mean absolute activation, exact zeros, what probes tell of class and picture
gradients.png   the gradients of their convolutions by epoch
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.edition import nets

from receptive.figures.style import COLORS, SMALL, new_figure, tidy
from receptive.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("checks") / "figures"  # below results/
_WIDTH = 5.4  # inches: narrower than a page, so that type is large on a slide
_NAMES = {"a": "net A, plain", "b": "net B, batch normalisation"}
_MARKERS = "os"
_TITLES = {
    "layers": "Nets A and B on CIFAR-10 behind each ReLU",
    "gradients": "Gradients of the convolutions of nets A and B on CIFAR-10",
}


@dataclass(frozen=True)
class Panel:
    """A quantity of both nets.

    Args:
        title: names the axis.
        along: what it is drawn over.
        series: net -> its values.
        scale: 100 where it is shown in percent.
    """

    title: str
    along: str
    series: dict[str, nets.Series]
    scale: int = 1


def panels(results: Path) -> dict[str, list[Panel]]:
    """Name of a figure -> what it shows; {} where the study was not run, or its layers were not looked at."""
    depths = {net: nets.by_depth(results, net) for net in nets.NETS}
    epochs = {net: nets.gradients(results, net) for net in nets.NETS}
    if not (all(depths.values()) and all(epochs.values())):
        return {}
    quantities = (
        ("mean_absolute", "mean absolute activation", 1),
        ("zeros", "share of exact zeros", 1),
        ("class_accuracy", "class, read by a probe (%)", 100),
        ("picture_r2", "picture, read by a probe (R²)", 1),
    )
    layers = [
        Panel(title, "number of the ReLU", {net: depths[net][key] for net in nets.NETS}, scale)
        for key, title, scale in quantities
    ]
    return {"layers": layers, "gradients": [Panel("gradient norm (L2), mean of layers", "epoch", epochs)]}


def draw(name: str, shown: list[Panel]) -> Figure:
    """The panels of a figure, two beside each other, with the mean over the runs and their range."""
    rows, columns = -(-len(shown) // 2), min(2, len(shown))
    figure = new_figure(1.9 * rows + 0.75 if rows > 1 else 3.1, _WIDTH)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes, panel in zip(grid.ravel(), shown, strict=True):
        for (net, series), color, marker in zip(panel.series.items(), COLORS, _MARKERS, strict=False):
            values = [[panel.scale * value for value in one.values] for one in series.values()]
            low, high = ([end(found) for found in values] for end in (min, max))
            means = [panel.scale * one.mean for one in series.values()]
            axes.fill_between(list(series), low, high, color=color, alpha=0.25, linewidth=0)
            axes.plot(list(series), means, color=color, marker=marker, markersize=3.5, linewidth=1.4, label=_NAMES[net])
        tidy(axes, panel.title)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=10)
    for axes in grid[-1]:
        axes.set_xlabel(shown[0].along, fontsize=SMALL + 1)
        axes.tick_params(axis="x", labelsize=SMALL)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=SMALL + 1, frameon=False)
    runs = {one.n for panel in shown for series in panel.series.values() for one in series.values()}
    seeds = " or ".join(map(str, sorted(runs)))
    title = f"{_TITLES[name]}\nmean of {seeds} seeds, band from the smallest to the largest"
    figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def mark(shown: list[Panel]) -> str:
    """Names the numbers that are drawn: it stands in the file, and tells whether they are those of the tables."""
    numbers = [
        [panel.title, net, place, one.values]
        for panel in shown
        for net, series in panel.series.items()
        for place, one in series.items()
    ]
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:12]


def write(results: Path) -> list[Path]:
    """Draw all of them; gives the files that changed."""
    changed = []
    for name, shown in panels(results).items():
        path = results / FOLDER / f"{name}.png"
        content = io.BytesIO()
        draw(name, shown).savefig(content, format="png", metadata={"Software": None, "Comment": mark(shown)})
        if not path.is_file() or path.read_bytes() != content.getvalue():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(content.getvalue())
            changed.append(path)
    return changed
