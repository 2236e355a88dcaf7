"""`receptive VERB ...`: the only place that calls hydra.main."""

from __future__ import annotations

import functools
import itertools
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from receptive import config as configs
from receptive import verbs
from receptive.arguments import Parser, PlainVerb, UsageError, VerbGroup, add_choice, one_of
from receptive.comments import keys
from receptive.errors import InputError
from receptive.help import composed_help
from receptive.signals import Interrupted

VERBS = {
    "train": "train and test one run; with -m, or a study, a sweep of them",
    "evaluate": "the figures of a finished run again: run=FOLDER",
    "predict": "a finished run on your images: run=FOLDER input=IMAGE_OR_FOLDER",
    "export": "a finished run as a file for other programs: run=FOLDER format=onnx",
    "activations": "what the layers of a trained network give: run=FOLDER",
    "summary": "layers, output shapes, parameters and multiply-adds of a model",
    "status": "a sweep or run as it stands, from another terminal: FOLDER_OR_STUDY",
    "cancel": "stop what runs or waits of a sweep, here and in Slurm's queue: FOLDER_OR_STUDY",
    "report": "tables, figures and one HTML page of a sweep, a study or a run: FOLDER_OR_STUDY",
    "wandb": "runs in Weights & Biases: sync, dashboard or sweep",
    "operators": "convolution, pooling and others by hand against PyTorch; shapes: output-size formulas",
}

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

_TASKS: dict[str, Callable[[Any], None]] = {
    "train": verbs.train,
    "evaluate": verbs.evaluate,
    "predict": verbs.predict,
    "export": verbs.export,
    "activations": verbs.activations,
    "summary": verbs.summary,
}


def _declare_status(parser: Parser) -> None:
    """The arguments of `receptive status`."""
    parser.add_argument("place", metavar="FOLDER_OR_STUDY", help="a folder of runs, or a study's name")
    parser.add_argument("--once", action="store_true", help="print it once, also on a terminal")


def _declare_place(parser: Parser) -> None:
    """The argument of verbs that look at a folder."""
    parser.add_argument("place", metavar="FOLDER_OR_STUDY", help="a folder of runs, or a study's name")


def _declare_sync(parser: Parser) -> None:
    """The arguments of `receptive wandb sync`."""
    parser.add_argument("places", metavar="FOLDER_OR_STUDY", nargs="+", help="folders of runs, or names of studies")


def _declare_dashboard(parser: Parser) -> None:
    """The arguments of `receptive wandb dashboard`."""
    _declare_place(parser)
    parser.add_argument("--project", help="in which the runs are; else that of their configs")
    parser.add_argument("--entity", help="user or team; else that of their configs, or the key's own")
    text = "print what would be saved, as JSON; needs neither key nor server"
    parser.add_argument("--print", dest="only_print", action="store_true", help=text)


def _declare_wandb_sweep(parser: Parser) -> None:
    """The arguments of `receptive wandb sweep`."""
    methods = ("grid", "random", "bayes")
    text = f"how W&B chooses points: {', '.join(methods)} (grid)"
    parser.add_argument("--method", type=one_of(methods), choices=methods, default="grid", help=text)
    parser.add_argument("--metric", help="to be made best; else the one that chooses the best checkpoint")
    parser.add_argument("--name", help="of the sweep in W&B")
    parser.add_argument("--output", metavar="FILE", default="sweep.yaml", help="written to (sweep.yaml)")
    text = "as for receptive train -m: lists, ranges, intervals; single values hold for all runs"
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="+", type=quote_path, help=text)


_WANDB = {
    "sync": (
        "send what W&B lacks of runs: FOLDER_OR_STUDY ...",
        PlainVerb(verbs.wandb_sync, _declare_sync, verbs.studies_run),
    ),
    "dashboard": (
        "a workspace and a report page of a study: FOLDER_OR_STUDY",
        PlainVerb(verbs.wandb_dashboard, _declare_dashboard, verbs.studies_run),
    ),
    "sweep": (
        "the file for a sweep that W&B steers: OVERRIDE ...",
        PlainVerb(verbs.wandb_sweep, _declare_wandb_sweep),
    ),
}

