"""Configs before anything runs: find `conf/`, freeze, fingerprint, name. Imports no torch."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from receptive.files import absolute

Rerun = Literal["failed", "all", "none"]  # which ended jobs run again
Submit = Literal["wait", "detach"]  # whether the command waits for jobs in a queue

PACKAGE = Path(__file__).parent
# Keys that say where and how a run is computed, not what is computed.
NOT_FINGERPRINTED = (
    "hydra",
    "paths",
    "logger",
    "tags",
    "rerun",
    "resume",
    "dry_run",
    "submit",
    "target_prefixes",
    "trainer.accelerator",
    "trainer.threads",
    "trainer.progress",
    "trainer.checkpoint_minutes",
    "trainer.checkpoint_steps",
    "trainer.log_gradient_norm",
    "data.num_workers",
)
# Left out where they are 1: with them runs were named before there was a choice.
_COUNTED_FROM_TWO = ("trainer.devices", "trainer.num_nodes")
_SLUG_LENGTH = 80
_NOT_IN_SWEEP_NAME = ("hydra/sweeper=grid", "hydra.sweeper.trials=", "hydra.sweeper.parallel=")


def conf_dir() -> Path:
    """The folder of the YAML files: the checkout's when there is one, else the installed wheel's."""
    checkout = PACKAGE.parents[1] / "conf"
    return checkout if (checkout / "train.yaml").is_file() else PACKAGE / "conf"


def plain(config: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    """A config as plain containers."""
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def freeze(config: DictConfig) -> DictConfig:
    """What goes into a job's `config.yaml`: without hydra, with absolute paths.

    Interpolations of `paths` stay, so that a folder can be read where the data lie elsewhere.
    """
    return freeze_in_place(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))


def freeze_in_place(config: DictConfig) -> DictConfig:
    """The same of a config that has no hydra any more and is nobody else's; gives it back."""
    OmegaConf.set_struct(config, False)
    for key, value in (plain(config.paths, resolve=True) if "paths" in config else {}).items():
        config.paths[key] = str(absolute(value)) if value is not None else None
    if config.get("init") is not None:
        config.init = str(absolute(config.init))
    source = OmegaConf.select(config, "data.source")
    while isinstance(source, DictConfig):  # and the source that it is made of
        own_root = "root" in source and not OmegaConf.is_interpolation(source, "root")
        if own_root and isinstance(source.root, str):
            source.root = str(absolute(source.root))
        source = OmegaConf.select(source, "source")
    return config


def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of every leaf of a plain config; lists count as leaves."""
    if not isinstance(node, dict) or not node:
        return {prefix: node} if prefix else {}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= leaves(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _literal(config: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """The leaves as they stand."""
    return leaves(plain(config) if isinstance(config, DictConfig) else config)


def decides(key: str, value: Any) -> bool:
    """Whether a leaf says what is computed."""
    return not _lies_in(key, _OUTSIDE) and not (key in _COUNTED_FROM_TWO and value == 1)


def _lies_in(key: str, places: tuple[str, ...]) -> bool:
    return f"{key}.".startswith(places)


def _dotted(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{key}." for key in keys)


_OUTSIDE = _dotted(NOT_FINGERPRINTED)


def fingerprint(config: DictConfig | dict[str, Any], swept: Iterable[str] = ()) -> str:
    """12 hexadecimal digits that name what a run computes.

    Hashes the literal config (interpolations and `auto` as they stand), without `NOT_FINGERPRINTED` except for those
    of its keys that are `swept`.
    """
    inside = _dotted(swept)
    kept = {key: value for key, value in _literal(config).items() if _lies_in(key, inside) or decides(key, value)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def differences(old: DictConfig, new: DictConfig | dict[str, Any]) -> list[str]:
    """One line `key: old -> new` for every leaf that differs and counts in the fingerprint."""
    before, after = _literal(old), _literal(new)
    keys = [
        key
        for key in dict.fromkeys([*before, *after])
        if any(decides(key, values[key]) for values in (before, after) if key in values)
    ]
    return [
        f"{key}: {before.get(key, '(absent)')} -> {after.get(key, '(absent)')}"
        for key in keys
        if before.get(key, "(absent)") != after.get(key, "(absent)")
    ]


def slug(labels: Mapping[str, str], fingerprint: str) -> str:
    """A readable, unique folder name for a job, of the characters `[A-Za-z0-9._-]`.

    Args:
        labels: swept key -> value; of a variant its name stands for all that it changes.
        fingerprint: makes the name unique.
    """
    words = [value if key == "variant" else f"{key.rpartition('.')[2]}_{value}" for key, value in labels.items()]
    readable = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word).strip("_.") for word in words)
    return f"{readable[:_SLUG_LENGTH].strip('-_.')}-{fingerprint}".lstrip("-")


def quoted(value: str) -> str:
    """A value in single quotes, as Hydra's grammar takes any text: a backslash counts only before a quote."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


