"""How long a run will take, by the finished runs that are most like it."""

from __future__ import annotations

import heapq
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from receptive.errors import InputError
from receptive.files import read_yaml
from receptive.runs import Run

# What two runs share, from the nearest to the farthest that still tells something of the other's time.
LIKENESS = (
    "everything but seed and epochs",
    "data, augmentation, model and batch size",
    "data, model and batch size",
    "data and model",
)
_MOST = 300  # finished runs elsewhere that are read, the newest


@dataclass(frozen=True)
class Sample:
    """What a finished run took.

    Args:
        likeness: a text for each of LIKENESS, equal in runs that are so alike.
        epoch: seconds of an epoch.
        rest: seconds of all else: starting, testing, figures.
    """

    likeness: tuple[str, ...]
    epoch: float
    rest: float


@dataclass(frozen=True)
class Estimate:
    """Seconds that a run still takes, and what that was taken from.

    Args:
        seconds: the median of what the samples say.
        likeness: index into LIKENESS.
    """

    seconds: float
    likeness: int


class Estimator:
    """Estimates by the samples that are most like a run; among equally near ones the first source that has any counts.

    Args:
        sources: of samples, the best first; a later one is asked only where those before know nothing as near.
    """

    def __init__(self, *sources: Iterable[Sample]) -> None:
        self._sources = sources
        self._known: list[dict[tuple[int, str], list[Sample]] | None] = [None for _ in sources]
        self._found: dict[tuple[str, ...], tuple[int, list[Sample]] | None] = {}

    def estimate(self, config: Mapping[str, Any], epochs: int) -> Estimate | None:
        """What a run of this literal config takes for so many epochs; None: there is nothing to go by."""
        alike = likeness(config)
        if alike not in self._found:
            self._found[alike] = self._nearest(alike)
        if (found := self._found[alike]) is None:
            return None
        level, samples = found
        seconds = statistics.median(sample.rest + epochs * sample.epoch for sample in samples)
        return Estimate(seconds, level)

    def _nearest(self, alike: tuple[str, ...]) -> tuple[int, list[Sample]] | None:
        for level, text in enumerate(alike):
            for number in range(len(self._sources)):
                if samples := self._index(number).get((level, text)):
                    return level, samples
        return None

    def _index(self, number: int) -> dict[tuple[int, str], list[Sample]]:
        index = self._known[number]
        if index is None:
            index = self._known[number] = {}
            for sample in self._sources[number]:
                for key in enumerate(sample.likeness):
                    index.setdefault(key, []).append(sample)
        return index


def likeness(config: Mapping[str, Any]) -> tuple[str, ...]:
    """A text for each of LIKENESS, of a literal config."""
    data, trainer = _mapping(config.get("data")), _mapping(config.get("trainer"))
    limits = {key: value for key, value in trainer.items() if key.startswith(("limit_", "overfit_", "val_every"))}
    how = {
        key: value
        for key, value in trainer.items()
        if key not in ("max_epochs", "progress") and "checkpoint" not in key
    }
    shared = [config.get("model"), limits]
    others = [config.get(key) for key in ("augment", "optimizer", "scheduler", "task", "record", "test")]
    return tuple(
        json.dumps(part, sort_keys=True, default=str)
        for part in (
            [*shared, data, how, others],
            [*shared, data, config.get("augment")],
            [*shared, data],
            [*shared, data.get("source")],
        )
    )


def max_epochs(config: Mapping[str, Any]) -> int | None:
    """The epochs that a literal config asks for; None where it says no number."""
    epochs = _mapping(config.get("trainer")).get("max_epochs")
    return epochs if type(epochs) is int else None


def sample(run: Run, config: Mapping[str, Any] | None = None) -> Sample | None:
    """What a finished run took; None of one that is not finished or cannot be read.

    Args:
        run: its folder.
        config: its literal config; None: it is read.
    """
    try:
        result = run.result()
        epoch, epochs, seconds = (float(result[key]) for key in ("seconds_per_epoch", "epochs", "seconds"))
        return Sample(
            likeness(read_yaml(run.config_path) if config is None else config),
            epoch,
            max(0.0, seconds - epoch * epochs),
        )
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None


def samples_below(folder: Path) -> Iterable[Sample]:
    """The newest finished runs of the sweeps, studies and single runs below a folder of outputs."""
    found = [path for pattern in ("*/*/result.json", "*/*/*/result.json") for path in folder.glob(pattern)]
    newest = heapq.nlargest(_MOST, found, key=_written)
    return (known for path in newest if (known := sample(Run(path.parent))) is not None)


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Seconds until jobs are done that so many workers take in this order, each the next when it is free."""
    free = [0.0] * max(1, workers)
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def duration(seconds: float) -> str:
    """A time as it is told: `42 s`, `12 min`, `3.5 h`, `2.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.{1 if seconds < 600 else 0}f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
