"""The runs of a sweep's folder as a report sees them: read from files alone, whatever state they are in."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receptive.config import decides, leaves
from receptive.errors import InputError
from receptive.files import read_yaml
from receptive.manifest import commands_of, runs_in
from receptive.metrics import smaller_is_better
from receptive.runs import Run, State, Status

_MONITOR = "val/accuracy"  # of a collection without a single result


@dataclass(frozen=True)
class Record:
    """A run.

    Args:
        run: its folder.
        labels: what tells it from the others: the variant, and swept key -> value as typed.
        state: the true one.
        status: what `status.json` says.
        config: dotted key -> value; {} where the file is damaged.
        result: `result.json`; {} of a run that is not done.
        history: the rows of `metrics.csv`, one an epoch.
    """

    run: Run
    labels: dict[str, str]
    state: State
    status: Status
    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        """Those of `result.json`."""
        return dict(self.result.get("metrics", {}))

    def told(self, *keys: str) -> Any:
        """A value within `result.json`; None where it does not say."""
        value: Any = self.result
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def smaller(self, metric: str) -> bool:
        """Whether less of a metric is better: of that by which it chose its best epoch, on any part of the data, as
        its config says (trainer.monitor_mode), else as the metric's name does.
        """
        mode = self.config.get("trainer.monitor_mode")
        own = _without_part(str(self.result.get("monitor"))) == _without_part(metric)
        return mode == "min" if mode and own else smaller_is_better(metric)

    @property
    def seed(self) -> str:
        """The seed, as text; "" where the config cannot be read."""
        return str(self.config.get("seed", self.labels.get("seed", "")))


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone.

    Args:
        labels: what tells it from the other groups.
        records: its runs, done or not.
    """

    labels: dict[str, str]
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """The labels in a line: `elu` of a variant alone, `elu, lr=0.01`; "all" where nothing tells it apart."""
        words = [value if key == "variant" else f"{_last(key)}={value}" for key, value in self.labels.items()]
        return ", ".join(words) or "all"

    def values(self, metric: str) -> list[float]:
        """The metric of each done run that has it."""
        done = (record.metrics for record in self.records if record.state == "done")
        return [metrics[metric] for metrics in done if metric in metrics]


@dataclass(frozen=True, eq=False)  # told apart by identity: what is costly is computed once for each
class Collection:
    """The runs of a folder.

    Args:
        root: the folder.
        name: of the study; "" of other sweeps.
        records: its runs.
        claims: of the study, as its file has them.
        notes: what could not be read, a sentence each.
        command: what runs the study, with the options that it was run with; "" of other sweeps.
    """

    root: Path
    name: str
    records: tuple[Record, ...]
    claims: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    command: str = ""

    @property
    def title(self) -> str:
        """The study's name, else the folder's."""
        return self.name or self.root.resolve().name  # of `.` too

    @functools.cached_property
    def labels(self) -> list[str]:
        """The keys that tell runs apart, the seed among them, in the order in which they came."""
        return list(dict.fromkeys(key for record in self.records for key in record.labels))

    @functools.cached_property
    def groups(self) -> tuple[Group, ...]:
        """The runs by everything but the seed."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            if record.config:
                found.setdefault(_kind(record), []).append(record)
        for record in self.records:
            if not record.config:  # damaged: among those of its labels
                alike = (kind for kind, (one, *_) in found.items() if _of_one_kind(one, record))
                found.setdefault(next(alike, _kind(record)), []).append(record)
        groups = [Group(_without_seed(records[0].labels), tuple(records)) for records in found.values()]
        return tuple(_told_apart(groups))

    @functools.cached_property
    def monitor(self) -> str:
        """The metric by which most of its runs chose their best checkpoint."""
        known = _monitors(self.records)
        return known.most_common(1)[0][0] if known else _MONITOR

    @functools.cached_property
    def _monitoring(self) -> dict[str, Record]:
        """Metric without the part of the data -> a run that chose its best epoch by it."""
        return {
            _without_part(record.result["monitor"]): record for record in self.records if record.result.get("monitor")
        }

    def smaller(self, metric: str) -> bool:
        """Whether less of a metric is better, see `Record.smaller`."""
        record = self._monitoring.get(_without_part(metric))
        return record.smaller(metric) if record else smaller_is_better(metric)

    @functools.cached_property
    def metrics(self) -> list[str]:
        """All metrics of all results, `monitor` and its test first."""
        first = [self.monitor, self.monitor.replace("val/", "test/")]
        known = list(dict.fromkeys(key for record in self.records for key in record.metrics))
        return [key for key in first if key in known] + [key for key in known if key not in first]


def collect(root: Path) -> Collection:
    """The runs of a folder, see `receptive.manifest.runs_in`; those that no `sweep.json` lists are told apart by what
    differs in their configs.

    What is damaged is told in `notes`, and left out or shown as failed; nothing is raised for it.

    Raises:
        InputError: there is no such folder, or no run in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder")
    content = runs_in(root)
    manifest, notes = content.manifest, [content.note] if content.note else []
    gone = [run for run in content.runs if not run.folder.is_dir()]
    notes += [f"{run.folder.name} has vanished: the same command runs it again" for run in gone]
    found = zip(content.runs, content.labels, strict=True)
    records = [_record(run, labels) for run, labels in found if run not in gone]
    if not manifest.entries:
        records = _labelled(records, _differing([record.config for record in records if record.config]))
    if not records:
        raise InputError(f"{root} holds no run; give the folder of a sweep, a study or a run")
    notes += [
        f"{record.run.folder.name}: {record.status.error}"
        for record in records
        if not record.config and record.status.error
    ]
    notes += _told_of_monitors(records)
    if manifest.claims and any(record.config.get("trainer.limit_train_batches") for record in records):
        notes.append(
            "These runs saw a few batches an epoch alone (trainer.limit_train_batches): no verdict means anything"
        )
    command = commands_of(manifest)[0] if manifest.name and manifest.entries else ""
    return Collection(root, manifest.name, tuple(records), manifest.claims, tuple(notes), command)