# beginnings of overrides that say what one command is to do, and of those that change nothing of what is computed
OF_ONE_COMMAND = ("rerun=", "dry_run=", "submit=")
ABOUT_THE_COMMAND = (*OF_ONE_COMMAND, "logger=", "logger.")


def sweep_name(overrides: Sequence[str], about_hydra: Sequence[str] = ()) -> str:
    """The folder name of a sweep: the same overrides, in any order, with whatever loggers, find the same folder.

    Args:
        overrides: of the config.
        about_hydra: overrides of hydra's own config; those of the sweeper count, but for its kind where it is the grid
            and for how many trials there are: more of them extend the sweep.
    """
    lines = [str(line) for line in (*overrides, *about_hydra)]
    kept = sorted(
        line
        for line in lines
        if not line.startswith(("hydra", *ABOUT_THE_COMMAND))
        or (line.startswith(("hydra.sweeper.", "hydra/sweeper=")) and not line.startswith(_NOT_IN_SWEEP_NAME))
    )
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:10]


def sweep_folder(study: str | None, task: Sequence[str], hydra: Sequence[str]) -> str:
    """Where a sweep lies below paths.output_dir: a study in a folder of its name."""
    return f"studies/{study}" if study else f"sweeps/{sweep_name(task, hydra)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` or an empty string."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f", did you mean {near[0]!r}?" if near else ""


def register_resolvers() -> None:
    """The one interpolation of our own: `${sweep_folder:STUDY,LIST_OF_OVERRIDES,LIST_OF_OVERRIDES}`."""
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)


def explain(error: Exception, known: Callable[[], Iterable[str]]) -> str:
    """What Hydra or OmegaConf raised while composing, in our words and with the key that was meant.

    Args:
        error: an error of composing.
        known: gives the keys that there are.
    """
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: give a value"
    text = str(error).partition("\nSee https")[0].partition("Config search path")[0].strip()
    if match := re.match(r"Could not (?:override|append to config.*?) '([^']+)'", text):
        of_loggers = _logger_keys()
        if match[1] in of_loggers:
            return f"unknown key {match[1]!r}: add logger={match[1].split('.')[1]}"
        return f"unknown key {match[1]!r}{did_you_mean(match[1], [*known(), *of_loggers])}"
    if match := re.search(r"Could not find '([^']+)'\s+Available options in '[^']+':\s+(.*)", text, re.DOTALL):
        options = match[2].split()
        near = did_you_mean(match[1].rpartition("/")[2], options)
        return f"there is no {match[1]!r}{near} (there are {', '.join(options)})"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {text}"
    known_kind = isinstance(error, (HydraException, OmegaConfBaseException))
    return text if known_kind and text else f"{type(error).__name__}: {text or error.__cause__}"


def _logger_keys() -> list[str]:
    """Dotted keys of the loggers, which stand in a config only where they are chosen."""
    configs = (OmegaConf.load(path) for path in sorted((conf_dir() / "logger").glob("*.yaml")))
    return [f"logger.{key}" for config in configs if isinstance(config, DictConfig) for key in leaves(plain(config))]


def known_keys(verb: str) -> list[str]:
    """Dotted keys of a verb's composed config and of the nodes above them, for suggestions."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return dotted_keys(compose(verb))


def dotted_keys(config: DictConfig) -> list[str]:
    """Dotted keys of a config's leaves and of the nodes above them."""
    keys = leaves(plain(config))
    parents = {key[:end] for key in keys for end in range(len(key)) if key[end] == "."}
    return [*keys, *sorted(parents)]
