"""All faults of a config, before anything runs.

Composing has found Hydra's own faults. Here every class that the config names is held against its signature, network,
optimizer and schedule are built once without memory (meta device) and fed one batch of the data's shape, and the
data's files are looked for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from hydra.errors import InstantiationException
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from receptive.config import Rerun, Submit, did_you_mean, plain
from receptive.errors import InputError
from receptive.model_check import model_faults, unweighted
from receptive.signatures import TARGET_PREFIXES, Node, guilty, target_faults

if TYPE_CHECKING:
    from torch import nn

_NEEDED = ("seed", "test", "init", "rerun", "target_prefixes", "paths", "augment")  # a config cannot be checked without
_OPTIONS = (*_NEEDED, "hydra", "resume", "dry_run", "submit", "tags")
_GROUPS = ("data", "augment", "task", "model", "optimizer", "scheduler", "trainer", "record", "logger")
_OPTIONAL = ("augment", "record", "logger")
_LOGGERS = ("wandb", "tensorboard")


class Checker:
    """Checks configs; each distinct part once, however many configs share it.

    Args:
        files: look for the data's files too, and download what is missing.
        download: false: files that can be downloaded are not looked for.
        here: the runs are this machine's; false: of devices nothing is known.
    """

    def __init__(self, files: bool = True, download: bool = True, here: bool = True) -> None:
        self._look, self._here = (files, download), here
        self._known: dict[tuple[Any, ...], list[str]] = {}
        self._facts = functools.cache(_facts)
        self._weights = functools.lru_cache(maxsize=16)(_weights)

    def faults(self, config: DictConfig) -> list[str]:
        """What is wrong with a composed config, a line each, with key and remedy; empty when it can run."""
        values, found = _resolved(config)
        return found or self.value_faults(values)

    def value_faults(self, values: dict[str, Any]) -> list[str]:
        """The same of a config as plain containers, resolved and without a missing value."""
        if found := _missing_parts(values):
            return found
        found = _top_level_faults(values)
        prefixes = (*TARGET_PREFIXES, *values["target_prefixes"])
        nodes = {group: Node(values.get(group) or {}) for group in _GROUPS}
        for group in _GROUPS:
            found += self._once(target_faults, group, nodes[group], prefixes)
        return found or self._building_faults(nodes)

    def _building_faults(self, nodes: dict[str, Node]) -> list[str]:
        data, model, task, trainer = (nodes[group] for group in ("data", "model", "task", "trainer"))
        augment, optimizer = nodes["augment"], nodes["optimizer"]
        if found := self._once(_data_faults, data, *self._look) + self._once(_chosen_faults, "augment", augment):
            return found
        facts = self._facts(data)
        found = self._once(model_faults, facts, model)
        found = found or self._once(_record_faults, facts, model, nodes["record"])
        found = found or self._once(_optimizer_faults, facts, model, optimizer, self._weights)
        found = found or self._once(_schedule_faults, nodes["scheduler"], optimizer, trainer)
        found += self._once(_augmentation_faults, facts, augment)
        found += self._once(_trainer_faults, data, task, trainer, self._here)
        return found + self._once(_logger_faults, nodes["logger"]) + self._once(_task_faults, facts, task)

    def _once(self, check: Callable[..., list[str]], *parts: Any) -> list[str]:
        key = (check, *parts)
        if key not in self._known:
            self._known[key] = check(*parts)
        return list(self._known[key])


def _resolved(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """The config's values, and its faults: interpolations that lead nowhere, keys without a value."""
    with contextlib.suppress(OmegaConfBaseException):
        if not _holds(values := plain(config, resolve=True), "???"):
            return values, []  # at once; node by node, as below, takes longer
    try:
        OmegaConf.resolve(config := config.copy())
        return plain(config), [f"{key}: give a value" for key in sorted(OmegaConf.missing_keys(config))]
    except OmegaConfBaseException as error:
        return {}, [f"{error.full_key}: {str(error).splitlines()[0]}"]


