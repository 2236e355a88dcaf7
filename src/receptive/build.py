"""From a config to the objects of a run. Below this module there is no DictConfig."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from hydra.utils import instantiate
from omegaconf import DictConfig
from pydantic import Strict
from torch import Tensor, nn

from receptive.checkpoints import load_state
from receptive.data.module import ImageData
from receptive.data.source import Facts
from receptive.errors import InputError
from receptive.files import absolute
from receptive.runs import Run
from receptive.tasks.base import Task
from receptive.trainer import Device, Precision, TrainerOptions

Checkpoint = Literal["best", "last"]  # whose weights are used
Place = Annotated[int, Ge(0), Strict()]  # of an image in its part of the data; true is none


@dataclass(frozen=True)
class Experiment:
    """The objects of a run."""

    data: ImageData
    task: Task
    trainer: TrainerOptions

    @property
    def monitor(self) -> str:
        """The metric that chooses the best checkpoint."""
        return self.trainer.monitor or self.task.MONITOR


def factory(node: Any) -> Callable[..., Any]:
    """The callable of a config node, its values bound."""
    return cast("Callable[..., Any]", instantiate(node, _partial_=True, _convert_="all"))


def facts_for(target: Callable[..., Any], facts: Facts) -> dict[str, Any]:
    """Those facts of the data that the signature of `target` asks for by name."""
    known = {
        "in_channels": facts.in_channels,
        "num_classes": facts.num_classes,
        "image_size": facts.image_size,
        "class_names": facts.class_names,
    }
    parameters = inspect.signature(target).parameters
    return {name: value for name, value in known.items() if name in parameters}


def build_model(node: Any, facts: Facts) -> nn.Module:
    """The network of `conf/model`, fitted to the data's facts."""
    model = factory(node)
    return cast(nn.Module, model(**facts_for(model, facts)))


def build_trainer_options(config: DictConfig) -> TrainerOptions:
    """The options of `conf/trainer`."""
    return cast(TrainerOptions, instantiate(config.trainer, _convert_="all"))


def build_data(config: DictConfig, options: TrainerOptions | None = None) -> ImageData:
    """The datamodule of `conf/data` with the augmentations of `conf/augment`, for the config's trainer options.

    Reads no data, so that `overfit_batches` is not yet heeded.
    """
    augmentations = [instantiate(node, _convert_="all") for node in (config.augment or {}).values()]
    trainer = options or build_trainer_options(config)
    data = factory(config.data)(
        augmentations=augmentations,
        seed=config.seed,
        channels_last=trainer.channels_last,
        device=trainer.device(),
    )
    return cast(ImageData, data)


def build(config: DictConfig) -> Experiment:
    """All objects of a run, with the weights that the seed gives. Reads the training data.

    Raises:
        InputError: the data cannot be read.
    """
    trainer = build_trainer_options(config)
    data = build_data(config, trainer)
    data.prepare_data()
    data.setup("fit")
    return _with_task(config, data, trainer)


def _with_task(config: DictConfig, data: ImageData, trainer: TrainerOptions) -> Experiment:
    """The same with data that are there; they are read where something asks for them."""
    if trainer.overfit_batches is not None:
        data.overfit(trainer.overfit_batches)
    return Experiment(data, build_task(config, data.facts, trainer, data.class_counts), trainer)


def build_task(
    config: DictConfig, facts: Facts, trainer: TrainerOptions, class_counts: Callable[[], Tensor] | None = None
) -> Task:
    """Network, loss, metrics and optimizer, with the weights that the seed gives. Reads no data.

    Args:
        config: of the run.
        facts: of the data.
        trainer: of the run.
        class_counts: asked for balanced class weights; needed where a loss is computed, in training or in a test of
            masks.
    """
    task_factory = factory(config.task)
    torch.default_generator.manual_seed(config.seed)  # weights are made on the CPU: other devices keep their state
    task = task_factory(
        build_model(config.model, facts),
        optimizer=factory(config.optimizer),
        schedule=factory(config.scheduler),
        class_names=facts.class_names,
        class_counts=class_counts,
        channels_last=trainer.channels_last,
    )
    return cast(Task, task)


