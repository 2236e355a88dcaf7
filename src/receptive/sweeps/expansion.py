"""From a sweep's command line to its points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from receptive.errors import InputError


@dataclass(frozen=True)
class Point:
    """One job to be.

    Args:
        variant: its name; "" without variants.
        overrides: all that the point sets.
        swept: keys that differ between points.
        axes: those of them that a table shows; of a variant its name stands for what it changes.
        trial: its number in a search or among drawn points; None in a grid.
    """

    variant: str
    overrides: tuple[str, ...]
    swept: tuple[str, ...]
    axes: tuple[str, ...]
    trial: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        """What tells this point from the others: the variant, and swept key -> value."""
        values = dict(override.lstrip("+~").partition("=")[::2] for override in self.overrides)
        named = {"variant": self.variant} if self.variant else {}
        return named | {key: values[key] for key in self.axes if key in values}


def expand(
    loader: ConfigLoaderImpl,
    arguments: Sequence[str],
    params: Mapping[str, Any],
    variants: Mapping[str, Sequence[str]],
) -> list[Point]:
    """All points: the product of the value lists, for each variant.

    Args:
        loader: Hydra's, whose grammar the overrides follow.
        arguments: overrides of the command line; they outrank `params`.
        params: key -> values, from the config.
        variants: name -> overrides, from the config.

    Raises:
        InputError: a continuous range, which a grid has no points of.
    """
    axes: dict[str, list[str]] = {}
    swept = []
    for override in parsed(loader, arguments, params):
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [override.input_line or f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            swept.append(key.lstrip("+~"))
        else:
            raise InputError(
                f"{override.input_line}: a grid needs values, e.g. {key}=0.1,0.01 or {key}=range(1,4); "
                "hydra/sweeper=random or optuna takes intervals"
            )
    points = []
    for name, extra in (variants or {"": ()}).items():
        changed = tuple(line.lstrip("+~").partition("=")[0] for line in extra)
        for choice in itertools.product(*axes.values()):
            keys = tuple(dict.fromkeys([*changed, *(key for key in swept if key not in changed)]))
            points.append(Point(name, (*choice, *extra) if name else choice, keys, tuple(swept)))
    return points


def parsed(loader: ConfigLoaderImpl, arguments: Sequence[str], params: Mapping[str, Any]) -> list[Override]:
    """The overrides of `params`, then those of the command line, which outrank them."""
    lines = [f"{key}={_text(values)}" for key, values in params.items()] + list(arguments)
    return list(OverridesParser.create(config_loader=loader).parse_overrides(lines))


def _text(values: Any) -> str:
    return (
        ",".join(str(value) for value in values)
        if isinstance(values, Sequence) and not isinstance(values, str)
        else str(values)
    )
