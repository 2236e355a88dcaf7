import re
from typing import Any, get_args

import pytest
import torch
from torch import nn

from receptive.models.layers import (
    Activation,
    GlobalMaxPool,
    Norm,
    NormPosition,
    activation_layer,
    conv_block,
    norm_layers,
    one_window,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU), ("elu", nn.ELU), ("gelu", nn.GELU), ("silu", nn.SiLU)],
)
def test_activation_is_the_named_one_and_leaves_its_input(name: Activation, kind: type[nn.Module]):
    inputs = torch.linspace(-2, 2, 9)
    kept = inputs.clone()
    layer = activation_layer(name)
    assert type(layer) is kind
    assert not torch.equal(layer(inputs), kept)
    assert torch.equal(inputs, kept)


def test_every_activation_and_norm_can_be_built():
    for activation in get_args(Activation):
        activation_layer(activation)
    assert [len(norm_layers(norm, 4)) for norm in get_args(Norm)] == [0, 1, 1, 1]


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (24, 8), (12, 4), (6, 2), (81, 1), (1, 1)])
def test_group_norm_takes_the_most_groups_that_divide_the_channels(channels: int, groups: int):
    (layer,) = norm_layers("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert (layer.num_groups, layer.num_channels) == (groups, channels)


def test_group_norm_normalises_each_image_by_groups_of_channels():
    images = torch.randn(3, 12, 5, 5) * 7 + 2
    (layer,) = norm_layers("group", 12)
    groups = layer(images).reshape(3, 4, 3 * 5 * 5)
    torch.testing.assert_close(groups.mean(2), torch.zeros(3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.std(2, correction=0), torch.ones(3, 4), atol=1e-4, rtol=0)


def test_instance_norm_normalises_each_map_of_each_image_and_is_affine():
    images = torch.randn(3, 4, 5, 6) * 7 + 2
    (layer,) = norm_layers("instance", 4)
    torch.testing.assert_close(layer(images).mean((2, 3)), torch.zeros(3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer(images).std((2, 3), correction=0), torch.ones(3, 4), atol=1e-4, rtol=0)
    assert [parameter.shape for parameter in layer.parameters()] == [(4,), (4,)]
    torch.testing.assert_close(layer.eval()(images), layer.train()(images))  # no statistics of the training set


@pytest.mark.parametrize(
    ("norm_position", "kinds"),
    [("before", [nn.Conv2d, nn.BatchNorm2d, nn.ELU]), ("after", [nn.Conv2d, nn.ELU, nn.BatchNorm2d])],
)
def test_norm_stands_before_or_after_the_activation(norm_position: NormPosition, kinds: list[type[nn.Module]]):
    block = conv_block(2, 3, 3, padding=1, activation="elu", norm="batch", norm_position=norm_position)
    assert [type(layer) for layer in block] == kinds


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ({"activation": "relo"}, "activation='relo': choose relu, leaky_relu, elu, gelu or silu"),
        ({"norm": "bacth"}, "norm='bacth': choose none, batch, instance or group"),
        ({"norm_position": "between"}, "norm_position='between': choose before or after"),
    ],
)
def test_unknown_name_is_refused_with_the_choices(option: dict[str, Any], remedy: str):
    options: dict[str, Any] = {"activation": "relu", "norm": "none", "norm_position": "before"} | option
    with pytest.raises(ValueError, match=re.escape(remedy)):
        conv_block(1, 2, 3, padding=1, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_global_maximum_is_on_gpus_what_it_is_here(dtype: torch.dtype, memory_format: torch.memory_format):
    """One window over each map, the form for CUDA, has the adaptive form's values and gradients, equal ones too."""
    maps = torch.randn(3, 5, 7, 6, generator=torch.Generator().manual_seed(0)).relu().round(decimals=1).to(dtype)
    maps[0, 0] = 0  # all are the largest
    found = []
    for pool in (GlobalMaxPool(), one_window):
        given = maps.clone(memory_format=memory_format).requires_grad_()
        pooled = pool(given)
        assert pooled.shape == (3, 5, 1, 1)
        pooled.backward(torch.arange(15, dtype=dtype).view_as(pooled) + 1)
        found.append((pooled, given.grad))
    (here, gradient), (there, other) = found
    assert torch.equal(here, there)
    assert torch.equal(gradient, other)
    assert torch.equal(here, maps.amax((2, 3), keepdim=True))
    assert (gradient[0, 0] != 0).sum() == 1
