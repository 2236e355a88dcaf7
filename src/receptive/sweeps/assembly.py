"""Configs of points put together from their top-level nodes, each distinct node composed and resolved once."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from receptive import config as configs
from receptive.sweeps.composer import Composer

_FROZEN = ("paths", "init", "data")  # what `config.freeze` looks at and changes
# A name that is itself computed, or a resolver that may look anywhere: such a point is composed as a whole.
_OPAQUE = re.compile(r"\$\{[^}]*\$\{|\$\{\s*(?!oc\.env:)[\w.]+\s*:")


class _NotSeparable(Exception):
    """The nodes of a point cannot be had one by one."""


@dataclass(frozen=True)
class Composed:
    """The frozen config of a point as plain containers, which other points share: not to be changed.

    Args:
        literal: with its interpolations.
        resolved: with their values; None where they have not been looked up.
    """

    literal: dict[str, Any]
    resolved: dict[str, Any] | None = None

    def whole(self) -> DictConfig:
        """The literal config as an OmegaConf node."""
        return OmegaConf.create(self.literal)


@dataclass(frozen=True, eq=False)
class _Node:
    """A top-level node: its literal value, and that as a text where it holds interpolations."""

    value: Any
    text: str


@dataclass(frozen=True)
class _Base:
    """What a choice of groups composes: its nodes, and each as a config of its own to set values in."""

    nodes: dict[str, _Node]
    configs: dict[str, bytes]


class Assembly:
    """Gives the configs that `Composer.compose` gives, faster where points share nodes.

    Args:
        composer: composes what cannot be put together.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._bases: dict[tuple[str, ...], _Base] = {}
        self._changed: dict[tuple[Any, ...], _Node] = {}
        self._settled: dict[tuple[_Node, ...], tuple[dict[str, Any], dict[str, Any]]] = {}

    def compose(self, overrides: Sequence[str]) -> Composed:
        """The frozen config of a point.

        Raises:
            HydraException, OmegaConfBaseException, ValueError: what Hydra raises.
        """
        try:
            return self._assembled(overrides)
        except Exception:  # whatever it is, composing the whole says it in Hydra's words or gets round it
            return Composed(configs.plain(self._composer.compose(overrides)))

    def _assembled(self, overrides: Sequence[str]) -> Composed:
        groups, values = self._composer.parted(overrides)
        base = self._base(groups)
        touched: dict[str, list[Override]] = {}
        for override in values:
            touched.setdefault(_top(override), []).append(override)
        nodes = base.nodes | {top: self._node(groups, base, top, changes) for top, changes in touched.items()}
        literal, resolved = self._settle(nodes)
        plain = {name: node.value for name, node in nodes.items()}
        return Composed(plain | literal, plain | resolved)

    def _base(self, groups: tuple[str, ...]) -> _Base:
        if groups not in self._bases:
            config = self._composer.base(groups)
            nodes = {name: _node(value) for name, value in configs.plain(config).items()}
            self._bases[groups] = _Base(nodes, {name: _alone(config, name) for name in nodes})
        return self._bases[groups]

    def _node(self, groups: tuple[str, ...], base: _Base, top: str, changes: list[Override]) -> _Node:
        """The node `top` after the overrides that set values in it."""
        key = (groups, top, *(change.input_line for change in changes))
        if key not in self._changed:
            _refuse_inseparable(changes, base.nodes[top].value)
            config = pickle.loads(base.configs[top])
            self._composer.set_values(changes, config)
            self._changed[key] = _node(configs.plain(config)[top])
        return self._changed[key]

    def _settle(self, nodes: dict[str, _Node]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The nodes that freezing or resolving may change, frozen: literal and resolved."""
        texts = " ".join(node.text for node in nodes.values() if node.text)
        chosen = {name: node for name, node in nodes.items() if node.text or name in _FROZEN or name in texts}
        key = tuple(chosen.values())
        if key not in self._settled:
            if "???" in texts or _OPAQUE.search(texts):
                raise _NotSeparable(texts)
            config = configs.freeze_in_place(OmegaConf.create({name: node.value for name, node in chosen.items()}))
            self._settled[key] = configs.plain(config), configs.plain(config, resolve=True)
        return self._settled[key]


def _top(override: Override) -> str:
    if override.is_delete() or override.is_add() or override.is_force_add() or isinstance(override.value(), dict):
        raise _NotSeparable(override.input_line)
    return override.key_or_group.partition(".")[0]


def _refuse_inseparable(changes: Sequence[Override], node: Any) -> None:
    """Raise where the way to a key is no plain one: through a list, or an interpolation that leads elsewhere."""
    for change in changes:
        parent = node
        for part in change.key_or_group.split(".")[1:-1]:
            parent = parent.get(part) if isinstance(parent, dict) else None
        if "." in change.key_or_group and not isinstance(parent, dict):
            raise _NotSeparable(change.input_line)
    if len(changes) > 1 and any("${" in str(change.input_line) for change in changes):
        raise _NotSeparable(changes[0].input_line)


def _alone(config: DictConfig, name: str) -> bytes:
    """A config with this node alone, as strict as the whole."""
    alone = OmegaConf.masked_copy(config, name)
    OmegaConf.set_struct(alone, OmegaConf.is_struct(config))
    return pickle.dumps(alone, pickle.HIGHEST_PROTOCOL)


def _node(value: Any) -> _Node:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return _Node(value, text if "${" in text or "???" in text else "")