def build_records(config: DictConfig, run: Run) -> list[pl.Callback]:
    """What `conf/record` asks to be kept beside the metrics."""
    node = config.get("record")
    return [] if node is None else [factory(node)(run.activations_path)]


def rebuild(config: DictConfig, result: dict[str, Any]) -> Experiment:
    """The objects of a trained run for use on other images: of a finished one no file of its data set is looked at.

    Args:
        config: as frozen in its folder.
        result: of its folder; {} where the run has not finished: the facts are then asked of the data set.

    Raises:
        InputError: the result does not tell the facts of the data.
    """
    trainer = build_trainer_options(config)
    data = build_data(config, trainer)
    if result:
        try:
            data.facts = Facts.from_plain(result["data"]["facts"])
        except (KeyError, TypeError) as error:
            raise InputError(f"result.json does not tell the facts of the data ({error}): train anew") from None
    return Experiment(data, build_task(config, data.facts, trainer), trainer)


def load_weights(task: Task, run: Run, checkpoint: Checkpoint = "best") -> int:
    """Put the weights of a run's checkpoint into `task`; gives the epoch (counted from 1) that they are from.

    Raises:
        InputError: there is no such checkpoint, or it cannot be read or does not fit.
    """
    state = load_state(run.checkpoints / f"{checkpoint}.ckpt")
    try:
        task.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        raise InputError(f"{run.folder}: {checkpoint}.ckpt does not fit the run's config.yaml: {error}") from None
    return int(state["epoch"]) + 1


def config_here(
    run: Run, data_dir: str | None = None, device: Device | None = None, precision: Precision | None = None
) -> DictConfig:
    """The config of a run that is used on this machine.

    Args:
        run: its folder.
        data_dir: where the data lie now; None: where they lay when the run was trained.
        device: cpu, cuda, mps or auto; None: what the run was told.
        precision: as `trainer.precision`; None: what the run was told.

    Raises:
        InputError: this machine lacks the device.
    """
    config = run.config()
    if data_dir is not None:
        config.paths.data_dir = str(absolute(data_dir))
    for name, value in (("accelerator", device), ("precision", precision)):
        if value is not None:
            config.trainer[name] = value
    if not (options := build_trainer_options(config)).has_device():
        if device is not None:
            raise InputError(f"device={device}: this machine has no {device.upper()} device; choose auto or cpu")
        raise InputError(
            f"{run.folder} was to run on {options.device()}, which this machine lacks: give another device, such as cpu"
        )
    return config


def trained(
    run: Run, checkpoint: Checkpoint = "best", data_dir: str | None = None, device: Device | None = None
) -> Experiment:
    """The objects of a trained run with its weights, also to compute its loss on its own data.

    Data are read where something asks for them: the training data here, where the classes' weights are balanced.

    Args:
        run: a folder with config.yaml and checkpoints.
        checkpoint: "best" or "last".
        data_dir: as in `config_here`.
        device: as in `config_here`.

    Raises:
        InputError: data or checkpoint cannot be read, or this machine lacks the device.
    """
    config = config_here(run, data_dir, device)
    pl.seed_everything(config.seed, verbose=False)
    trainer = build_trainer_options(config)
    data = build_data(config, trainer)
    data.prepare_data()
    experiment = _with_task(config, data, trainer)
    trainer.apply_to_process()
    load_weights(experiment.task, run, checkpoint)
    return experiment


def start_from(task: Task, run: Run) -> list[str]:
    """Put the best weights of another run into `task`, all that fit; gives the names of those that do not.

    A head for another number of classes keeps its fresh weights.

    Raises:
        InputError: nothing fits.
    """
    own = task.state_dict()
    given = load_state(run.checkpoints / "best.ckpt")["state_dict"]
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not any(name.startswith("model.") for name in fitting):
        raise InputError(
            f"init={run.folder}: no weight of that run fits this model; choose the model it was trained with"
        )
    task.load_state_dict(own | fitting)
    return [name for name in own if name not in fitting]
