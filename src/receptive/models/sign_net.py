"""The net of report R4 for GTSRB traffic signs at 28x28 RGB, 43 classes.

87,403 parameters (R4.1); 87,659 with batch normalisation between each convolution and its ReLU (R4.2). R4.6
tabulates the output shape of every layer. The report's printed code puts a ReLU on the logits, so that a
negative logit has no gradient: the fault is an option of its own here, to be measured (R4.5).
"""

from __future__ import annotations

from torch import Tensor, nn

from receptive.models.layers import Activation, Count, Norm, conv_block


class SignNet(nn.Module):
    """Convolutions 5x5, 5x5 and 3x3, 2x2 max pooling after the second and third, and a linear classifier.

    The convolutions have no padding, so each takes 4, 4 and 2 pixels off the image's sides.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: (height, width) of the images in pixels, at least 16 each.
        channels: output channels of the three convolutions.
        activation: follows each convolution.
        norm: normalisation between a convolution and its activation.
        logits_relu: the report's fault, a ReLU on the logits.

    Raises:
        ValueError: an option is unknown, or the images are too small.
    """

    def __init__(
        self,
        *,
        in_channels: Count,
        num_classes: Count,
        image_size: tuple[Count, Count],
        channels: tuple[Count, Count, Count] = (64, 32, 32),
        activation: Activation = "relu",
        norm: Norm = "none",
        logits_relu: bool = False,
    ) -> None:
        super().__init__()
        first, second, third = channels
        height, width = (_output_side(side) for side in image_size)
        layers = [
            *conv_block(in_channels, first, 5, padding=0, activation=activation, norm=norm),
            *conv_block(first, second, 5, padding=0, activation=activation, norm=norm),
            nn.MaxPool2d(2),
            *conv_block(second, third, 3, padding=0, activation=activation, norm=norm),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(third * height * width, num_classes),
        ]
        if logits_relu:
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, *image_size) to logits (B, num_classes)."""
        logits: Tensor = self.layers(images)
        return logits


def _output_side(side: int) -> int:
    """How many pixels of an image's side reach the classifier."""
    after_first_pooling = (side - 4 - 4) // 2
    pixels = (after_first_pooling - 2) // 2
    if pixels < 1:
        raise ValueError(f"images with a side of {side} pixels are too small: choose at least 16")
    return pixels
