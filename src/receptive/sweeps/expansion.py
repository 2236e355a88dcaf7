"""From a sweep's command line to its points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

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
    params: Mapping[str, Any] | None,
    variants: Mapping[str, Sequence[str] | None] | None,
) -> list[Point]:
    """All points: the product of the value lists, for each variant.

    Args:
        loader: Hydra's, whose grammar the overrides follow.
        arguments: overrides of the command line; they outrank `params`.
        params: key -> values, from the config.
        variants: name -> overrides, from the config.

    Raises:
        InputError: a continuous range, which a grid has no points of; a key without a value; params or variants that
            are none.
    """
    chosen = _checked(variants)
    axes: dict[str, list[str]] = {}
    swept = []
    for override in parsed(loader, arguments, params):
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [override.input_line or f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            axes[key] = [f"{key}={value}" for value in values_of(override)]
            if not axes[key]:
                raise InputError(f"{override.input_line}: holds no value, the sweep would have no job")
            swept.append(key.lstrip("+~"))
        else:
            raise InputError(
                f"{override.input_line}: a grid needs values, e.g. {key}=0.1,0.01 or {key}=range(1,4); "
                "hydra/sweeper=random or optuna takes intervals"
            )
    points = []
    for name, extra in chosen.items():
        changed = tuple(line.lstrip("+~").partition("=")[0] for line in extra)
        for choice in itertools.product(*axes.values()):
            keys = tuple(dict.fromkeys([*changed, *(key for key in swept if key not in changed)]))
            points.append(Point(name, (*choice, *extra) if name else choice, keys, tuple(swept)))
    return points


def parsed(loader: ConfigLoaderImpl, arguments: Sequence[str], params: Mapping[str, Any] | None) -> list[Override]:
    """The overrides of `params`, then those of the command line, which outrank them."""
    lines = _lines(params) + list(arguments)
    return list(OverridesParser.create(config_loader=loader).parse_overrides(lines))


def values_of(override: Override) -> tuple[str, ...]:
    """The values that an override lists, as an override has them; () of none, so of a range in steps of 0."""
    try:
        return tuple(override.sweep_string_iterator())
    except (HydraException, ValueError):
        return ()


def _lines(params: Any) -> list[str]:
    """Params as on the command line."""
    if not isinstance(params, Mapping | None):
        raise InputError(f"hydra.sweeper.params={params}: give key: values, e.g. {{seed: 'range(3)'}}")
    if empty := [key for key, values in (params or {}).items() if _is_list(values) and not values]:
        raise InputError(f"hydra.sweeper.params.{empty[0]}: holds no value, the sweep would have no job")
    return [f"{key}={_text(values)}" for key, values in (params or {}).items()]


def _checked(variants: Any) -> Mapping[str, Sequence[str]]:
    """Variants, one without a name where there are none."""
    if variants is None:
        return {"": ()}
    if not isinstance(variants, Mapping) or not variants:
        raise InputError(f"hydra.sweeper.variants={variants}: give name: [override, ...], or null")
    for name, extra in variants.items():
        if extra is not None and not (_is_list(extra) and all(isinstance(line, str) for line in extra)):
            raise InputError(f"hydra.sweeper.variants.{name}={extra}: give a list of overrides, e.g. [optimizer=sgd]")
    return {str(name): extra or () for name, extra in variants.items()}


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str)


def _text(values: Any) -> str:
    return ",".join(map(_value, values)) if _is_list(values) else _value(values)


def _value(value: Any, within: bool = False) -> str:
    """A value of a YAML file in Hydra's grammar; `within` a list or mapping a text is quoted."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_value(one, True)}' for key, one in value.items())}}}"
    if _is_list(value):
        return f"[{', '.join(_value(one, True) for one in value)}]"
    return repr(value) if within and isinstance(value, str) else str(value)
