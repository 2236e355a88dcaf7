"""The table is read whole, however narrow the screen."""

import io
from pathlib import Path

import pytest
from receptive.sweeps.table import print_table
from rich.console import Console

from receptive.runs import Run, Status

LABELS = {
    "model.upsampling": "transposed",
    "model.activation": "leaky_relu",
    "optimizer": "adamw",
    "optimizer.lr": "0.0003",
    "data.batch_size": "8",
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.write_status(Status(state="done"))
    metrics = {"val/f1_mean": 0.9712, "test/f1_mean": 0.9688}
    run.write_result({"metrics": metrics, "monitor": "val/f1_mean", "seconds": 12.34})
    return run


@pytest.mark.parametrize("terminal", [True, False])
def test_no_value_is_cut_off(run: Run, terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=terminal, no_color=True)
    print_table([(LABELS, run)], console)
    text = stream.getvalue()
    for value in (*LABELS.values(), "0.9712", "0.9688", "12.3", "done"):
        assert value in text
    assert "…" not in text
    if not terminal:  # a log, where a line may be long
        assert len(text.splitlines()) == 2
    assert console.width == 80
