"""The nets of report R3 for MNIST: one stack of convolutions under three heads.

- head="flatten", channels 16, 32, 64 (R3.2): linear 576 -> 10 at 28x28, 29,066 parameters.
- head="global_max" or "global_avg", channels 16, 32, 81 (R3.6): linear 81 -> 10, 29,029 parameters.

The report does not say whether its global pooling comes after the third 2x2 pooling or instead of it; here it
comes after, so that the heads are compared on the same stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from receptive.models.layers import Activation, Count, GlobalMaxPool, Norm, chosen, conv_block

Head = Literal["flatten", "global_max", "global_avg"]


class MnistNet(nn.Module):
    """3x3 convolutions with padding 1, each with activation and 2x2 max pooling, then a head to the logits.

    With a global head any image of at least 2 ** len(channels) pixels a side fits, and sizes may differ from
    batch to batch; "flatten" is tied to `image_size`. Torch's own RuntimeError refuses another channel count.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: (height, width) of the images in pixels; needed by head="flatten", else unused.
        channels: output channels of each convolution.
        activation: follows each convolution.
        norm: normalisation between a convolution and its activation.
        head: what the classifier sees of the last feature maps: all pixels, or each map's maximum or mean.

    Raises:
        ValueError: an option is unknown, or head="flatten" has no image size or a too small one.
    """

    def __init__(
        self,
        *,
        in_channels: Count,
        num_classes: Count,
        image_size: tuple[Count, Count] | None = None,
        channels: Sequence[Count] = (16, 32, 64),
        activation: Activation = "relu",
        norm: Norm = "none",
        head: Head = "flatten",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        map_channels = in_channels
        for out_channels in channels:
            layers += conv_block(map_channels, out_channels, 3, padding=1, activation=activation, norm=norm)
            layers.append(nn.MaxPool2d(2))
            map_channels = out_channels
        heads: dict[Head, list[nn.Module]] = {
            "flatten": [],
            "global_max": [GlobalMaxPool()],
            "global_avg": [nn.AdaptiveAvgPool2d(1)],
        }
        layers += chosen("head", head, heads)
        pixels = _pooled_area(image_size, poolings=len(channels)) if head == "flatten" else 1
        features = map_channels * pixels
        layers += [nn.Flatten(), nn.Linear(features, num_classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes)."""
        logits: Tensor = self.layers(images)
        return logits


def _pooled_area(image_size: tuple[int, int] | None, poolings: int) -> int:
    """The pixels left of an image after so many 2x2 poolings, each rounding down."""
    if image_size is None:
        raise ValueError('head="flatten" needs image_size; a global head takes any size')
    height, width = image_size
    area = (height >> poolings) * (width >> poolings)
    if area == 0:
        raise ValueError(
            f"images of {height}x{width} pixels are too small for {poolings} poolings: "
            f"choose at least {2**poolings}x{2**poolings} or fewer channels"
        )
    return area
