"""What is left on a terminal, and how many lines anywhere else."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console

from receptive.callbacks import progress
from receptive.callbacks.progress import RunProgress, epoch_text
from receptive.checkpoints import AtomicCheckpointIO
from receptive.console import new_console


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    environment = {"TERM": "xterm-256color"}  # not that of whoever runs the suite
    options: dict[str, Any] = {"width": 100, "legacy_windows": False, "_environ": environment}
    return new_console(file=stream, force_terminal=terminal, **options), stream


def screen(output: str) -> list[str]:
    """The lines that a terminal shows after `output`; it knows what rich uses of the control sequences."""
    lines, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        match piece:
            case "\r":
                column = 0
            case "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            case "\x1b[1A":
                row -= 1
            case "\x1b[2K":
                lines[row] = ""
            case _ if piece.startswith("\x1b"):  # colours, and the cursor's visibility
                assert piece.endswith("m") or piece in ("\x1b[?25l", "\x1b[?25h"), piece
            case _:
                lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + len(piece) :]
                column += len(piece)
    return [line.rstrip() for line in lines if line.strip()]


def test_accuracies_are_told_in_percent_and_the_rest_as_it_is() -> None:
    metrics = {"val/accuracy": torch.tensor(0.98771), "train/loss": 0.123456, "lr": 0.1, "val/f1_mean": 0.5}
    assert epoch_text(metrics) == "train/loss 0.1235  val/accuracy 98.77 %  val/f1_mean 0.5000"
    assert epoch_text({}) == ""


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (10, 10), (11, 6), (19, 10), (100, 10)])
def test_without_a_terminal_there_are_at_most_ten_lines(
    fit: Any, monkeypatch: pytest.MonkeyPatch, epochs: int, lines: int
) -> None:
    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", lambda *_, **__: None)
    target, stream = console(terminal=False)
    validation = [{"val/score": 0.5, "val/loss": float(epoch)} for epoch in range(1, epochs + 1)]
    fit(RunProgress(target), validation=validation, epochs=epochs, batches=1)
    told = stream.getvalue().splitlines()
    assert len(told) == lines
    assert told[-1] == f"epoch {epochs}/{epochs}  val/loss {epochs}.0000"
    assert len({line.index("/") for line in told}) == 1  # the numbers stand below one another
    assert "\x1b" not in stream.getvalue()


def test_lines_tell_this_epochs_metrics(fit: Any) -> None:
    target, stream = console(terminal=False)
    validation = [{"val/score": 0.5, "val/loss": 2.0}, {"val/score": 0.5, "val/loss": 1.0}]
    fit(RunProgress(target), validation=validation, epochs=2)
    assert stream.getvalue() == "epoch 1/2  val/loss 2.0000\nepoch 2/2  val/loss 1.0000\n"


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_lines_tell_no_validation_of_an_epoch_before(fit: Any) -> None:
    target, stream = console(terminal=False)
    validation = [{"val/score": 0.5, "val/loss": float(epoch)} for epoch in range(1, 5)]
    fit(RunProgress(target), validation=validation, epochs=4, val_every_n_epochs=2)
    told = [line.partition("  ")[2] for line in stream.getvalue().splitlines()]
    assert told == ["", "val/loss 2.0000", "", "val/loss 4.0000"]


def test_long_lines_are_not_broken(fit: Any) -> None:
    stream = io.StringIO()
    fit(
        RunProgress(new_console(file=stream, force_terminal=False, width=20)),
        validation=[{"val/score": 1, "val/loss": 2.0}],
    )
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(("style", "terminal"), [("bar", False), ("auto", True), ("bar", True)])
def test_a_bar_counts_all_batches_and_is_gone_in_the_end(
    fit: Any, monkeypatch: pytest.MonkeyPatch, style: Any, terminal: bool
) -> None:
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    target, stream = console(terminal=True)
    fit(
        RunProgress(target, style),
        epochs=2,
        batches=3,
        validation=[{"val/score": 0.5, "val/accuracy": 0.875}],
    )
    output = stream.getvalue()
    for seen in ("epoch 1/2", "1/6", "3/6", "epoch 2/2", "6/6", "87.50 %"):
        assert seen in output
    assert screen(output) == []
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")  # the cursor is back


def test_a_bar_goes_on_where_the_run_was(fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    fit(epochs=1, batches=3)
    target, stream = console(terminal=True)
    fit(RunProgress(target), epochs=3, batches=3, checkpoint=tmp_path / "checkpoints" / "last.ckpt")
    assert re.findall(r"epoch (\d)/3", stream.getvalue())[0] == "2"
    assert set(re.findall(r"(?<!\d)(\d)/9", stream.getvalue())) == set("3456789")


@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(1)])
def test_a_bar_is_gone_after_an_exception(fit: Any, error: BaseException) -> None:
    class Fail(pl.Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            if arguments[-1] == 1:
                assert "epoch 1/1" in stream.getvalue()
                assert screen(stream.getvalue()) != []
                raise error

    target, stream = console(terminal=True)
    with pytest.raises(type(error)):
        fit(RunProgress(target), Fail())
    assert screen(stream.getvalue()) == []
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    target.print("after")
    assert screen(stream.getvalue()) == ["after"]


def test_a_bar_is_not_drawn_for_every_batch(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cost must not show in small steps."""
    monkeypatch.setattr(progress, "_REFRESH", 1000.0)
    target, stream = console(terminal=True)
    fit(RunProgress(target), batches=50)
    assert stream.getvalue().count("/50") < 6


@pytest.mark.parametrize(("style", "terminal", "shown"), [("none", True, 0), ("none", False, 0), ("lines", True, 2)])
def test_the_style_can_be_chosen(fit: Any, style: Any, terminal: bool, shown: int) -> None:
    target, stream = console(terminal)
    fit(RunProgress(target, style), epochs=2)
    assert stream.getvalue().count("epoch") == shown
