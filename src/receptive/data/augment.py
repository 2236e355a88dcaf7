"""Augmentations of whole batches in which each image has draws of its own.

An augmentation is a function of images and of uniform draws: it holds no random state. Images are float
(B, C, H, W) in [0, 1] and stay there, draws (B, draws) in [0, 1). Geometric ones move masks (B, H, W) of
integer labels along with nearest sampling; what comes into view from outside has label 0, but where
PadCrop reflects the image: there its labels are reflected too. Each runs on the device of its images,
without a loop over them. Its oracle is the function of torchvision.transforms.v2.functional that its
docstring names.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from receptive.data.randomness import generator
from receptive.data.warp import Interpolation, warp

Probability = Annotated[float, Ge(0), Le(1)]
Intensity = Annotated[float, Ge(0), Le(1)]
Degrees = Annotated[float, Ge(0), Le(180)]


def draw_table(seed: int, epoch: int, n: int, k: int) -> Tensor:
    """The (n, k) float32 uniform draws in [0, 1) of one epoch: k for each of n images."""
    return torch.rand(n, k, generator=generator("augmentation", seed, epoch))


class Augmentation(abc.ABC):
    """A random change of images; its subclasses are frozen dataclasses."""

    @property
    @abc.abstractmethod
    def draws(self) -> int:
        """The number of uniform draws that an image needs."""

    @abc.abstractmethod
    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Change each image by its draws.

        Args:
            images: (B, C, H, W) float in [0, 1]; they and the masks may be overwritten.
            draws: (B, self.draws) in [0, 1).
            masks: (B, H, W) integer labels.

        Returns:
            images and masks of the same shapes and types.
        """


@dataclass(frozen=True)
class Rotation(Augmentation):
    """Rotates about the centre by a uniform angle in [-degrees, degrees]; `rotate`, counter-clockwise.

    Args:
        degrees: largest angle.
        fill: intensity in [0, 1] around the image. Bilinear sampling blends it in once at the border
            (torchvision's does so twice when it is given a fill).
        interpolation: bilinear, or nearest.
    """

    degrees: Degrees
    fill: Intensity = 0.0
    interpolation: Interpolation = "bilinear"

    @property
    def draws(self) -> int:
        """1: the angle."""
        return 1

    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Rotate the images and their masks."""
        angle = torch.deg2rad(_symmetric(draws[:, 0], self.degrees))
        cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        return warp(images, masks, (cos, -sin, none), (sin, cos, none), self.interpolation, self.fill)


@dataclass(frozen=True)
class Affine(Augmentation):
    """Rotates, shears along x, scales and shifts, each uniformly, about the centre; `affine`, clockwise.

    Args:
        degrees: largest angle, both ways.
        translate: largest shift as a fraction of width and height, both ways; not rounded to whole pixels.
        scale: smallest and largest scale; None: no scaling.
        shear: largest angle of the shear along x in degrees, both ways.
        fill: as in Rotation.
        interpolation: as in Rotation.

    Raises:
        ValueError: the smallest scale is above the largest.
    """

    degrees: Degrees
    translate: Annotated[float, Ge(0), Le(1)]
    scale: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] | None = None
    shear: Annotated[float, Ge(0), Lt(90)] = 0.0
    fill: Intensity = 0.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.scale is not None and self.scale[0] > self.scale[1]:
            raise ValueError(f"scale={self.scale}: give the smallest first, then the largest")

    @property
    def draws(self) -> int:
        """5: angle, shift along x and y, scale, shear."""
        return 5

    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Transform the images and their masks."""
        height, width = images.shape[-2:]
        angle = torch.deg2rad(_symmetric(draws[:, 0], self.degrees))
        shift_x = _symmetric(draws[:, 1], self.translate * width)
        shift_y = _symmetric(draws[:, 2], self.translate * height)
        low, high = self.scale or (1.0, 1.0)
        scale = low + draws[:, 3] * (high - low)
        shear = torch.deg2rad(_symmetric(draws[:, 4], self.shear)).tan()
        # the inverse of scale * rotation * shear, which takes an output pixel to where it comes from
        cos, sin = angle.cos() / scale, angle.sin() / scale
        xx, xy = cos - sin * shear, sin + cos * shear
        yx, yy = -sin, cos
        row_x = xx, xy, -(xx * shift_x + xy * shift_y)
        row_y = yx, yy, -(yx * shift_x + yy * shift_y)
        return warp(images, masks, row_x, row_y, self.interpolation, self.fill)


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Mirrors left and right; `horizontal_flip`.

    Args:
        p: probability.
    """

    p: Probability = 0.5

    @property
    def draws(self) -> int:
        """1: whether."""
        return 1

    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Mirror some of the images, and their masks."""
        chosen = draws[:, 0] < self.p
        images[chosen] = images[chosen].flip(-1)
        if masks is not None:
            masks[chosen] = masks[chosen].flip(-1)
        return images, masks


