"""A trained network with all that it takes to use it: what `receptive.load` gives, and what `predict` works with."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge
from hydra.errors import HydraException
from numpy.typing import NDArray
from omegaconf.errors import OmegaConfBaseException
from PIL import Image
from torch import Tensor, nn

from receptive.build import Checkpoint, Experiment, config_here, load_weights, rebuild
from receptive.data.images import Mode, read_image
from receptive.data.sizes import Stack
from receptive.data.source import Facts
from receptive.errors import InputError
from receptive.inference import Predictor
from receptive.metrics import metric_text
from receptive.runs import Run, shown
from receptive.signatures import option_faults
from receptive.trainer import Device, Precision

Picture = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
Named = tuple[str, Image.Image]

MOST_NAMES = 10  # class names that a repr tells
NO_IMAGE = "{} is no image: give a file, a Pillow image, an array or a tensor"


@dataclass(frozen=True)
class Prediction:
    """What a trained network makes of one image.

    Args:
        name: of the file, or the image's place.
        shares: class name -> its probability; of a mask: the part of the pixels that it takes.
        mask: of a segmentation the class of each pixel, (H, W) uint8, in the image's own size.
    """

    name: str
    shares: dict[str, float]
    mask: NDArray[np.uint8] | None = dataclasses.field(default=None, compare=False)

    @property
    def best(self) -> str:
        """The class with the largest share."""
        return max(self.shares, key=lambda name: self.shares[name])

    def __repr__(self) -> str:
        """Name, best class and its share."""
        size = "" if self.mask is None else ", mask {}x{}".format(*self.mask.shape)
        return f"Prediction({self.name}: {self.best} {100 * self.shares[self.best]:.1f} %{size})"


class TrainedModel:
    """A trained run in one's own code; `receptive.load` makes it.

        model.predict(images)                    # classes with probabilities, or masks
        model.network(model.transform(images))   # logits, as the network gives them
        model.class_names

    Images are files, Pillow images, arrays (H, W) or (H, W, C), or tensors (H, W) or (C, H, W); values uint8 or floats
    in [0, 1]. One, several in a list, or a batch: an array (B, H, W, C) or a tensor (B, C, H, W). Each is brought into
    the form of the run's data set: colours or grey, resized.

    Args:
        run: the folder.
        experiment: its objects with trained weights.
        checkpoint: where these are from.
        epoch: the same, counted from 1.
        batch_size: images that the network gets at once.
    """

    def __init__(self, run: Run, experiment: Experiment, checkpoint: str, epoch: int, batch_size: int) -> None:
        self.run = run
        self.experiment = experiment
        self.checkpoint = checkpoint
        self.epoch = epoch
        self.batch_size = batch_size
        self._predictor = Predictor(experiment.task, experiment.trainer, batch_size)
        self.network: nn.Module = experiment.task.model

    @property
    def facts(self) -> Facts:
        """What is known of the data set: channels, sizes, classes, mean and deviation, label or mask."""
        return self.experiment.data.facts

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the logits."""
        return self.facts.class_names

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self._predictor.device

    def transform(self, images: Picture | Sequence[Picture]) -> Stack:
        """Images as the network takes them: normalised float32 (B, C, H, W), on its device.

        Of data with several sizes, where the images get different ones, a tuple of B tensors (C, H, W).

        Raises:
            InputError: there is none, or one cannot be read or taken for an image.
        """
        found = self.experiment.data.inputs([image for _, image in self._pictures(images)])
        if isinstance(found, Tensor):
            return found.to(self.device)
        return tuple(image.to(self.device) for image in found)

    def predict(self, images: Picture | Sequence[Picture]) -> list[Prediction]:
        """A prediction for each image, in their order; of one image a list of one.

        Raises:
            InputError: there is none, or one cannot be read or taken for an image.
        """
        given = listed(images)
        found: list[Prediction] = []
        for start in range(0, len(given), self.batch_size):
            found += self.predict_named(self._pictures(given[start : start + self.batch_size], start))
        return found

    def predict_named(self, images: Sequence[Named]) -> list[Prediction]:
        """The same of images with their names, which are held in memory together."""
        names = self.class_names
        probabilities = self._predictor(self.experiment.data.inputs([image for _, image in images]))
        if self.facts.target == "label":
            return [
                Prediction(name, dict(zip(names, shares, strict=True)))
                for (name, _), shares in zip(images, probabilities.tolist(), strict=True)
            ]
        found = []
        for (name, image), scores in zip(images, probabilities, strict=True):
            mask = _classes_in_size(scores, image.size)
            counts = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
            found.append(Prediction(name, dict(zip(names, counts.tolist(), strict=True)), mask))
        return found

    def _pictures(self, images: Picture | Sequence[Picture], start: int = 0) -> list[Named]:
        mode = self.facts.mode
        return [
            (str(image) if isinstance(image, str | os.PathLike) else f"image {place}", picture(image, mode))
            for place, image in enumerate(listed(images), start)
        ]

    def __repr__(self) -> str:
        """Run, network, input, output, figures and precision, a line each."""
        facts, names = self.facts, self.class_names
        weights = sum(weight.numel() for weight in self.network.parameters())
        lines = {
            "run": f"{shown(self.run.folder)} ({self.run.state()})",
            "network": f"{type(self.network).__name__}, {weights:,} parameters, {self.checkpoint} checkpoint, "
            f"epoch {self.epoch}",
            "input": f"{facts.shapes} {'grey' if facts.mode == 'L' else 'RGB'}",
            "output": f"{len(names)} classes{' a pixel' if facts.target == 'mask' else ''}: "
            f"{', '.join(names[:MOST_NAMES])}{', ...' if len(names) > MOST_NAMES else ''}",
            "figures": ", ".join(self._figures()) or "none yet",
            "computes": f"{self.experiment.trainer.actual_precision()} on {self.device}",
        }
        return "\n".join(["TrainedModel", *(f"  {name:<9}{text}" for name, text in lines.items())])

    def _figures(self) -> list[str]:
        """The metric that chose the checkpoint, and the same of the test."""
        result = self.run.result()
        metrics, monitor = result.get("metrics", {}), result.get("monitor") or ""
        wanted = (monitor, f"test/{monitor.partition('/')[2]}")
        return [f"{name} {metric_text(name, metrics[name])}" for name in wanted if name in metrics]


