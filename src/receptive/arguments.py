"""Verbs with plain arguments (argparse), beside those whose config Hydra composes.

A verb is a `PlainVerb`: a function and what declares its arguments. Help, messages and completion follow from that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from receptive.config import did_you_mean
from receptive.errors import InputError


class UsageError(InputError):
    """The command line itself is wrong."""


class Parser(argparse.ArgumentParser):
    """A parser whose faults are ours to tell."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and leaving.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}\n{self.format_usage().rstrip()}")


@dataclass(frozen=True)
class PlainVerb:
    """A verb with plain arguments.

    Args:
        run: is called with the arguments by name; gives the exit code.
        declare: adds the arguments to a parser.
    """

    run: Callable[..., int]
    declare: Callable[[Parser], object]

    def parser(self, verb: str, about: str = "") -> Parser:
        """The parser of `receptive VERB`."""
        parser = Parser(prog=f"receptive {verb}", description=about, allow_abbrev=False)
        self.declare(parser)
        return parser

    def parse(self, verb: str, about: str, words: Sequence[str]) -> dict[str, Any]:
        """The arguments by name; `--help` prints and leaves.

        Raises:
            UsageError: a word is wrong, missing or too many.
        """
        return vars(self.parser(verb, about).parse_args(words))

    def completions(self, verb: str, words: Sequence[str]) -> list[str]:
        """What the last of `words` may become: options after a dash, otherwise the choices of the next positional."""
        *before, last = words
        # argparse keeps its list private, and has no other.
        actions = self.parser(verb)._actions
        if last.startswith("-"):
            candidates = [option for action in actions for option in action.option_strings]
        else:
            positionals = [action for action in actions if not action.option_strings]
            place = sum(not word.startswith("-") for word in before)
            candidates = [str(word) for action in positionals[place : place + 1] for word in action.choices or ()]
        return [word for word in candidates if word.startswith(last)]


def add_choice(parser: Parser, name: str, choices: Iterable[str], text: str) -> None:
    """Declare an optional positional that is one of `choices`, None when it is left out."""
    known = tuple(choices)

    def one_of(word: str) -> str:
        if word not in known:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}{did_you_mean(word, known)}")
        return word

    parser.add_argument(name, nargs="?", type=one_of, choices=known, help=text)
