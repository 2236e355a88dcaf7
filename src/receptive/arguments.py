"""The kinds of verbs, and how their words are read.

A `HydraVerb` has a config that Hydra composes. A `PlainVerb` has plain arguments (argparse): a function and what
declares them; help, messages and completion follow from that. A `VerbGroup` is a verb whose first word chooses among
several plain ones.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from receptive import help as help_texts
from receptive.config import did_you_mean, quoted
from receptive.errors import InputError

# Keys whose values are paths, which may hold what Hydra's grammar would split or refuse.
_PATH_KEYS = re.compile(r"(run|resume|compare|init|input|output|paths\.\w+|([\w.]+\.)?root|hydra\.[\w.]*dir)$")

_FLAGS_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--experimental-rerun"),
)


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
class HydraVerb:
    """A verb whose config Hydra composes, from the file of conf/ with its name.

    Args:
        line: what it does, as the list of verbs says it.
        run: is called with the config.
        of_groups: whether the config is composed of groups, which help and completion then list.
    """

    line: str
    run: Callable[[Any], None]
    of_groups: bool = False


@dataclass(frozen=True)
class PlainVerb:
    """A verb with plain arguments.

    Args:
        line: what it does, as the list of verbs says it.
        run: is called with the arguments by name; gives the exit code.
        declare: adds the arguments to a parser.
        suggest: words that complete a positional argument that has no choices.
    """

    line: str
    run: Callable[..., int]
    declare: Callable[[Parser], object]
    suggest: Callable[[], Iterable[str]] = tuple

    def parser(self, verb: str) -> Parser:
        """The parser of `receptive VERB`."""
        parser = Parser(
            prog=f"receptive {verb}",
            description=help_texts.wrapped(help_texts.ABOUT[verb].text),
            epilog=help_texts.plain_epilog(verb),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.declare(parser)
        return parser

    def parse(self, verb: str, words: Sequence[str]) -> dict[str, Any]:
        """The arguments by name; `--help` prints and leaves.

        Raises:
            UsageError: a word is wrong, missing or too many.
        """
        return vars(self.parser(verb).parse_intermixed_args(words))

    def call(self, verb: str, words: Sequence[str]) -> int:
        """Parse and run; gives the exit code."""
        return self.run(**self.parse(verb, words))

    def completions(self, verb: str, words: Sequence[str]) -> list[str]:
        """What the last of `words` may become: an option after a dash, else what its place or the option before has."""
        *before, last = words
        # argparse keeps its list private, and has no other.
        actions = self.parser(verb)._actions
        valued = [action for action in actions if before[-1:] and before[-1] in action.option_strings]
        if valued and valued[0].nargs != 0:
            candidates = [str(word) for word in valued[0].choices or ()]
        elif last.startswith("-"):
            candidates = [option for action in actions for option in action.option_strings]
        else:
            positionals = [action for action in actions if not action.option_strings]
            place = sum(not word.startswith("-") for word in before)
            # one that takes several is the last, and has all places from its own on
            its = positionals[place : place + 1] or [action for action in positionals[-1:] if action.nargs == "+"]
            candidates = [str(word) for action in its for word in action.choices or self.suggest()]
        return [word for word in candidates if word.startswith(last)]


@dataclass(frozen=True)
class VerbGroup:
    """A verb of several actions: `receptive VERB ACTION ...`.

    Args:
        line: what it does, as the list of verbs says it.
        actions: name -> the verb that it is.
    """

    line: str
    actions: Mapping[str, PlainVerb]

    def call(self, verb: str, words: Sequence[str]) -> int:
        """Run the action that the first word names; `--help` before it lists them all.

        Raises:
            UsageError: there is no such action, or its words are wrong.
        """
        usage = f"usage: receptive {verb} [-h] {{{','.join(self.actions)}}} ..."
        action, *rest = words or ("",)
        if action in ("-h", "--help"):
            lines = {name: one.line for name, one in self.actions.items()}
            print(f"{usage}\n\n{help_texts.group_help(verb, lines)}")
            return 0
        if action not in self.actions:
            fault = f"{action!r} is none of" if action else "say what to do:"
            near = did_you_mean(action, self.actions)
            raise UsageError(f"{fault} {', '.join(self.actions)}{near}\n{usage}")
        return self.actions[action].call(f"{verb} {action}", rest)

    def completions(self, verb: str, words: Sequence[str]) -> list[str]:
        """What the last of `words` may become: an action, then what that completes."""
        action, *rest = words
        if rest:
            return self.actions[action].completions(f"{verb} {action}", rest) if action in self.actions else []
        return [word for word in (*self.actions, "--help") if word.startswith(action) and (action or word != "--help")]


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    """What takes a word that is one of `choices`, and tells of another which was probably meant."""
    known = tuple(choices)

    def check(word: str) -> str:
        if word not in known:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}{did_you_mean(word, known)}")
        return word

    return check


def add_choice(parser: Parser, name: str, choices: Iterable[str], text: str) -> None:
    """Declare an optional positional that is one of `choices`, None when it is left out."""
    known = tuple(choices)
    parser.add_argument(name, nargs="?", type=one_of(known), choices=known, help=text)


def quote_path(argument: str) -> str:
    """Quote the value of an override whose key names a path or a list of paths, unless the user has."""
    key, separator, value = argument.partition("=")
    as_it_is = value[:1] in ("'", '"') or value in ("", "null", "???")
    if not separator or as_it_is or not _PATH_KEYS.match(key.lstrip("+")):
        return argument
    if key == "compare" and value[:1] == "[" and value[-1:] == "]":
        parts = [part.strip() for part in value[1:-1].split(",")]
        if any(part[:1] in ("'", '"') for part in parts):  # of a folder with a comma in its name
            return argument
        return f"{key}=[{','.join(quoted(part) for part in parts if part)}]"
    return f"{key}={quoted(value)}"


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Hydra's flags, each with its value, before the overrides: its parser refuses them between or after."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            overrides.append(argument)
        else:
            flags += [argument, *([next(rest, "")] if argument in _FLAGS_WITH_VALUE else [])]
    return flags + overrides
