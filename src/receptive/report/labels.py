"""How names stand in the figures of a report."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from receptive.figures.style import cut_middle
from receptive.metrics import is_share
from receptive.report.collection import Collection

LONGEST = 46  # signs of a name beside an axis
_LONGEST_TITLE = 40  # signs of the sweep's name
_LONGEST_LINE = 100  # signs of a title


def cut_names(names: Sequence[str], most: int = LONGEST) -> list[str]:
    """Names of groups without their middles where they are too long; without the keys where they would look alike."""
    short = [cut_middle(name, most) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    return [cut_middle(re.sub(r"(^|, )[\w.]+=", r"\1", name), most) for name in names]


def title_of(collection: Collection, text: str) -> str:
    """The title of a figure: whose runs it shows, and what of them, folded to its width."""
    title = f"{cut_middle(collection.title, _LONGEST_TITLE)}: {text}"
    first, _, rest = title.rpartition("; ")
    if len(title) > _LONGEST_LINE >= len(first) > 0:
        return f"{first};\n{textwrap.fill(rest, _LONGEST_LINE)}"
    return textwrap.fill(title, _LONGEST_LINE)


def axis_title(metric: str) -> str:
    """A metric with its unit."""
    return f"{metric} (%)" if is_share(metric) else metric