def _holds(values: Any, word: str) -> bool:
    if isinstance(values, dict):
        return any(_holds(value, word) for value in values.values())
    return any(_holds(value, word) for value in values) if isinstance(values, list) else values == word


def _missing_parts(values: dict[str, Any]) -> list[str]:
    found = [f"{key}: is missing; leave it in" for key in _NEEDED if key not in values]
    for group in _GROUPS:
        if group not in _OPTIONAL and not (isinstance(values.get(group), dict) and values[group].get("_target_")):
            found.append(f"{group}: choose one of conf/{group}")
    prefixes = values.get("target_prefixes")
    if not isinstance(prefixes, list) or not all(isinstance(prefix, str) for prefix in prefixes):
        found.append(f"target_prefixes={prefixes}: give a list, e.g. target_prefixes=[mine]")
    return found


def _top_level_faults(values: dict[str, Any]) -> list[str]:
    found = [
        f"{key}: there is no such option{did_you_mean(key, (*_OPTIONS, *_GROUPS))}"
        for key in values
        if key not in (*_OPTIONS, *_GROUPS)
    ]
    if not isinstance(values["seed"], int) or isinstance(values["seed"], bool) or not 0 <= values["seed"] < 2**32:
        found.append(f"seed={values['seed']}: give a whole number from 0 to 2**32 - 1")
    flags = [key for key in ("test", "dry_run") if not isinstance(values.get(key, False), bool)]
    found += [f"{key}={values[key]}: give true or false" for key in flags]
    if values["init"] is not None and not (Path(values["init"]) / "checkpoints" / "best.ckpt").is_file():
        found.append(f"init={values['init']}: no checkpoints/best.ckpt there; give the folder of a finished run")
    if values.get("resume") is not None:
        found.append(
            f"resume={values['resume']}: goes on with one run; a sweep goes on by itself with the same command"
        )
    for key, choices in (("rerun", get_args(Rerun)), ("submit", get_args(Submit))):
        if (value := values.get(key, choices[0])) not in choices:
            found.append(f"{key}={value}: give {', '.join(choices[:-1])} or {choices[-1]}")
    return found


def _built(node: dict[str, Any], **arguments: Any) -> Any:
    from receptive.build import factory

    try:
        return factory(OmegaConf.create(dict(node)))(**arguments)
    except InstantiationException as error:  # of a node within the node, wrapped by Hydra
        raise (error.__cause__ or error) from None


def _data_faults(data: Node, files: bool, download: bool) -> list[str]:
    try:
        module = _built(data)
        if files and (download or not _can_be_downloaded(data)):
            module.prepare_data()
        module.transform(1)  # mean and deviation fit the channels
    except InputError as error:
        return [str(error)]
    except (ValueError, TypeError) as error:
        return [guilty("data", data, error)]
    return []


def _can_be_downloaded(node: dict[str, Any]) -> bool:
    """Whether a data set, or the one that it is made of, fetches what is missing."""
    source = node.get("source")
    return isinstance(source, dict) and (bool(source.get("download")) or _can_be_downloaded(source))


def _chosen_faults(group: str, chosen: Node) -> list[str]:
    """Faults of a group of which several may be chosen."""
    found = []
    for name, node in chosen.items():
        if not isinstance(node, dict) or "_target_" not in node:
            found.append(f"{group}.{name}: is set but not chosen; add {name} to {group}=[...]")
            continue
        try:
            _built(node)
        except (ValueError, TypeError) as error:
            found.append(guilty(f"{group}.{name}", node, error))
    return found


