"""`receptive VERB ...`: the only place that calls hydra.main."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from receptive import config as configs
from receptive.arguments import HydraVerb, PlainVerb, UsageError, VerbGroup, flags_first, quote_path
from receptive.commands import VERBS
from receptive.comments import keys
from receptive.errors import InputError
from receptive.help import composed_help
from receptive.signals import Interrupted

HELP = """\
Receptive: a laboratory for convolutional networks.

  receptive VERB [KEY=VALUE ...]

{verbs}

  receptive train                                      digits, a small net, seconds
  receptive train experiment=mnist_baseline seed=3     one of the reports' experiments
  receptive train -m optimizer.lr=0.01,0.001 seed=0,1  a sweep; ends in a table
  receptive VERB --help                                what a verb does, its options, examples
  receptive train --cfg job [KEY=VALUE ...]            the composed config
  eval "$(receptive -sc install=bash)"                 completion for bash; zsh and fish: docs/guide.md
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; gives the exit code: 0 only when everything is done."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if "-sc" in argv and any(word.startswith("query=") for word in argv):
        return _complete(argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if argv[0] == "--version":  # Hydra would tell its own
        print(f"receptive {metadata.version('receptive')}")
        return 0
    verb, *rest = argv
    if verb == "-sc" or verb.startswith("-"):  # Hydra's own options without a verb
        verb, rest = "train", argv
    if verb not in VERBS:
        print(f"receptive: unknown verb {verb!r}{configs.did_you_mean(verb, VERBS)}\n\n{_help()}", file=sys.stderr)
        return 2
    known = VERBS[verb]
    if not isinstance(known, HydraVerb):
        return _run_plain(verb, known, rest)
    if {"-h", "--help"} & set(rest):
        options = keys(configs.conf_dir() / f"{verb}.yaml")
        print(composed_help(verb, options))
        if not known.of_groups:
            return 0
        print()  # then Hydra's lists
    return _run_hydra(verb, known, flags_first([quote_path(argument) for argument in rest]))


def _help() -> str:
    return HELP.format(verbs="\n".join(f"  {verb:<12} {known.line}" for verb, known in VERBS.items()))


def _complete(argv: list[str]) -> int:
    """Completion in bash, zsh and fish: verbs for the first word, then Hydra's for the verb's config."""
    words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) <= 2:
        print("\n".join(verb for verb in VERBS if verb.startswith(words[-1])))
        return 0
    if words[1:3] == ["wandb", "sweep"] and "=" in words[-1]:  # its overrides are those of train
        words = [words[0], "train", *(word for word in words[3:] if "=" in word)]
    verb = words[1] if words[1] in VERBS else "train"
    known = VERBS[verb]
    if not isinstance(known, HydraVerb):
        print("\n".join(known.completions(verb, words[2:])))
        return 0
    if not known.of_groups and "=" not in words[-1]:  # Hydra would name the groups of train too
        names = (f"{key.name}=" for key in keys(configs.conf_dir() / f"{verb}.yaml"))
        print("\n".join(name for name in names if name.startswith(words[-1])))
        return 0
    line = " ".join(["receptive", *words[2:]])
    os.environ["COMP_LINE"], os.environ["COMP_POINT"] = line, str(len(line))
    typed = dict(itertools.pairwise(words[:-1]))
    own = [word for flag in ("--config-dir", "-cd") if flag in typed for word in (flag, typed[flag])]
    return _run_hydra(verb, known, own + (argv[1:] if argv[0] in VERBS else argv))


def _run_plain(verb: str, known: PlainVerb | VerbGroup, words: Sequence[str]) -> int:
    """Call a verb with plain arguments and turn the user's faults into a message and an exit code."""
    try:
        return known.call(verb, words)
    except (InputError, OSError) as error:
        print(f"receptive: {_explain(error, verb)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except Interrupted as stop:
        print(f"receptive: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:  # --help
        return end.code if isinstance(end.code, int) else 1


def _run_hydra(verb: str, known: HydraVerb, argv: list[str]) -> int:
    """Call a verb under hydra.main and turn what it raises into a message and an exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    configs.register_resolvers()
    # of `summary -m`, which our sweeper refuses in words of its own
    warnings.filterwarnings("ignore", r"\s*Running Hydra app with --multirun")
    raised: list[Exception] = []
    task = _keeping_errors(known.run, raised)
    program = hydra.main(version_base="1.3", config_path=str(configs.conf_dir()), config_name=verb)(task)
    show_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    saved_argv, sys.argv = sys.argv, ["receptive", *argv]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    try:
        program()
        if raised:
            raise raised[0]
    except Interrupted as stop:
        print(f"receptive: {stop}; {stop.remedy}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if show_traceback:
            raise
        expected = isinstance(error, (InputError, HydraException, OmegaConfBaseException, OSError))
        print(f"receptive: {_explain(error, verb)}", file=sys.stderr)
        if not expected:
            print("(HYDRA_FULL_ERROR=1 shows where)", file=sys.stderr)
        return 1
    finally:
        sys.argv = saved_argv
        if not show_traceback:
            del os.environ["HYDRA_FULL_ERROR"]
    return 0


def _keeping_errors(task: Callable[[Any], None], raised: list[Exception]) -> Callable[[Any], None]:
    """The task with its errors kept for us: Hydra would print lines of its own about them."""

    @functools.wraps(task)
    def run(config: Any) -> None:
        try:
            task(config)
        except Exception as error:
            raised.append(error)

    return run


def _explain(error: Exception, verb: str) -> str:
    """An error in our words."""
    from hydra.errors import HydraException

    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
    return configs.explain(error, lambda: configs.known_keys(verb))