def _monitors(records: Iterable[Record]) -> Counter[str]:
    """Metric -> how many runs chose their best checkpoint by it."""
    return Counter(record.result["monitor"] for record in records if record.result.get("monitor"))


def _told_of_monitors(records: Iterable[Record]) -> list[str]:
    """Of runs of several tasks: by what they are compared, and where the other metrics are."""
    [(compared, _), *others] = _monitors(records).most_common() or [("", 0)]
    return [
        f"{count} of the runs chose their best epoch by {metric}: the tables compare {compared}, runs.csv has all"
        for metric, count in others
    ]


def _record(run: Run, labels: Mapping[str, str]) -> Record:
    """A run with whatever of it can be read; a damaged file makes it a failed one that says so."""
    status, state = run.status(), run.state()
    faults: list[str] = []

    def read(what: Any, otherwise: Any) -> Any:
        try:
            return what()
        except InputError as error:
            faults.append(str(error))
        except (OSError, ValueError, RecursionError) as error:
            faults.append(f"{run.folder.name} cannot be read ({error})")
        return otherwise

    config = read(lambda: leaves(read_yaml(run.config_path)), {})
    result = read(run.result, {}) if state in ("done", "pruned") else {}
    history = read(run.metrics, [])
    if faults:
        status = Status(**{**vars(status), "state": "failed", "error": "; ".join(faults)})
        state = "failed"
    return Record(run, dict(labels), state, status, config, result, history)


def _labelled(records: Iterable[Record], keys: Sequence[str]) -> list[Record]:
    return [
        Record(**{**vars(record), "labels": {key: _text(record.config[key]) for key in keys if key in record.config}})
        for record in records
    ]


def _differing(all_values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all, without those that say where and how a run is computed."""
    kept = [{key: value for key, value in values.items() if decides(key, value)} for values in all_values]
    keys = dict.fromkeys(key for values in kept for key in values)
    return [key for key in keys if len({json.dumps(values.get(key), default=str) for values in kept}) > 1]


def _kind(record: Record) -> str:
    """What the runs of a group share: all of the config but the seed, and the labels but the seed."""
    config = {key: value for key, value in record.config.items() if key != "seed" and decides(key, value)}
    return json.dumps([config, _without_seed(record.labels)], sort_keys=True, default=str)


def _of_one_kind(one: Record, other: Record) -> bool:
    """Whether the labels of two runs are the same but for the seed."""
    return _without_seed(one.labels) == _without_seed(other.labels)


def _without_seed(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != "seed"}


def _told_apart(groups: list[Group]) -> list[Group]:
    """Groups of one name (say, of commands with other options) with what differs in their configs added."""
    names: dict[str, list[Group]] = {}
    for group in groups:
        names.setdefault(group.name, []).append(group)
    told = []
    for group in groups:
        same = [other.records[0].config for other in names[group.name]]
        extra = [key for key in _differing(same) if key != "seed"] if len(same) > 1 else []
        config = group.records[0].config
        told.append(Group(group.labels | {key: _text(config.get(key)) for key in extra}, group.records))
    return told


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _without_part(metric: str) -> str:
    """`accuracy` of val/accuracy."""
    return metric.partition("/")[2] or metric


def _last(key: str) -> str:
    return key.rpartition(".")[2]
