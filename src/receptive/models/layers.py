"""The blocks that every net of ours is laid from, with their choices by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

Count = Annotated[int, Ge(1)]  # of channels, classes, pixels or layers
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]
Norm = Literal["none", "batch", "instance", "group"]
NormPosition = Literal["before", "after"]

Name = TypeVar("Name", bound=str)
Choice = TypeVar("Choice")


_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def chosen(option: str, name: Name, choices: Mapping[Name, Choice]) -> Choice:
    """What an option's name stands for; ValueError for a name that is no choice tells those that are."""
    if name not in choices:
        *others, last = choices
        raise ValueError(f"{option}={name!r}: choose {', '.join(others)} or {last}")
    return choices[name]


class GlobalMaxPool(nn.AdaptiveMaxPool2d):
    """The maximum of each feature map: (B, C, H, W) to (B, C, 1, 1); of equal values the first has the gradient."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, maps: Tensor) -> Tensor:
        """Pool the maps."""
        if maps.is_cuda:  # the adaptive form has no deterministic backward pass there; one window over all has
            return one_window(maps)
        pooled: Tensor = super().forward(maps)
        return pooled


def one_window(maps: Tensor) -> Tensor:
    """The maximum of each feature map as that of a window which covers it."""
    return F.max_pool2d(maps, maps.shape[2:])


def activation_layer(name: Activation) -> nn.Module:
    """A new elementwise activation; never in place, so that hooks see what the layer before gave.

    Raises:
        ValueError: the name is unknown.
    """
    layer: nn.Module = chosen("activation", name, _ACTIVATIONS)()
    return layer


def norm_layers(name: Norm, channels: int) -> list[nn.Module]:
    """A normalisation of `channels` feature maps as a list of one layer, or of none for "none".

    "batch" is BatchNorm2d (Ioffe and Szegedy 2015); "instance" is InstanceNorm2d (Ulyanov et al. 2016), which needs
    more than one pixel a map in training; "group" is GroupNorm (Wu and He 2018) with the largest of 8, 4, 2 and 1
    groups that divides the channels. All are affine and add two parameters a channel.

    Raises:
        ValueError: the name is unknown.
    """
    return chosen("norm", name, _NORMS)(channels)


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(next(groups for groups in (8, 4, 2, 1) if channels % groups == 0), channels)


_NORMS: dict[Norm, Callable[[int], list[nn.Module]]] = {
    "none": lambda channels: [],
    "batch": lambda channels: [nn.BatchNorm2d(channels)],
    "instance": lambda channels: [nn.InstanceNorm2d(channels, affine=True)],
    "group": lambda channels: [_group_norm(channels)],
}


def conv_block(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    padding: int,
    activation: Activation,
    norm: Norm,
    norm_position: NormPosition = "before",
) -> list[nn.Module]:
    """Convolution and activation, the normalisation before or after the activation.

    Maps (B, in_channels, H, W) to (B, out_channels, H', W') with H' = H - kernel_size + 1 + 2 * padding. The
    convolution keeps its bias beside a normalisation: the reports' parameter counts include it.

    Raises:
        ValueError: a name is unknown.
    """
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding)
    normalisation = norm_layers(norm, out_channels)
    nonlinearity = activation_layer(activation)
    orders: dict[NormPosition, list[nn.Module]] = {
        "before": [convolution, *normalisation, nonlinearity],
        "after": [convolution, nonlinearity, *normalisation],
    }
    return chosen("norm_position", norm_position, orders)
