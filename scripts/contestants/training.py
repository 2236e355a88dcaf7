"""Whoever trains: receptive, a raw loop, and Lightning as it comes. Each gives the seconds of a step."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy
from torchvision import datasets, transforms, tv_tensors
from torchvision.transforms import v2

from receptive.build import build, build_model, factory
from receptive.config import conf_dir, freeze, register_resolvers
from receptive.console import new_console
from receptive.data.source import ArraySplit
from receptive.job import run_job
from receptive.runs import Run
from receptive.tasks.segmentation import SegmentationTask

# Lightning sets this at import, so that Adam looks for the GPU driver's library at every step.
_DRIVER_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
_AFTER_IMPORTS = os.environ.get(_DRIVER_CHECK)


@dataclass(frozen=True)
class Turn:
    """Two epochs of `steps` steps each.

    Args:
        steps: of each of the two.
        warmup: of these, how many of the first epoch are not counted; at least 1.
        full_epoch: steps of an epoch that is not cut short.
    """

    steps: int
    warmup: int
    full_epoch: int


@contextlib.contextmanager
def stopwatch(turn: Turn) -> Iterator[Callable[[], float]]:
    """Time whatever trains in the block, by torch's hook after each `optimizer.step`.

    What it yields gives the seconds of a step, with its share of what lies between two epochs: checkpoint,
    records, a new order.
    """
    marks: dict[int, float] = {}
    count = 0

    def after_step(*_: Any) -> None:
        nonlocal count
        count += 1
        if count in (turn.warmup, turn.steps, turn.steps + 1, 2 * turn.steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            marks[count] = time.perf_counter()

    def seconds() -> float:
        first, last, again, end = marks.values()
        step = (last - first + end - again) / (2 * turn.steps - turn.warmup - 1)
        return step + max(again - last - step, 0.0) / turn.full_epoch

    handle = register_optimizer_step_post_hook(after_step)
    try:
        yield seconds
    finally:
        handle.remove()


class Screen(io.StringIO):
    """A terminal that nobody looks at, so that every contestant draws its bar."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Take the text."""
        return len(text)


@contextlib.contextmanager
def driver_check(value: str | None) -> Iterator[None]:
    """Give each contestant the environment that a process of its own would have."""

    def put(value: str | None) -> None:
        if value is None:
            os.environ.pop(_DRIVER_CHECK, None)
        else:
            os.environ[_DRIVER_CHECK] = value

    before = os.environ.get(_DRIVER_CHECK)
    put(value)
    try:
        yield
    finally:
        put(before)


def composed(*overrides: str) -> DictConfig:
    """Compose the config of `receptive train` with these overrides."""
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return freeze(compose("train", overrides=list(overrides)))


