"""Whether an exported file gives what the run gives: both fed the same images, their logits compared."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from receptive.data.source import Facts, Source, load_cached
from receptive.errors import InputError
from receptive.export.formats import Opened, reason_of
from receptive.export.graph import Sizes
from receptive.reuse import TrainedModel

MOST_IMAGES = 8
SEED = 0  # of images that stand in for real ones


@dataclass(frozen=True)
class Parity:
    """How far an exported file is from the run.

    Args:
        difference: the largest of all logits.
        largest: the largest logit, taken absolutely.
        tolerance: largest difference that is let pass.
        images: where the images are from.
        count: of them.
        batches: the numbers of images that were given at once.
        sizes: the (height, width) at which they were given.
    """

    difference: float
    largest: float
    tolerance: float
    images: str
    count: int
    batches: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]

    def require(self) -> None:
        """Raise InputError where the difference is too large; one that is no number is."""
        if not self.difference <= self.tolerance:
            raise InputError(
                f"the exported file does not give what the run gives, and is not kept: logits up to {self.largest:.3g} "
                f"differ by {self.difference:.3g}, up to {self.tolerance:.3g} passes (tolerance=)"
            )


def compare(model: TrainedModel, opened: Opened, sizes: Sizes, tolerance: float) -> Parity:
    """Feed the same images to the run's network and to an exported file: one alone, then the others together.

    Images of the data set where it lies, else random ones; in every kind of size that the file takes.

    Args:
        model: in float32 on the CPU.
        opened: the exported file.
        sizes: that it takes.
        tolerance: of the largest absolute logit, or of 1 where that is less.

    Raises:
        InputError: the file cannot be run, or the network's logits are not finite.
    """
    images, source = _images(model)
    batches, tried = (1, len(images) - 1), _tried(sizes, model.facts)
    differences, largest = [], 0.0
    for size in tried:
        for pixels in _resized(images, size).split(batches):
            wanted = _of_the_run(model, pixels)
            given = _of_the_file(opened, pixels)
            if given.shape != wanted.shape:
                raise InputError(f"the exported file gives {tuple(given.shape)}, the run {tuple(wanted.shape)}")
            differences.append((given - wanted).abs().max())
            largest = max(largest, float(wanted.abs().max()))
    difference = float(torch.stack(differences).max())  # of torch: it hands on what is no number
    return Parity(difference, largest, tolerance * max(1.0, largest), source, len(images), batches, tried)


def _images(model: TrainedModel) -> tuple[Tensor, str]:
    """(N, C, H, W) uint8 of the largest size, and where they are from. Nothing is downloaded."""
    facts = model.facts
    try:
        split = load_cached(_at_hand(model.experiment.data.source), "test")
        pixels, _ = split.batch(list(range(min(MOST_IMAGES, len(split)))))
        if len(pixels) > 1:
            return torch.cat([_resized(image.unsqueeze(0), facts.image_size) for image in pixels]), "test images"
    except (InputError, OSError):  # the data lie elsewhere, or not at all
        pass
    draws = torch.Generator().manual_seed(SEED)
    shape = (MOST_IMAGES, facts.in_channels, *facts.image_size)
    return torch.randint(256, shape, generator=draws, dtype=torch.uint8), f"random images, seed {SEED}"


def _at_hand(source: Source) -> Source:
    """The same data set without downloading."""
    values = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}  # type: ignore[arg-type]
    own = {name: _at_hand(value) for name, value in values.items() if isinstance(value, Source)}
    return dataclasses.replace(source, **own, **({"download": False} if "download" in values else {}))  # type: ignore[type-var]


def _tried(sizes: Sizes, facts: Facts) -> tuple[tuple[int, int], ...]:
    """The trained sizes; where others are taken, also one that is larger and no square, and the smallest."""
    if sizes.multiple is None:
        return (sizes.trained,)
    height, width = (
        sizes.multiple * math.ceil(share * side / sizes.multiple)
        for share, side in zip((1.25, 1.5), sizes.trained, strict=True)
    )
    return tuple(dict.fromkeys((*facts.sizes, (height, width), (sizes.smallest, sizes.smallest))))


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True).round().to(torch.uint8)


def _of_the_run(model: TrainedModel, pixels: Tensor) -> Tensor:
    rows = torch.arange(len(pixels))
    inputs, _ = model.experiment.data.transform(len(pixels))(pixels, rows, rows, 0)
    with torch.inference_mode():
        logits: Tensor = model.experiment.task(inputs)
    if not logits.isfinite().all():
        raise InputError(f"{model.run.folder}: the network gives logits that are infinite or no numbers")
    return logits


def _of_the_file(opened: Opened, pixels: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            return opened(pixels.float() / 255)
    except Exception as error:  # every runtime raises its own
        shape = "x".join(map(str, pixels.shape))
        raise InputError(f"the exported file cannot be run on images {shape}: {reason_of(error)}") from None
