"""A run in TensorBoard: event files in its folder, from the rows of metrics.csv, its result and figures.

Nothing that goes wrong here fails a run: it is logged once, and no more is written.
"""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image

from receptive.callbacks.records import EpochRecords
from receptive.config import decides, leaves
from receptive.runs import Run
from receptive.tracking.options import TensorboardOptions, shown_figures, tensorboard_options


class EventFile:
    """An event file of TensorBoard's, made with the first events that are written.

    tensorboard's own writer has a thread, which tells on stderr what goes wrong, and which the processes that read the
    data would be forked beside; here a file is open as long as it is written to, and an error comes where it is made.

    Args:
        folder: of event files, read by TensorBoard in the order of their names.
    """

    def __init__(self, folder: Path) -> None:
        # of the same length for the next 250 years; microseconds, for attempts that follow one another closely
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        self._begun = False

    def write(self, *events: Any) -> None:
        """Write events (protocol buffers) to the disk; raises OSError where that fails, as where the folder is gone."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        buffer = io.BytesIO()
        records = RecordWriter(buffer)
        if not self._begun:
            self.path.parent.mkdir(exist_ok=True)
            records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        for event in events:
            records.write(event.SerializeToString())
        with open(self.path, "ab" if self._begun else "xb") as file:
            file.write(buffer.getvalue())
        self._begun = True


class TensorboardRecords(pl.Callback):
    """Shows every row of metrics.csv as soon as it is there, and a run's end. Rank 0 alone writes.

    Args:
        run: in whose folder the event files lie.
        records: comes before this one.
        options: of logger=tensorboard.
    """

    def __init__(self, run: Run, records: EpochRecords, options: TensorboardOptions) -> None:
        self._run = run
        self._records = records
        self._options = options
        self._file = EventFile(run.tensorboard)
        self._given_up = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin: what an attempt before this one has written of epochs that come now is not shown any more."""
        if trainer.is_global_zero:
            self._write(self._beginning)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's row."""
        if trainer.is_global_zero:
            self._write(lambda: [_row(self._records.rows[-1])])

    def show_result(self, config: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Show the settings with the metrics, and the figures that are there; called in rank 0, after the last of them.

        Args:
            config: of the run, with its interpolations.
            result: as it stands in result.json.
        """
        self._write(lambda: [*_result(config, result)])
        self._write(lambda: [*_figures(self._run, self._options, result)])

    def _beginning(self) -> list[Any]:
        rows, folder = self._records.rows, self._run.tensorboard
        known = folder.is_dir() and any(folder.iterdir())
        return [_restart(len(rows) + 1), *([] if known else map(_row, rows))]

    def _write(self, events: Callable[[], Sequence[Any]]) -> None:
        if self._given_up:
            return
        try:
            self._file.write(*events())
        except Exception as error:  # TensorBoard is a courtesy: no fault of it ends a training
            logging.getLogger(__name__).warning("no more is written for TensorBoard: %r", error)
            self._given_up = True


def tensorboard_records(config: Mapping[str, Any], run: Run, records: EpochRecords) -> list[TensorboardRecords]:
    """What logger=tensorboard asks for beside the other callbacks, to come after `records`; else nothing."""
    options = tensorboard_options(config)
    return [] if options is None else [TensorboardRecords(run, records, options)]


def show_result(trainer: pl.Trainer, config: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Show a run's end where its trainer has a `TensorboardRecords`; arguments as there."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, TensorboardRecords):
            callback.show_result(config, result)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of what decides what a run computes: numbers and texts, lists as JSON, no nulls."""
    found = {}
    for key, value in leaves(dict(config)).items():
        if value in (None, {}) or not decides(key, value) or str(value).startswith("${"):
            continue
        found[key] = value if isinstance(value, str | float) or type(value) is int else json.dumps(value)
    return found


def _event(step: float, values: Sequence[Any]) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=time.time(), step=int(step), summary=Summary(value=values))


def _scalars(step: float, values: Mapping[str, float]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return _event(step, [Summary.Value(tag=key, simple_value=value) for key, value in values.items()])


def _row(row: Mapping[str, float]) -> Any:
    return _scalars(row["epoch"], {key: value for key, value in row.items() if key != "epoch"})


def _restart(step: int) -> Any:
    """TensorBoard then forgets what the files before this one hold from this step on."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    return Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))


def _result(config: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Any]:
    """Of HPARAMS; the metrics have names of their own, as those of the epochs have theirs."""
    from torch.utils.tensorboard.summary import hparams

    metrics = {f"result/{name}": value for name, value in result["metrics"].items()}
    yield _scalars(result["best_epoch"], metrics)
    for summary in hparams(settings(config), metrics):
        yield _event(0, summary.value)


def _figures(run: Run, options: TensorboardOptions, result: Mapping[str, Any]) -> Iterator[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    for path in shown_figures(run.figures, options):
        with Image.open(path) as picture:
            (width, height), channels = picture.size, len(picture.getbands())
        image = Summary.Image(width=width, height=height, colorspace=channels, encoded_image_string=path.read_bytes())
        yield _event(result["epochs"], [Summary.Value(tag=f"figures/{path.stem}", image=image)])
