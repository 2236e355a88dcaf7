"""What the YAML files of conf/ say beside their values: a header, and a comment at each key. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_NOT_KEYS = ("defaults", "hydra")  # Hydra's own, at the top of a file


@dataclass(frozen=True)
class Key:
    """A key of a file, with its value as it stands and what the comment beside it says.

    Args:
        name: dotted.
        value: plain.
        comment: without its signs, lines joined; "" where there is none.
    """

    name: str
    value: Any
    comment: str

    @property
    def shown(self) -> str:
        """The value as it is typed on the command line."""
        return shown(self.value)


def shown(value: Any) -> str:
    """A plain value on one line, as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {shown(each)}' for key, each in value.items())}}}"
    if isinstance(value, str) and "${" in value:
        return value
    if isinstance(value, float):
        return repr(value)
    return str(yaml.safe_dump(value, width=1_000_000)).removesuffix("\n").removesuffix("\n...")


def header(path: Path) -> list[str]:
    """The comment lines that a file opens with, without their signs and without Hydra's `@package`."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return [line for line in lines if not line.startswith("@package")]


def keys(path: Path) -> list[Key]:
    """The keys of a file in its own order: leaves, lists and mappings in braces, each with its comment."""
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_keys(root, "", text.splitlines())) if isinstance(root, yaml.MappingNode) else []


def _keys(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Key]:
    for name_node, value_node in node.value:
        name = f"{prefix}{name_node.value}"
        if name in _NOT_KEYS:
            continue
        if isinstance(value_node, yaml.MappingNode) and not value_node.flow_style:
            yield from _keys(value_node, f"{name}.", lines)
            continue
        value = yaml.SafeLoader("")
        yield Key(name, value.construct_document(value_node), _comment(name_node, value_node, lines))


def _comment(name_node: yaml.Node, value_node: yaml.Node, lines: list[str]) -> str:
    """What stands behind a value, and on the lines below it as far as these are comments set in deeper than its key."""
    end = value_node.end_mark
    found = re.match(r"\s*#\s?(.*)", lines[end.line][end.column :]) if end.line < len(lines) else None
    if found is None:
        return ""
    parts = [found[1].strip()]
    for line in lines[end.line + 1 :]:
        below = re.match(r"(\s+)#\s?(.*)", line)
        if below is None or len(below[1]) <= name_node.start_mark.column:
            break
        parts.append(below[2].strip())
    return " ".join(parts)
