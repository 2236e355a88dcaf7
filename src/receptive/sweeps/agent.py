"""A sweep that W&B steers: the file that `wandb sweep` takes, for agents that run `receptive train`."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from receptive import config as configs
from receptive.errors import InputError
from receptive.files import write_atomically
from receptive.metrics import smaller_is_better
from receptive.runs import shown
from receptive.sweeps.jobs import Job, JobComposer, goal_of
from receptive.sweeps.space import Axis, Choice, Interval, Space, parse_space
from receptive.tracking.options import entity_of, project_of, wandb_options

HEAD = "# Written by receptive wandb sweep; the same command writes it anew.\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # of a parameter, in W&B's schema of sweeps


def write_sweep(
    path: Path,
    overrides: Sequence[str],
    console: Console,
    *,
    method: str = "grid",
    metric: str | None = None,
    name: str | None = None,
) -> None:
    """Write the file and say how to go on.

    Args:
        path: of the file; one that this function has not written is left alone.
        overrides: as for a search: lists, ranges and intervals are W&B's to choose from, single values hold for all.
        console: is told.
        method: grid, random or bayes.
        metric: what is sought; None: the metric that chooses the best checkpoint.
        name: of the sweep in W&B; None: W&B makes one up.

    Raises:
        InputError: the overrides name no sweep that W&B can steer, or a run of it could not be trained.
        OSError: the file cannot be written.
    """
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEAD):
        raise InputError(f"{path} is there already and is not of this command: give --output ANOTHER_FILE")
    sweep = wandb_sweep(overrides, method=method, metric=metric, name=name)
    write_atomically(path, HEAD + yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True, width=1000))
    for line in (
        f"wandb sweep {shlex.quote(shown(path))}   makes the sweep and says its address",
        "wandb agent ENTITY/PROJECT/ID   runs its points, here or wherever receptive and the data are",
    ):
        console.print(line)


def wandb_sweep(
    overrides: Sequence[str], *, method: str = "grid", metric: str | None = None, name: str | None = None
) -> dict[str, Any]:
    """The file's content; see `write_sweep`."""
    space, jobs = _checked(overrides)
    parameters = {key: _parameter(axis) for key, axis in space.axes.items()}
    if space.seeds:
        parameters["seed"] = _parameter(Choice(space.seeds))
    _refuse(space, parameters, method)
    options = wandb_options(jobs[0].config)
    if options is None:
        raise InputError("logger: without wandb among the loggers W&B would wait for its agents' runs in vain")
    sought, goal = _goal(jobs, metric)
    entity = entity_of(options.entity)
    return {
        "program": "receptive",
        **({"name": name} if name else {}),
        "project": project_of(options.project),
        **({"entity": entity} if entity else {}),
        "method": method,
        "metric": {"name": sought, "goal": goal},
        "parameters": parameters,
        "command": ["${env}", "receptive", "train", *_own_logger(space), *space.fixed.values(), "${args_no_hyphens}"],
    }


def _own_logger(space: Space) -> list[str]:
    """What is added where no logger is named: W&B waits for its agents' runs."""
    return [] if "logger" in space.fixed else ["logger=wandb"]


def _checked(overrides: Sequence[str]) -> tuple[Space, list[Job]]:
    """What is searched, and its probes, composed and checked."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    configs.register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs.conf_dir()), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        try:
            space = parse_space(loader, overrides, {})
            for key in space.order:
                if key == "study" or re.match(r"hydra\b", key.lstrip("+~")):
                    raise InputError(f"{key}: W&B's agent runs one run at a time, as receptive train without -m does")
            master: DictConfig = loader.load_configuration("train", [], RunMode.RUN)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(configs.explain(error, lambda: configs.known_keys("train"))) from None
        points = [replace(probe, overrides=(*_own_logger(space), *probe.overrides)) for probe in space.probes()]
        return space, JobComposer(loader, master, Path(), download=False, here=False).jobs(points)


def _refuse(space: Space, names: Iterable[str], method: str) -> None:
    """Raise InputError for what W&B cannot choose from."""
    found = [
        f"{key}: W&B's parameters are named by letters, digits, _ . and - alone; give it one value, or run the sweep "
        "with receptive train -m"
        for key in names
        if not _NAME.fullmatch(key)
    ]
    if method == "grid":
        found += [
            f"{key}: a grid needs values, e.g. {key}=0.1,0.01; --method random or bayes takes intervals"
            for key, axis in space.axes.items()
            if isinstance(axis, Interval)
        ]
    if found:
        raise InputError("\n".join(found))


def _parameter(axis: Axis) -> dict[str, Any]:
    """An axis as W&B's sweeps have it."""
    if isinstance(axis, Choice):
        return {"values": [_plain(text) for text in axis.values]}
    low, high = (int(axis.low), int(axis.high)) if axis.whole else (axis.low, axis.high)
    if axis.whole and axis.log:
        return {"distribution": "q_log_uniform_values", "q": 1, "min": low, "max": high}
    kind = "int_uniform" if axis.whole else "log_uniform_values" if axis.log else "uniform"
    return {"distribution": kind, "min": low, "max": high}


def _plain(text: str) -> int | float | str:
    """A number as one, for W&B's axes; all else as the text of an override, which Hydra reads again as it was meant.

    So `null` stays a text: the agent would write None.
    """
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    return text


def _goal(jobs: Sequence[Job], metric: str | None) -> tuple[str, str]:
    """The metric that is sought, and whether more or less of it is."""
    found = set()
    for job in jobs:
        task: Any = get_class(job.config["task"]["_target_"])
        own = goal_of(job)
        sought, known = metric or own.monitor, [*task.METRICS, *_of_test(task.METRICS)]
        if sought not in known:
            near = configs.did_you_mean(sought, known)
            raise InputError(f"--metric {sought}: there is no such metric{near} (there are {', '.join(known)})")
        less = own.mode == "min" if sought == own.monitor else smaller_is_better(sought)
        found.add((sought, "minimize" if less else "maximize"))
    if len(found) > 1:
        named = " and ".join(sorted(name for name, _ in found))
        raise InputError(f"these runs choose their best by {named}: give --metric")
    return found.pop()


def _of_test(metrics: Iterable[str]) -> list[str]:
    return [name.replace("val/", "test/") for name in metrics if name.startswith("val/")]