@dataclass(frozen=True)
class PadCrop(Augmentation):
    """Pads all sides and crops the old size at a uniform place; `pad` and `crop`.

    Args:
        padding: pixels a side; with padding_mode reflect fewer than the image has.
        fill: intensity in [0, 1] of constant padding.
        padding_mode: constant, or reflect, masks like images.
    """

    padding: Annotated[int, Ge(1)]
    fill: Intensity = 0.0
    padding_mode: Literal["constant", "reflect"] = "constant"

    @property
    def draws(self) -> int:
        """2: the place along y and x."""
        return 2

    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Shift the images and their masks."""
        places = (draws * (2 * self.padding + 1)).long()
        images = self._crop(images, places, self.fill)
        if masks is not None:
            masks = self._crop(masks.unsqueeze(1), places, 0).squeeze(1)
        return images, masks

    def _crop(self, images: Tensor, places: Tensor, fill: float) -> Tensor:
        pad = self.padding
        height, width = images.shape[-2:]
        # every crop that there is, as a view: (B, C, 2 pad + 1, 2 pad + 1, H, W)
        windows = _pad(images, pad, self.padding_mode, fill).unfold(2, height, 1).unfold(3, width, 1)
        image = torch.arange(len(images), device=images.device)
        return windows[image, :, places[:, 0], places[:, 1]]


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Erases a square around a uniform pixel, cut off at the edge (arXiv:1708.04552); `erase`. Masks stay.

    Args:
        size: side of the square in pixels.
        p: probability.
        fill: intensity in [0, 1] of the square.
    """

    size: Annotated[int, Ge(1)]
    p: Probability = 1.0
    fill: Intensity = 0.0

    @property
    def draws(self) -> int:
        """3: whether, and the pixel's y and x."""
        return 3

    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Erase a square of some of the images."""
        height, width = images.shape[-2:]
        rows = self._covered(draws[:, 1], height) & (draws[:, :1] < self.p)
        columns = self._covered(draws[:, 2], width)
        return images.masked_fill_(rows[:, None, :, None] & columns[:, None, None, :], self.fill), masks

    def _covered(self, draws: Tensor, side: int) -> Tensor:
        first = (draws * side).long().unsqueeze(1) - self.size // 2
        pixels = torch.arange(side, device=draws.device)
        return (pixels >= first) & (pixels < first + self.size)


@dataclass(frozen=True)
class BrightnessContrast(Augmentation):
    """Scales intensities, then their distance to the mean grey; `adjust_brightness`, `adjust_contrast`.

    Args:
        brightness: the factor is uniform in [1 - brightness, 1 + brightness].
        contrast: the factor is uniform in [1 - contrast, 1 + contrast].
    """

    brightness: Annotated[float, Ge(0), Le(1)]
    contrast: Annotated[float, Ge(0), Le(1)]

    @property
    def draws(self) -> int:
        """2: brightness and contrast."""
        return 2

    def __call__(self, images: Tensor, draws: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Change the images' intensities."""
        brightness, contrast = (
            1 + _symmetric(draws[:, column], limit).view(-1, 1, 1, 1)
            for column, limit in enumerate((self.brightness, self.contrast))
        )
        images = images.mul_(brightness).clamp_(0, 1)
        grey = _mean_grey(images)
        return images.sub_(grey).mul_(contrast).add_(grey).clamp_(0, 1), masks


def _symmetric(draws: Tensor, limit: float) -> Tensor:
    """Map uniform draws in [0, 1) to [-limit, limit)."""
    return draws * (2 * limit) - limit


def _pad(images: Tensor, padding: int, mode: str, fill: float) -> Tensor:
    sides = [padding] * 4
    if mode == "constant":
        return F.pad(images, sides, value=fill)
    return F.pad(images.float(), sides, mode).to(images.dtype)  # integers have no reflecting kernel


def _mean_grey(images: Tensor) -> Tensor:
    """The mean grey (B, 1, 1, 1): luma of three channels (ITU-R BT.601), else the channels' mean."""
    means = images.mean(dim=(2, 3), keepdim=True)
    if images.shape[1] != 3:
        return means.mean(dim=1, keepdim=True)
    weights = torch.tensor([0.2989, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    return (means * weights).sum(dim=1, keepdim=True)
