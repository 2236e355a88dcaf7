"""The table is read whole, however narrow the screen."""

import io

import pytest
from rich.console import Console
from tests.report.conftest import RunFolders

from receptive.report.tables import print_tables

LABELS = {
    "model.upsampling": "transposed",
    "model.activation": "leaky_relu",
    "optimizer.name": "adamw",
    "optimizer.lr": "0.0003",
    "data.batch_size": "8",
}


@pytest.mark.parametrize("terminal", [True, False])
def test_no_value_is_cut_off(folders: RunFolders, terminal: bool) -> None:
    metrics = {"val/f1_mean": 0.9712, "test/f1_mean": 0.9688}
    folders.add(LABELS, seed=None, score=None, metrics=metrics, result={"monitor": "val/f1_mean", "seconds": 12.34})
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=terminal, no_color=True)
    print_tables(folders.collection(), (), console)
    text = stream.getvalue()
    for value in (*LABELS.values(), "0.9712", "0.9688", "12.3", "done"):
        assert value in text
    assert "…" not in text
    if not terminal:  # a log, where a line may be long
        assert len(text.splitlines()) == 2
    assert console.width == 80