def _augmentation_faults(facts: Any, chosen: Node) -> list[str]:
    """What an augmentation raises for one image of the smallest size, on the CPU."""
    import torch

    height, width = min(facts.sizes, key=min)
    found = []
    for name, node in chosen.items():
        augmentation = _built(node)
        image = torch.linspace(0, 1, height * width).view(1, 1, height, width).repeat(1, facts.in_channels, 1, 1)
        mask = torch.zeros(1, height, width, dtype=torch.int64) if facts.target == "mask" else None
        try:
            augmentation(image, torch.full((1, augmentation.draws), 0.5), mask)
        except Exception as error:  # whatever one's own raises
            found.append(f"{guilty(f'augment.{name}', node, error)}  (with images of {height}x{width})")
    return found


def _logger_faults(logger: Node) -> list[str]:
    if found := _chosen_faults("logger", logger):
        return found
    if unknown := [name for name in logger if name not in _LOGGERS]:
        return [f"logger.{name}: there is no such logger{did_you_mean(name, _LOGGERS)}" for name in unknown]
    if "tensorboard" in logger and importlib.util.find_spec("tensorboard") is None:
        return ["logger=tensorboard: is not installed: pip install tensorboard"]
    return []


def _facts(data: Node) -> Any:
    """The data's facts; hashable, so that what depends on them is checked once for all data that share them."""
    return _built(data).facts


def _weights(facts: Any, model: Node) -> list[nn.Parameter]:
    return list(unweighted(facts, model)[0].parameters())


def _record_faults(facts: Any, model: Node, record: Node) -> list[str]:
    from receptive.recording.layers import chosen_layers

    try:
        chosen_layers(unweighted(facts, model)[0], record.get("layers"))
    except InputError as error:
        return [f"record.{error}"]
    return []


def _optimizer_faults(
    facts: Any, model: Node, optimizer: Node, weights: Callable[[Any, Node], list[nn.Parameter]]
) -> list[str]:
    try:
        _built(optimizer, params=weights(facts, model))
    except (ValueError, TypeError, RuntimeError) as error:
        return [guilty("optimizer", optimizer, error)]
    return []


def _trainer_faults(data: Node, task: Node, trainer: Node, here: bool) -> list[str]:
    try:
        options = _built(trainer)
    except ValueError as error:
        return [str(error)]
    task_class: Any = get_class(task["_target_"])
    metrics = task_class.METRICS
    monitor = options.monitor or task_class.MONITOR
    if monitor not in metrics:
        near = did_you_mean(monitor, metrics)
        return [f"trainer.monitor={monitor}: there is no such metric{near} (there are {', '.join(metrics)})"]
    if monitor.startswith("val/") and data.get("validation") == 0:
        return [
            f"data.validation=0: then {monitor} does not exist; hold images out or choose trainer.monitor=train/loss"
        ]
    if here and not options.has_device():
        kind = options.accelerator
        return [f"trainer.accelerator={kind}: this machine has no {kind.upper()} device; choose auto or cpu"]
    if options.precision == "16-mixed" and (options.accelerator == "cpu" or (here and options.device() == "cpu")):
        return ["trainer.precision=16-mixed: float16 is for GPUs; choose bf16-mixed"]
    return []


def _schedule_faults(scheduler: Node, optimizer: Node, trainer: Node) -> list[str]:
    import torch

    weights = [torch.nn.Parameter(torch.zeros(2, 2)) for _ in range(3)]
    try:
        built = _built(optimizer, params=weights)
        _built(scheduler, optimizer=built, steps_per_epoch=10, max_epochs=trainer["max_epochs"])
    except (ValueError, TypeError) as error:
        return [guilty("scheduler", scheduler, error)]
    return []


def _task_faults(facts: Any, task: Node) -> list[str]:
    import torch

    task_class: Any = get_class(task["_target_"])
    if facts.target != task_class.TARGET:
        return [
            f"task: {task_class.__name__} learns a {task_class.TARGET} for each image, the data have a {facts.target}"
        ]
    try:
        _built(
            task,
            model=torch.nn.Identity(),
            optimizer=lambda parameters: None,
            schedule=lambda optimizer: None,
            class_names=facts.class_names,
        )
    except (ValueError, TypeError) as error:
        return [f"task: {error}"]
    return []