def ours(config: DictConfig, turn: Turn) -> float:
    """Run a job as `receptive train` does: metrics, records, bar, checkpoints, status, log.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        OmegaConf.save(config, run.config_path)
        with driver_check(_AFTER_IMPORTS), stopwatch(turn) as seconds:
            state = run_job(run, new_console(file=Screen()))
        if state != "done":
            raise RuntimeError(f"the run ended as {state}: {run.status().error}")
    return seconds()


def raw_loop(config: DictConfig, turn: Turn) -> float:
    """Train in a plain loop with our loader, precision, memory format and determinism, and nothing else."""
    experiment = build(config)
    options, device = experiment.trainer, torch.device(experiment.trainer.device())
    torch.use_deterministic_algorithms(options.deterministic)
    model = experiment.task.model.to(device)
    criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    if isinstance(experiment.task, SegmentationTask):
        criterion = experiment.task.to(device).loss_of
    optimizer = factory(config.optimizer)(model.parameters())
    loader = experiment.data.train_dataloader()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=options.actual_precision() == "bf16-mixed")
    with driver_check(None), stopwatch(turn) as seconds:
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            for images, targets in islice(loader, turn.steps):
                optimizer.zero_grad()
                with autocast:
                    loss = criterion(model(images).float(), targets)
                loss.backward()
                optimizer.step()
    return seconds()


class UsualModule(pl.LightningModule):
    """A classifier as tutorials have it: loss and accuracy logged every step."""

    def __init__(self, model: nn.Module, num_classes: int, lr: float) -> None:
        super().__init__()
        self.model = model
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.lr = lr

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, targets = batch
        logits = self.model(images)
        loss = F.cross_entropy(logits, targets)
        self.accuracy(logits, targets)
        self.log("train/loss", loss)
        self.log("train/accuracy", self.accuracy)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class UsualSegmenter(UsualModule):
    """The same for masks: cross-entropy and Dice loss, per-pixel accuracy."""

    def __init__(self, model: nn.Module, num_classes: int, lr: float) -> None:
        super().__init__(model, num_classes, lr)
        self.dice = DiceLoss("multiclass", classes=[*range(1, num_classes)])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, masks = batch
        logits = self.model(images)
        loss: Tensor = F.cross_entropy(logits, masks) + self.dice(logits, masks)
        self.accuracy(logits, masks)
        self.log("train/loss", loss)
        self.log("train/accuracy", self.accuracy)
        return loss


class UsualPairs(Dataset[tuple[Tensor, Tensor]]):
    """Images and masks opened and augmented by PIL and torchvision, one by one."""

    def __init__(self, folder: Path, split: ArraySplit, mean: Sequence[float], std: Sequence[float]) -> None:
        self.folder, self.size = folder, len(split)
        for place, (image, mask) in enumerate(zip(split.images, split.targets, strict=True)):
            Image.fromarray(image[0].numpy()).save(folder / f"image_{place}.png")
            Image.fromarray(mask.numpy()).save(folder / f"mask_{place}.png")
        # the recipe's: the same for image and mask, then light and contrast of the image alone
        self.moved = v2.RandomAffine(
            10, translate=(0.05, 0.05), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR
        )
        self.seen = v2.Compose(
            [
                v2.ColorJitter(brightness=0.2, contrast=0.2),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(mean), list(std)),
            ]
        )

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.folder / f"image_{place}.png")
        mask = tv_tensors.Mask(v2.functional.pil_to_tensor(Image.open(self.folder / f"mask_{place}.png")))
        image, mask = self.moved(image, mask)
        return self.seen(image), mask[0].long()


def lightning_defaults(config: DictConfig, turn: Turn) -> float:
    """Train with Trainer and DataLoader as they come, logging to CSV, with the same augmentations on PIL images."""
    experiment = build(config)
    data, facts = experiment.data, experiment.data.facts
    network = build_model(config.model, facts)
    module: UsualModule
    dataset: Any
    torch.use_deterministic_algorithms(False)  # a Trainer leaves it as the last run had it
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(Screen()),
        contextlib.redirect_stderr(Screen()),
        driver_check("1"),
        stopwatch(turn) as seconds,
    ):
        if facts.target == "mask":
            split = data.source.load("train")
            assert isinstance(split, ArraySplit)
            dataset = UsualPairs(Path(folder), split, facts.mean, facts.std)
            module = UsualSegmenter(network, facts.num_classes, config.optimizer.lr)
        else:
            dataset = _usual_cifar10(config.paths.data_dir, facts.mean, facts.std)
            module = UsualModule(network, facts.num_classes, config.optimizer.lr)
        trainer = pl.Trainer(
            max_epochs=2, limit_train_batches=turn.steps, logger=CSVLogger(folder), default_root_dir=folder
        )
        trainer.fit(module, DataLoader(dataset, config.data.batch_size, shuffle=True))
    return seconds()


def _usual_cifar10(root: str, mean: Sequence[float], std: Sequence[float]) -> datasets.CIFAR10:
    """CIFAR-10 with the same flip and rotation (to 15 degrees), by torchvision on PIL images."""
    augmentations = [transforms.RandomHorizontalFlip(), transforms.RandomRotation(15)]
    normalised = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    return datasets.CIFAR10(root, transform=transforms.Compose(augmentations + normalised))