def load_run(
    run: Run,
    *,
    checkpoint: Checkpoint = "best",
    device: Device | None = None,
    precision: Precision | None = None,
    batch_size: Annotated[int, Ge(1)] | None = None,
    data_dir: str | None = None,
) -> TrainedModel:
    """The trained model of a run's folder: see `receptive.load`.

    Args:
        run: the folder.
        checkpoint: as there.
        device: as there.
        precision: as there.
        batch_size: as there.
        data_dir: where the data lie now; None: where they lay when the run was trained.
    """
    given = {"checkpoint": checkpoint, "device": device, "precision": precision, "batch_size": batch_size}
    if faults := option_faults(load_run, given):
        raise InputError("\n".join(faults))
    try:
        config = config_here(run, data_dir, device, precision)
        with torch.random.fork_rng(devices=[]):  # the fresh weights, which the checkpoint's replace, draw from it
            experiment = rebuild(config, run.result())
    except (HydraException, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{run.config_path}: the run's objects cannot be made of it ({reason})") from None
    epoch = load_weights(experiment.task, run, checkpoint)
    return TrainedModel(run, experiment, checkpoint, epoch, batch_size or experiment.data.eval_batch_size)


def listed(images: Picture | Sequence[Picture]) -> list[Picture]:
    """The images one by one.

    Raises:
        InputError: there is none, or they are neither an image nor several.
    """
    if isinstance(images, np.ndarray | Tensor):
        found = list(images) if images.ndim == 4 else [images]
    else:
        try:
            found = [images] if isinstance(images, str | os.PathLike | Image.Image) else list(images)
        except TypeError:
            raise InputError(NO_IMAGE.format(type(images).__name__)) from None
    if not found:
        raise InputError("give one image at least")
    return found


def picture(image: Picture, mode: Mode) -> Image.Image:
    """An image in one of the forms that `TrainedModel` takes, as Pillow has it, in its own size.

    Raises:
        InputError: it cannot be read, or is none.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image).expanduser(), mode)
    if isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):
            raise InputError(f"a Pillow image of mode {image.mode}: has more than 8 bits a channel, convert it to 8")
        # the same colours; without this step Pillow warns when it converts them
        return image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
    if isinstance(image, Tensor):
        values = image.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
        pixels = (values.movedim(0, -1) if values.ndim == 3 else values).numpy()
        form = "a tensor (H, W) or (C, H, W)"
    elif isinstance(image, np.ndarray):
        pixels, form = image, "an array (H, W) or (H, W, C)"
    else:
        raise InputError(NO_IMAGE.format(type(image).__name__))
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)) or 0 in pixels.shape:
        raise InputError(f"an image of shape {tuple(image.shape)}: give {form} with C 1, 3 or 4")
    return Image.fromarray(_bytes(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind != "f":
        raise InputError(f"an image of {pixels.dtype}: give uint8, or floats in [0, 1]")
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN is neither
        raise InputError(
            f"an image with values from {pixels.min():g} to {pixels.max():g}: give uint8, or floats in [0, 1]"
        )
    return np.ascontiguousarray((pixels * 255).round().astype(np.uint8))


def _classes_in_size(probabilities: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """From (C, h, w) to the most probable class of each pixel of an image of (width, height) pixels."""
    resized = F.interpolate(probabilities.unsqueeze(0), (size[1], size[0]), mode="bilinear", align_corners=False)
    classes: NDArray[np.uint8] = resized.squeeze(0).argmax(dim=0).to(torch.uint8).numpy()
    return classes
