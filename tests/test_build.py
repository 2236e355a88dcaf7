"""From a config to the objects of a run, and from a checkpoint to weights."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from sklearn.datasets import load_digits
from torch import nn

from receptive.build import (
    build,
    build_data,
    build_model,
    build_trainer_options,
    factory,
    facts_for,
    load_weights,
    start_from,
)
from receptive.checkpoints import AtomicCheckpointIO
from receptive.config import conf_dir
from receptive.data.augment import HorizontalFlip, Rotation
from receptive.data.digits import Digits
from receptive.data.source import Facts
from receptive.errors import InputError
from receptive.models.mnist_net import MnistNet
from receptive.optimizers.muon import Muon
from receptive.runs import Run
from receptive.tasks.base import Task

FACTS = Facts(2, (12, 16), ("ant", "bee", "cicada"), (0.5, 0.5), (0.2, 0.2))
SMALL = ("data=digits", "model.channels=[4,4]", "trainer.precision=32-true", "trainer.accelerator=cpu")


def composed(*overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", [*SMALL, *overrides])


def saved_run(folder: Path, task: Task, epoch: int = 4, name: str = "best") -> Run:
    run = Run(folder)
    state = {"state_dict": task.state_dict(), "epoch": epoch}
    AtomicCheckpointIO().save_checkpoint(state, run.checkpoints / f"{name}.ckpt")
    return run


def state_of(task: Task) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.state_dict().items()}


# a model and its facts


class Recorder(nn.Module):
    """Keeps what it was given."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given


def with_two_facts(num_classes: int, class_names: tuple[str, ...], width: int = 3) -> nn.Module:
    return Recorder(num_classes=num_classes, class_names=class_names, width=width)


def with_anything(in_channels: int, **others: Any) -> nn.Module:
    return Recorder(in_channels=in_channels, **others)


def test_a_model_gets_the_facts_that_its_signature_names() -> None:
    assert facts_for(with_two_facts, FACTS) == {"num_classes": 3, "class_names": ("ant", "bee", "cicada")}
    assert facts_for(with_anything, FACTS) == {"in_channels": 2}
    assert facts_for(MnistNet, FACTS) == {"in_channels": 2, "num_classes": 3, "image_size": (12, 16)}
    assert facts_for(lambda: None, FACTS) == {}


def test_a_model_gets_its_values_and_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("receptive.models.mnist_net.MnistNet", with_two_facts)
    model = build_model(OmegaConf.create({"_target_": "receptive.models.mnist_net.MnistNet", "width": 7}), FACTS)
    assert isinstance(model, Recorder)
    assert model.given == {"num_classes": 3, "class_names": ("ant", "bee", "cicada"), "width": 7}


def test_a_net_fits_its_data() -> None:
    node = OmegaConf.create({"_target_": "receptive.models.mnist_net.MnistNet", "channels": [4, 8]})
    net = build_model(node, FACTS)
    assert net(torch.zeros(5, 2, 12, 16)).shape == (5, 3)


def test_a_factory_binds_plain_values() -> None:
    node = OmegaConf.create({"_target_": "torch.optim.Adam", "lr": 0.25, "betas": [0.5, 0.75]})
    weight = nn.Parameter(torch.zeros(1))
    make = factory(node)
    assert isinstance(make, partial)
    assert type(make.keywords["betas"]) is list
    for _ in range(2):  # as often as a run asks
        [group] = make([weight]).param_groups
        assert (group["lr"], list(group["betas"])) == (0.25, [0.5, 0.75])


# a whole run


def test_the_objects_of_a_run_are_those_of_its_config() -> None:
    config = composed(
        "augment=[rotation,horizontal_flip]",
        "augment.rotation.degrees=10",
        "optimizer=muon",
        "trainer.channels_last=false",
    )
    experiment = build(config)
    assert isinstance(experiment.data.source, Digits)
    rotation, flip = experiment.data.augmentations
    assert isinstance(rotation, Rotation) and isinstance(flip, HorizontalFlip)
    assert rotation.degrees == 10
    assert isinstance(experiment.task.model, MnistNet)
    assert isinstance(experiment.task._optimizer(experiment.task.parameters()), Muon)
    assert experiment.trainer.channels_last is False
    assert experiment.data.channels_last is False
    assert experiment.trainer == build_trainer_options(config)


