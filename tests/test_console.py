"""Lines stand on a console as they are; tables on consoles of several widths: no value is ever cut off."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from receptive.console import new_console, print_unfolded

VALUES = [f"{place}.12345678" for place in range(12)]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    "line", ["runs/[red]lr=0.1[/red]/[x]", "a/:x:/:warning:", "3 of 12 at 'x', True", "a b " * 50 + "c"]
)
def test_a_line_is_printed_as_it_is(line: str, terminal: bool) -> None:
    stream = io.StringIO()
    new_console(file=stream, width=20, force_terminal=terminal, color_system="truecolor").print(line)
    assert stream.getvalue() == f"{line}\n"


def printed(width: int, terminal: bool, title: str | None = None) -> tuple[str, Console]:
    console = new_console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    table = Table(box=None, pad_edge=False, title=title)
    for place in range(12):
        table.add_column(f"a long title {place}", overflow="fold")
    table.add_row(*VALUES)
    print_unfolded(table, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), console


@pytest.mark.parametrize("width", [40, 80, 300])
def test_in_a_log_a_row_is_a_line_whatever_the_width(width: int) -> None:
    text, console = printed(width, terminal=False)
    assert [line.split() for line in text.splitlines()][-1] == VALUES
    assert len(text.splitlines()) == 2
    assert console.width == width


def test_in_a_narrow_terminal_titles_are_folded_and_values_stay() -> None:
    text, console = printed(150, terminal=True)
    *titles, values = text.splitlines()
    assert len(titles) > 1
    assert values.split() == VALUES
    assert console.width == 150


def test_in_a_wide_terminal_nothing_is_folded() -> None:
    text, _ = printed(300, terminal=True)
    assert len(text.splitlines()) == 2
    assert "a long title 11" in text


def test_no_line_of_a_table_is_longer_than_the_terminal() -> None:
    text, _ = printed(30, terminal=True, title="more words than fit in a line of thirty")
    assert "thirty" in text
    assert all(len(line) <= 30 for line in text.splitlines())


def test_in_a_very_narrow_terminal_the_last_columns_are_left_out_where_they_may() -> None:
    def lines(width: int) -> list[str]:
        console = new_console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        table = Table(box=None, pad_edge=False)
        for title in ("layer", "mean absolute", "near zeros", "blank"):
            table.add_column(title, overflow="fold")
        table.add_row("layers.0", "0.1234", "0.2345", "0.3456")
        print_unfolded(table, console, spare=2)
        assert isinstance(console.file, io.StringIO)
        return [line.rstrip() for line in console.file.getvalue().splitlines()]

    assert lines(60)[-1].split() == ["layers.0", "0.1234", "0.2345", "0.3456"]
    assert [line.split() for line in lines(26)] == [
        ["mean", "near"],
        ["layer", "absolute", "zeros"],
        ["layers.0", "0.1234", "0.2345"],
    ]
    assert lines(20)[-1].split() == ["layers.0", "0.1234"]
