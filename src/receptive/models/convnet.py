"""Nets A and B of report R0: a plain convnet for CIFAR-10, and the same with batch normalisation.

A is the defaults of `ConvNet`: 22 modules, 294,810 parameters. B is A with norm="batch", after each ReLU as
the report has it: 30 modules, 295,770 parameters. R2.12 tabulates the output shape of every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from receptive.models.layers import Activation, Count, Norm, NormPosition, chosen, conv_block

Pooling = Literal["max", "avg"]

_POOLINGS: dict[Pooling, type[nn.MaxPool2d | nn.AvgPool2d]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


class ConvNet(nn.Module):
    """Stages of convolutions with 2x2 pooling between them, global average pooling and a linear classifier.

    One flat `layers`, so that a layer table reads like the report's. The convolutions keep the image's size,
    each pooling halves it (rounding down): images need at least 2 ** (stages - 1) pixels a side.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        stage_channels: output channels of each stage's convolutions.
        convs_per_stage: convolutions in a stage, each with its activation.
        kernel_size: side of the filters; odd, so that padding keeps the image's size.
        activation: follows each convolution.
        norm: normalisation beside each activation.
        norm_position: of the normalisation, seen from the activation.
        pooling: between the stages; none after the last.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(
        self,
        *,
        in_channels: Count,
        num_classes: Count,
        stage_channels: Sequence[Count] = (16, 32, 64, 128),
        convs_per_stage: Count = 2,
        kernel_size: Literal[1, 3, 5, 7] = 3,
        activation: Activation = "relu",
        norm: Norm = "none",
        norm_position: NormPosition = "after",
        pooling: Pooling = "max",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage, out_channels in enumerate(stage_channels):
            if stage > 0:
                layers.append(chosen("pooling", pooling, _POOLINGS)(2))
            for _ in range(convs_per_stage):
                layers += conv_block(
                    channels,
                    out_channels,
                    kernel_size,
                    padding=kernel_size // 2,
                    activation=activation,
                    norm=norm,
                    norm_position=norm_position,
                )
                channels = out_channels
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes)."""
        logits: Tensor = self.layers(images)
        return logits
