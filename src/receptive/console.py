"""The console that every command prints on, and how tables stand on it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

STATE_COLORS = {
    "done": "green",
    "pruned": "blue",
    "failed": "red",
    "interrupted": "yellow",
    "running": "cyan",
    "waiting": "dim",
}
_PLAIN_WIDTH = 200  # characters where there is no terminal: a table in a log is not folded
_NARROWEST = 5  # characters to which a title is folded


def new_console(*, soft_wrap: bool = True, **options: Any) -> Console:
    """A console that prints text as it stands: no markup, no emoji codes, no coloured numbers.

    Args:
        soft_wrap: a long line is left to the terminal; what is laid out by width is printed with soft_wrap=False.
        options: rich's others, such as `file`, `quiet`, `width`.
    """
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap, **options)


def counted(number: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def print_unfolded(table: Table, console: Console, spare: int = 0) -> None:
    """Print a table without cutting a value off: in a narrow terminal titles are folded, elsewhere nothing is.

    Args:
        table: with titles and values of text.
        console: on which.
        spare: so many of the last columns may be left out in a narrow terminal, where folded titles do not suffice.
    """
    width = console.width
    titles = [str(column.header) for column in table.columns]
    values = [max((cell_len(str(cell)) for cell in column.cells), default=0) for column in table.columns]
    needed = sum(max(len(title), value) + 2 for title, value in zip(titles, values, strict=True)) - 2
    if console.is_terminal and needed > width:
        for column, title, value in zip(table.columns, titles, values, strict=True):
            longest = max((len(word) for word in title.split()), default=0) if spare else 0
            column.header = "\n".join(textwrap.wrap(title, max(value, _NARROWEST, longest)))
        sides = [
            max(value, *map(cell_len, str(column.header).split("\n"))) + 2
            for column, value in zip(table.columns, values, strict=True)
        ]
        kept = next(
            (count for count in range(len(sides), len(sides) - spare, -1) if sum(sides[:count]) - 2 <= width),
            len(sides) - spare,
        )
        del table.columns[kept:]
    with unfolded(console):
        console.print(table, soft_wrap=False)


@contextmanager
def unfolded(console: Console) -> Iterator[None]:
    """Within, a console that is no terminal is wide enough for what it is given."""
    width = console.width
    try:
        if not console.is_terminal:
            console.width = max(width, _PLAIN_WIDTH)  # console.print(width=) cannot widen
        yield
    finally:
        console.width = width


def short_titles(keys: Sequence[str]) -> list[str]:
    """The last part of each key where that is enough to tell them apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for short, key in zip(last, keys, strict=True)]