@pytest.mark.parametrize("channels_last", [True, False])
def test_data_and_task_agree_on_the_layout_in_memory(channels_last: bool) -> None:
    experiment = build(composed(f"trainer.channels_last={channels_last}", "data=digits"))
    assert experiment.data.channels_last is channels_last
    [second] = [layer for layer in experiment.task.modules() if isinstance(layer, nn.Conv2d) and layer.in_channels > 1]
    assert (second.weight.stride()[1] == 1) is channels_last


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = state_of(build(composed("seed=5")).task)
    torch.manual_seed(2)
    same = state_of(build(composed("seed=5", "augment=[rotation]", "optimizer=sgd")).task)
    other = state_of(build(composed("seed=6")).task)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_order_and_augmentation_follow_from_the_seed() -> None:
    def first_batch(seed: int) -> torch.Tensor:
        data = build_data(composed(f"seed={seed}", "augment=[rotation]"))
        data.setup("fit")
        images: torch.Tensor = next(iter(data.train_dataloader()))[0]
        return images

    assert torch.equal(first_batch(5), first_batch(5))
    assert not torch.equal(first_batch(5), first_batch(6))


def test_balanced_weights_are_of_the_training_images() -> None:
    experiment = build(composed("task.class_weights=balanced", "data.validation=437"))
    weights = experiment.task.class_weights
    assert isinstance(weights, torch.Tensor)
    counts = experiment.data.class_counts()
    assert int(counts.sum()) == len(load_digits().target) - 360 - 437
    torch.testing.assert_close(weights * counts, torch.full((10,), 100.0))


def test_the_tasks_own_metric_is_monitored_unless_another_is_asked_for() -> None:
    assert build(composed()).monitor == "val/accuracy"
    assert build(composed("trainer.monitor=val/loss")).monitor == "val/loss"


def test_overfitting_takes_the_same_few_batches_for_both() -> None:
    config = composed("trainer=overfit", "trainer.overfit_batches=2", "augment=[rotation]", "data.batch_size=16")
    data = build(config).data
    loaders: list[Any] = [data.train_dataloader(), data.val_dataloader()]
    seen = [{image.numpy().tobytes() for images, _ in loader for image in images} for loader in loaders]
    assert len(seen[0]) == 32
    assert seen[0] == seen[1]


# checkpoints


@pytest.fixture
def task() -> Task:
    return build(composed()).task


@pytest.mark.parametrize("name", ["best", "last"])
def test_weights_come_from_the_asked_checkpoint(tmp_path: Path, task: Task, name: str) -> None:
    other = build(composed("seed=9")).task
    run = saved_run(tmp_path, other, epoch=6, name=name)
    assert load_weights(task, run, name) == 7  # counted from 1
    assert all(torch.equal(value, task.state_dict()[key]) for key, value in other.state_dict().items())


def test_weights_of_another_model_are_refused(tmp_path: Path, task: Task) -> None:
    run = saved_run(tmp_path, build(composed("model.channels=[4,5]")).task)
    with pytest.raises(InputError, match=r"(?s)best\.ckpt does not fit the run's config\.yaml: .*size mismatch"):
        load_weights(task, run)


def test_all_weights_that_fit_are_taken_over(tmp_path: Path, task: Task) -> None:
    other = build(composed("seed=9")).task
    assert start_from(task, saved_run(tmp_path, other)) == []
    assert all(torch.equal(value, task.state_dict()[key]) for key, value in other.state_dict().items())


def test_a_head_for_other_classes_stays_fresh(tmp_path: Path, task: Task) -> None:
    config = composed("seed=9")
    other = build(config).task
    other.model = build_model(config.model, Facts(1, (8, 8), ("a", "b", "c"), (0.5,), (0.5,)))
    run, before = saved_run(tmp_path, other), state_of(task)
    fresh = start_from(task, run)
    head = [name for name, value in other.state_dict().items() if len(value) == 3]
    assert fresh == head
    assert len(head) == 2  # weight and bias
    for name, value in task.state_dict().items():
        wanted = before[name] if name in head else other.state_dict()[name]
        assert torch.equal(value, wanted), name
    assert not torch.equal(task.state_dict()["model.layers.0.weight"], before["model.layers.0.weight"])


def test_starting_from_a_run_of_nothing_that_fits_is_refused(tmp_path: Path, task: Task) -> None:
    other = build(composed("model.channels=[3,5,7]")).task
    before = state_of(task)
    with pytest.raises(InputError, match=rf"init={tmp_path}: no weight of that run fits this model"):
        start_from(task, saved_run(tmp_path, other))
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
