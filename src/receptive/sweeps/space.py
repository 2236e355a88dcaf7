"""What a search draws from: lists, ranges and intervals in Hydra's grammar, and points drawn at random from them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import IntervalSweep, Override, Sweep

from receptive.config import did_you_mean
from receptive.errors import InputError
from receptive.sweeps.expansion import Point, parsed, values_of

_DIGITS = 5  # of a drawn number: what a table can show, and finer than any learning rate is told apart
_TAGS = ("log", "int", "float")


@dataclass(frozen=True)
class Choice:
    """Some values.

    Args:
        values: as an override has them.
        ordered: of a range: neighbours resemble one another.
    """

    values: tuple[str, ...]
    ordered: bool = False

    def at(self, share: float) -> str:
        """The value that lies at a share in [0, 1) of the list."""
        return self.values[int(share * len(self.values))]

    @property
    def probes(self) -> tuple[str, ...]:
        """What has to be tried to know that all of it can be composed."""
        return self.values


@dataclass(frozen=True)
class Interval:
    """Numbers between two bounds; of whole numbers both bounds belong to it.

    Args:
        low: the lower bound.
        high: the upper bound, larger than `low`.
        log: whether equal factors, not equal differences, are equally likely.
        whole: whether it holds whole numbers alone.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, share: float) -> str:
        """The value that lies at a share in [0, 1) of the interval."""
        # a whole number stands for what is rounded to it: the two at the ends are as likely as the others
        margin = 0.5 if self.whole else 0.0
        low, high = self.low - margin, self.high + margin
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        return self.text(value)

    def text(self, value: float) -> str:
        """A number as an override has it, with 5 digits, more where the interval is narrow; always within bounds."""
        value = min(max(value, self.low), self.high)
        if self.whole:
            return str(min(max(math.floor(value + 0.5), int(self.low)), int(self.high)))
        narrowness = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        digits = min(_DIGITS + max(0, math.floor(math.log10(narrowness))), 17)
        return repr(min(max(float(f"{value:.{digits}g}"), self.low), self.high))

    @property
    def probes(self) -> tuple[str, ...]:
        """Both ends."""
        return self.text(self.low), self.text(self.high)


Axis = Choice | Interval


@dataclass(frozen=True)
class Space:
    """What is fixed and what is searched.

    Args:
        fixed: key as typed (with + where it was) -> override, of keys with one value.
        axes: key as typed -> what it is drawn from.
        seeds: values of `seed`, which are not drawn from; empty where none are listed.
        order: all keys as typed: an override may rest on one before it.
    """

    fixed: Mapping[str, str]
    axes: Mapping[str, Axis]
    seeds: tuple[str, ...]
    order: tuple[str, ...]

    def point(self, values: Mapping[str, str], trial: int | None = None, seed: str | None = None) -> Point:
        """The point with these values of the axes."""
        lines = dict(self.fixed) | {key: f"{key}={value}" for key, value in values.items()}
        if seed is not None:
            lines["seed"] = f"seed={seed}"
        swept = tuple(key.lstrip("+~") for key in (*self.axes, *(("seed",) if seed is not None else ())))
        return Point("", tuple(lines[key] for key in self.order if key in lines), swept, swept, trial)

    def probes(self) -> list[Point]:
        """A point for each value of a list and each end of an interval, the other axes at their first."""
        first = {key: axis.probes[0] for key, axis in self.axes.items()}
        changed = [{**first, key: value} for key, axis in self.axes.items() for value in axis.probes[1:]]
        return [self.point(values) for values in (first, *changed)]

    def described(self) -> dict[str, str]:
        """Each axis in words that two commands can be compared by."""
        return {key: repr(axis) for key, axis in self.axes.items()}


@dataclass(frozen=True)
class Drawing:
    """Options of hydra/sweeper=random; its YAML says what each means."""

    trials: Annotated[int, Ge(1)]
    sampling_seed: Annotated[int, Ge(0)]


def draw(space: Space, drawing: Drawing) -> list[Point]:
    """The points: drawn number by number and key by key, so that more trials, or another axis, change no value."""

    def share(number: int, key: str) -> float:
        return random.Random(f"{drawing.sampling_seed} {number} {key.lstrip('+~')}").random()

    return [
        space.point({key: axis.at(share(number, key)) for key, axis in space.axes.items()}, number, seed)
        for number, seed in itertools.product(range(drawing.trials), space.seeds or (None,))
    ]


def parse_space(loader: ConfigLoaderImpl, arguments: Sequence[str], params: Mapping[str, Any]) -> Space:
    """The space that a command line and a file's `params` span.

    Args:
        loader: Hydra's, whose grammar the overrides follow.
        arguments: overrides of the command line; they outrank `params`.
        params: key -> values, from the config.

    Raises:
        InputError: an interval or range holds nothing, a logarithm of what is not positive, an unknown tag, or nothing
            is left to search; all faults together.
    """
    fixed: dict[str, str] = {}
    axes: dict[str, Axis] = {}
    seeds: tuple[str, ...] = ()
    order: dict[str, None] = {}
    found = []
    for override in parsed(loader, arguments, params):
        key = override.get_key_element()
        order[key] = None
        for known in (fixed, axes):
            known.pop(key, None)
        seeds = () if key == "seed" else seeds
        if not override.is_sweep_override():
            fixed[key] = override.input_line or f"{key}={override.get_value_element_as_str()}"
            continue
        try:
            axis = _axis(override)
        except InputError as error:
            found.append(f"{override.input_line}: {error}")
            continue
        if key != "seed":
            axes[key] = axis
        elif isinstance(axis, Choice):
            seeds = axis.values
        else:
            found.append(f"{override.input_line}: seeds are listed, not drawn, e.g. seed=range(3)")
    if not axes and not found:
        found.append("there is nothing to search: give an axis, e.g. optimizer.lr=tag(log,interval(1e-4,1e-1))")
    if found:
        raise InputError("\n".join(found))
    return Space(fixed, axes, seeds, tuple(order))


def _axis(override: Override) -> Axis:
    """What an override lists; raises InputError without its key."""
    value = override.value()
    tags = value.tags if isinstance(value, Sweep) else set()
    if unknown := sorted(tags - set(_TAGS)):
        raise InputError(f"unknown tag {unknown[0]!r}{did_you_mean(unknown[0], _TAGS)} (there are {', '.join(_TAGS)})")
    if isinstance(value, IntervalSweep):
        return _interval(value, tags)
    if "log" in tags:
        raise InputError("tag(log) goes with an interval, e.g. tag(log,interval(1e-4,1e-1)) or tag(log,int,...)")
    if not (values := tuple(dict.fromkeys(values_of(override)))):
        raise InputError("holds no value")
    return Choice(values, ordered=override.is_range_sweep())


def _interval(value: IntervalSweep, tags: set[str]) -> Interval:
    low, high = value.start, value.end
    assert low is not None and high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError("give the smaller bound first and the larger one second, both finite")
    if "log" in tags and low <= 0:
        raise InputError("a logarithmic interval begins above 0")
    whole = "int" in tags or (isinstance(low, int) and isinstance(high, int))
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise InputError("an interval of whole numbers has whole bounds")
    return Interval(float(low), float(high), "log" in tags, whole)
