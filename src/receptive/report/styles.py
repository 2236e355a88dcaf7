"""How the groups of a report look, in its files and on its page: by what the sweep lists first, never by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from receptive.figures.style import COLORS
from receptive.report.collection import Collection, Group
from receptive.report.series import Factor, factors

MOST_CURVES = 8  # lines that are told apart by eye
MOST_FILLED = 5  # bands that are told apart over one another
_HUES = (*COLORS, "#7F7F7F")
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_LIGHTER = 0.5  # the share of white in a colour's second shade


@dataclass(frozen=True)
class Style:
    """How a line is drawn.

    Args:
        color: as #RRGGBB.
        dashes: one of matplotlib's names.
    """

    color: str
    dashes: str


def kind(collection: Collection) -> Factor | None:
    """What gives groups their colour: the variant, else the first key that is no number; None where there is none with
    few values.
    """
    words = [factor for factor in factors(collection) if factor.key == "variant" or factor.numbers is None]
    first = min(words, key=lambda factor: factor.key != "variant", default=None)
    return first if first is not None and len(first.values) <= len(_HUES) else None


def hues(collection: Collection, groups: Sequence[Group]) -> list[str]:
    """The colour of each group: that of its variant, in the order in which these are listed; without variants one."""
    first = kind(collection)
    return [_HUES[place] for place in _places(collection, first, groups)] if first else [_HUES[0]] * len(groups)


def styles(collection: Collection, groups: Sequence[Group]) -> list[Style]:
    """A style for each group: the colour is its variant's, further groups of a variant have a lighter one and dashes.

    Without variants each group has its own, by its place among those given.
    """
    first = kind(collection)
    if first is None:
        numbers = range(len(groups))
        return [Style(_HUES[number % len(_HUES)], _DASHES[number // len(_HUES) % len(_DASHES)]) for number in numbers]
    found, before = [], [0] * len(first.values)
    for place in _places(collection, first, groups):
        color = _lighter(_HUES[place]) if before[place] % 2 else _HUES[place]
        found.append(Style(color, _DASHES[before[place] // 2 % len(_DASHES)]))
        before[place] += 1
    return found


def chosen(collection: Collection, groups: Sequence[Group], most: int) -> list[Group]:
    """Of groups, the best first, those that are shown, in the order of the sweep: the best of each variant in turn."""
    first = kind(collection)
    places = _places(collection, first, groups) if first else [0] * len(groups)
    turns = [(places[:number].count(place), number) for number, place in enumerate(places)]  # all firsts, all seconds
    order = {id(group): number for number, group in enumerate(collection.groups)}
    return sorted((groups[number] for _, number in sorted(turns)[:most]), key=lambda group: order[id(group)])


def told(collection: Collection, shown: int, of: int, what: str) -> str:
    """Which groups are shown, where these are not all: the end of a title."""
    if shown >= of:
        return ""
    first = kind(collection)
    return (
        f"; {shown} of {of} {what}, the best of each {first.title}" if first else f"; the best {shown} of {of} {what}"
    )


def _places(collection: Collection, factor: Factor, groups: Sequence[Group]) -> list[int]:
    """The place of each group's value among those of the factor, in the order in which the sweep lists them."""
    listed = list(dict.fromkeys(group.labels.get(factor.key, "") for group in collection.groups))
    return [listed.index(group.labels.get(factor.key, "")) for group in groups]


def _lighter(color: str) -> str:
    parts = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part + _LIGHTER * (255 - part)):02X}" for part in parts)