# Verbs whose config is composed of groups.
_OF_GROUPS = ("train", "summary")

# Verbs with plain arguments; all others are composed by Hydra.
_PLAIN: dict[str, PlainVerb | VerbGroup] = {
    "status": PlainVerb(verbs.status, _declare_status, verbs.studies_run),
    "cancel": PlainVerb(verbs.cancel, _declare_place, verbs.studies_run),
    "report": PlainVerb(verbs.report, _declare_place, verbs.studies_run),
    "wandb": VerbGroup(_WANDB),
    "operators": PlainVerb(
        verbs.operators,
        lambda parser: add_choice(parser, "topic", ("shapes",), "shapes: the output-size formulas, with numbers"),
    ),
}


# Their values are paths: they may hold what Hydra's grammar would split or refuse.
_PATH_KEYS = re.compile(r"(run|resume|compare|init|input|output|paths\.\w+|([\w.]+\.)?root|hydra\.[\w.]*dir)$")

_FLAGS_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--experimental-rerun"),
)


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
    if verb in _PLAIN:
        return _run_plain(verb, rest)
    if {"-h", "--help"} & set(rest):
        options = keys(configs.conf_dir() / f"{verb}.yaml")
        print(composed_help(verb, options))
        if verb not in _OF_GROUPS:
            return 0
        print()  # then Hydra's lists
    return _run_hydra(verb, flags_first([quote_path(argument) for argument in rest]))


def _help() -> str:
    return HELP.format(verbs="\n".join(f"  {verb:<12} {text}" for verb, text in VERBS.items()))


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
        return f"{key}=[{','.join(configs.quoted(part) for part in parts if part)}]"
    return f"{key}={configs.quoted(value)}"


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


def _complete(argv: list[str]) -> int:
    """Completion in bash, zsh and fish: verbs for the first word, then Hydra's for the verb's config."""
    words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) <= 2:
        print("\n".join(verb for verb in VERBS if verb.startswith(words[-1])))
        return 0
    if words[1:3] == ["wandb", "sweep"] and "=" in words[-1]:  # its overrides are those of train
        words = [words[0], "train", *(word for word in words[3:] if "=" in word)]
    if words[1] in _PLAIN:
        print("\n".join(_PLAIN[words[1]].completions(words[1], words[2:])))
        return 0
    verb = words[1] if words[1] in VERBS else "train"
    if verb not in _OF_GROUPS and "=" not in words[-1]:  # Hydra would name the groups of train too
        names = (f"{key.name}=" for key in keys(configs.conf_dir() / f"{verb}.yaml"))
        print("\n".join(name for name in names if name.startswith(words[-1])))
        return 0
    line = " ".join(["receptive", *words[2:]])
    os.environ["COMP_LINE"], os.environ["COMP_POINT"] = line, str(len(line))
    typed = dict(itertools.pairwise(words[:-1]))
    own = [word for flag in ("--config-dir", "-cd") if flag in typed for word in (flag, typed[flag])]
    return _run_hydra(verb, own + (argv[1:] if argv[0] in VERBS else argv))


def _run_plain(verb: str, words: Sequence[str]) -> int:
    """Call a verb with plain arguments and turn the user's faults into a message and an exit code."""
    try:
        return _PLAIN[verb].call(verb, words)
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


def _run_hydra(verb: str, argv: list[str]) -> int:
    """Call a verb under hydra.main and turn what it raises into a message and an exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    configs.register_resolvers()
    # of `summary -m`, which our sweeper refuses in words of its own
    warnings.filterwarnings("ignore", r"\s*Running Hydra app with --multirun")
    raised: list[Exception] = []
    task = _keeping_errors(_TASKS[verb], raised)
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
        known = isinstance(error, (InputError, HydraException, OmegaConfBaseException, OSError))
        print(f"receptive: {_explain(error, verb)}", file=sys.stderr)
        if not known:
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
