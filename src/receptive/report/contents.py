"""What stands in the tables of a report's page: runs, configs, environments, and what runs are compared by."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receptive.config import leaves
from receptive.console import short_titles
from receptive.metrics import metric_text
from receptive.report.collection import Collection, Record
from receptive.report.tables import code_age

MOST_METRICS = 8  # columns; the others are told where a row is opened
_MOST_FILTERED = 30  # values of a label among which one chooses
_LONGEST = 300  # characters of a value
_MOST_VALUES = 12  # that are listed of a key that differs
ABSENT = "–"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and the number by which it is sorted where the text is none."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: its head.
        numeric: whether it holds numbers.
        choices: values by which the table can be filtered; () where it cannot.
    """

    title: str
    numeric: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Varied:
    """A key whose value is not the same in all runs: each value with the number of runs, and how many are not told."""

    key: str
    values: tuple[tuple[str, int], ...]
    more: int

    @property
    def differs(self) -> bool:
        """Whether it has several values."""
        return len(self.values) > 1


def chosen_records(collection: Collection, most: int) -> list[Record]:
    """The runs that the page has a row for, in their order: all, or the best."""
    if len(collection.records) <= most:
        return list(collection.records)
    sign = 1 if collection.smaller(collection.monitor) else -1

    def place(record: Record) -> tuple[bool, float]:
        value = sign * record.metrics.get(collection.monitor, math.inf * sign)
        return record.state != "done", value if math.isfinite(value) else math.inf

    kept = {id(record) for record in sorted(collection.records, key=place)[:most]}
    return [record for record in collection.records if id(record) in kept]


def states(collection: Collection) -> dict[str, int]:
    """State -> number of runs, the most frequent first."""
    return dict(Counter(record.state for record in collection.records).most_common())


def period(collection: Collection) -> str:
    """From when to when the runs were computed; "" where none says."""
    started = [record.status.started for record in collection.records if record.status.started]
    ended = [record.status.ended for record in collection.records if record.status.ended]
    if not started:
        return ""
    first = datetime.fromtimestamp(min(started)).astimezone()
    last = datetime.fromtimestamp(max(ended)).astimezone() if ended else first
    end = f"{last:%H:%M %Z}" if last.date() == first.date() else f"{last:%Y-%m-%d %H:%M %Z}"
    return f"{first:%Y-%m-%d %H:%M} to {end}"


def run_names(collection: Collection, records: Sequence[Record]) -> list[str]:
    """The runs by their labels; of runs of the same labels by their folders."""
    named = [", ".join(one.labels.get(key, "") for key in collection.labels) for one in records]
    counts = Counter(named)
    return [
        name if name and counts[name] == 1 else record.run.folder.name
        for name, record in zip(named, records, strict=True)
    ]


def run_columns(collection: Collection, records: Sequence[Record]) -> list[Column]:
    """The columns of the table of runs."""
    columns = []
    for key, title in zip(collection.labels, short_titles(collection.labels), strict=True):
        values = dict.fromkeys(record.labels.get(key, "") for record in records)
        filtered = 1 < len(values) <= _MOST_FILTERED
        columns.append(Column(title, choices=tuple(values) if filtered else ()))
    columns += [Column(metric, numeric=True) for metric in collection.metrics[:MOST_METRICS]]
    present = tuple(dict.fromkeys(record.state for record in records))
    columns += [Column("best epoch", numeric=True), Column("seconds", numeric=True)]
    return [*columns, Column("state", choices=present if len(present) > 1 else ()), Column("folder")]


def run_cells(collection: Collection, record: Record) -> list[Cell]:
    """A row of the table of runs."""
    cells = [Cell(record.labels.get(key, "")) for key in collection.labels]
    for metric in collection.metrics[:MOST_METRICS]:
        value = record.metrics.get(metric)
        cells.append(Cell("") if value is None else Cell(metric_text(metric, value), value))
    epoch, seconds = record.result.get("best_epoch"), record.result.get("seconds")
    cells.append(Cell("" if epoch is None else str(epoch)))
    cells.append(Cell("" if seconds is None else f"{seconds:.1f}"))
    old = " (older code)" if record.state == "done" and code_age(record) == "older" else ""
    return [*cells, Cell(record.state + old), Cell(record.run.folder.name)]


def shared_config(collection: Collection) -> list[tuple[str, str]]:
    """Keys and values of the configs that are the same in all runs."""
    configs = [record.config for record in collection.records if record.config]
    if not configs:
        return []
    return [
        (key, shown_value(value)) for key, value in configs[0].items() if all(_same(one, key, value) for one in configs)
    ]


def _same(config: Mapping[str, Any], key: str, value: Any) -> bool:
    return key in config and bool(config[key] == value)


def varied_config(collection: Collection) -> list[Varied]:
    """Keys of the configs that are not the same in all runs."""
    return _varied([record.config for record in collection.records if record.config])


def environment(collection: Collection) -> list[Varied]:
    """Where the results come from: code, versions, machine, precision, data; a key may have several values."""
    return _varied([environment_of(record) for record in collection.records if record.result], all_keys=True)


def environment_of(record: Record) -> dict[str, Any]:
    """What `result.json` says of code, versions, machine, precision and data."""
    parts = ("code", "hardware", "precision", "versions")
    checksums = record.told("data", "checksums")
    known = {key: record.told(key) for key in parts if record.told(key) is not None}
    return leaves({**known, **({"data": checksums} if checksums else {})})


def _varied(configs: Sequence[Mapping[str, Any]], all_keys: bool = False) -> list[Varied]:
    found = []
    for key in dict.fromkeys(key for config in configs for key in config):
        counts = Counter(shown_value(config[key]) if key in config else ABSENT for config in configs)
        if all_keys or len(counts) > 1:
            common = counts.most_common(_MOST_VALUES)
            found.append(Varied(key, tuple(common), len(counts) - len(common)))
    return found


def comparison(collection: Collection, records: Sequence[Record]) -> dict[str, Any]:
    """What any two runs are compared by, small enough to be a part of the page.

    Returns:
        runs: name of each; fields: those that are not the same in all runs, each with its kind ("config", "metric",
        "environment", "run"), its key, its distinct values, and of each run the place of its value among them.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = {
        "config": [record.config for record in records],
        "metric": [
            {metric: metric_text(metric, value) for metric, value in record.metrics.items()} for record in records
        ],
        "environment": [environment_of(record) for record in records],
        "run": [_about(record) for record in records],
    }
    fields = [field for kind, values in kinds.items() for field in _fields(kind, values)]
    return {"runs": run_names(collection, records), "fields": fields}


def _about(record: Record) -> dict[str, Any]:
    status = {"state": record.state, "error": record.status.error, "attempts": record.status.attempts}
    return {key: value for key, value in status.items() if value is not None}


def _fields(kind: str, runs: Sequence[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for key in dict.fromkeys(key for values in runs for key in values):
        texts = [shown_value(values[key]) if key in values else ABSENT for values in runs]
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        if len(distinct) > 1 or kind == "metric":
            yield {"kind": kind, "key": key, "values": list(distinct), "of": [distinct[text] for text in texts]}


def shown_value(value: Any) -> str:
    """A value of a config as text; a very long one loses its end."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
