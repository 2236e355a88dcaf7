"""U-Net for segmentation: O. Ronneberger, P. Fischer, T. Brox, MICCAI 2015 (arXiv:1505.04597); report R4.7 to R4.11.

As it is built today: convolutions keep the image's size, normalisation before each activation. Report R4 gives neither
channels nor depth; 16 channels and four halvings are our reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from receptive.models.layers import Activation, Count, Norm, chosen, conv_block
from receptive.models.padding import padded_to_multiple

Upsampling = Literal["nearest", "bilinear", "transposed"]


def _double_convolution(in_channels: int, out_channels: int, activation: Activation, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += conv_block(channels, out_channels, 3, padding=1, activation=activation, norm=norm)
    return nn.Sequential(*layers)


def _upsampling_layer(name: Upsampling, channels: int) -> nn.Module:
    """What doubles the sides of (B, channels, H, W)."""
    layers: dict[Upsampling, Callable[[], nn.Module]] = {
        "nearest": lambda: nn.Upsample(scale_factor=2, mode="nearest"),
        "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        "transposed": lambda: nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2),
    }
    return chosen("upsampling", name, layers)()


class UNet(nn.Module):
    """An encoder that halves the image `depth` times, a decoder that doubles it back, and skips between them.

    Level i has base_channels * 2 ** i channels and two 3x3 convolutions on either side. Images of any size: a side that
    2 ** depth does not divide is padded and the logits are cropped.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits a pixel, background included.
        base_channels: of the first level.
        depth: halvings.
        upsampling: nearest and bilinear interpolate (R4.8, R4.7); transposed is a 2x2 convolution with stride 2 that
            keeps the channels.
        activation: follows each convolution.
        norm: normalisation before each activation.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(
        self,
        *,
        in_channels: Count,
        num_classes: Count,
        base_channels: Count = 16,
        depth: Annotated[int, Ge(1), Le(8)] = 4,
        upsampling: Upsampling = "bilinear",
        activation: Activation = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        channels = [base_channels * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _double_convolution(before, after, activation, norm)
            for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.upsampling = nn.ModuleList(_upsampling_layer(upsampling, below) for below in channels[:0:-1])
        self.decoder = nn.ModuleList(
            _double_convolution(below + beside, beside, activation, norm)
            for below, beside in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(base_channels, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes, H, W)."""
        return padded_to_multiple(self._logits, images, 2 ** len(self.decoder))

    def _logits(self, images: Tensor) -> Tensor:
        maps = self.encoder[0](images)
        skips = []
        for level in self.encoder[1:]:
            skips.append(maps)
            maps = level(F.max_pool2d(maps, 2))
        for double, level in zip(self.upsampling, self.decoder, strict=True):
            maps = level(torch.cat([double(maps), skips.pop()], dim=1))
        logits: Tensor = self.head(maps)
        return logits
