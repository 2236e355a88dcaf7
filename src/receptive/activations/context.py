"""A trained network, the images that it is shown, and where tables and figures of it go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from torch import nn

from receptive.activations.images import Images
from receptive.build import Experiment
from receptive.files import write_csv
from receptive.inference import Predictor
from receptive.recording.layers import kind_of, label_of

Batch = TypeVar("Batch")
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Context:
    """What every look at a network needs.

    Args:
        name: of the run, for titles.
        experiment: with the weights that are looked at.
        predictor: the network of it.
        layers: those that are looked at, by name.
        images: that are shown.
        described: those images in words.
        batch_size: images that the network gets at once.
        output: folder of tables and figures.
        console: shows progress where it is a terminal.
    """

    name: str
    experiment: Experiment
    predictor: Predictor
    layers: Mapping[str, nn.Module]
    images: Images
    described: str
    batch_size: int
    output: Path
    console: Console

    def kind(self, layer: str) -> str:
        """Conv2d, ReLU ... of a layer; of a repeated call ("name#2") too."""
        return kind_of(self.layers[layer.partition("#")[0]])

    def label(self, layer: str) -> str:
        """A layer as figures call it."""
        return label_of(layer, self.layers)

    def progress(self, batches: Iterable[Batch], size: int, doing: str) -> Iterable[Batch]:
        """The batches of `size` images, with a bar on terminals."""
        total = -(-size // self.batch_size)
        return track(batches, doing, total, console=self.console, transient=True, disable=not self.console.is_terminal)

    def write(self, name: str, rows: Iterable[Row], columns: Sequence[str]) -> None:
        """Write a table; numbers with six digits, nothing where there is none."""
        write_csv(self.output / name, columns, ({key: _text(row[key]) for key in columns} for row in rows))


def _text(value: Any) -> Any:
    if isinstance(value, float):  # numpy's float64 is one
        return "" if value != value else f"{value:.6g}"
    return value
