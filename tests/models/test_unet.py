"""The U-Net against the formula of its parameters and against a sketch of the paper's figure in plain functions."""

from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from receptive.models.layers import Activation, Norm
from receptive.models.unet import UNet, Upsampling

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}
NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "group": nn.GroupNorm}
SMALL: dict[str, Any] = {"in_channels": 1, "num_classes": 2, "base_channels": 4, "depth": 2}


def small(**options: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(**(SMALL | options))


def count(net: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in net.modules())


def expected_parameters(
    in_channels: int, num_classes: int, base: int, depth: int, transposed: bool, normalised: bool
) -> int:
    """Weights and biases by hand: two 3x3 convolutions a level and side, 2x2 ones upwards, a 1x1 head."""

    def double(before: int, after: int) -> int:
        return 9 * before * after + after + 9 * after * after + after + (4 * after if normalised else 0)

    channels = [base * 2**level for level in range(depth + 1)]
    total = double(in_channels, base) + base * num_classes + num_classes
    for above, below in pairwise(channels):
        total += double(above, below) + double(above + below, above)
        total += 4 * below * below + below if transposed else 0
    return total


@pytest.mark.parametrize("upsampling", get_args(Upsampling))
@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize(("in_channels", "num_classes", "base", "depth"), [(1, 2, 16, 4), (3, 5, 6, 1), (2, 1, 3, 3)])
def test_parameters_are_those_of_the_formula(
    in_channels: int, num_classes: int, base: int, depth: int, upsampling: Upsampling, norm: Norm
) -> None:
    with torch.device("meta"):
        net = UNet(
            in_channels=in_channels,
            num_classes=num_classes,
            base_channels=base,
            depth=depth,
            upsampling=upsampling,
            norm=norm,
        )
    counted = sum(parameter.numel() for parameter in net.parameters())
    assert counted == expected_parameters(
        in_channels, num_classes, base, depth, upsampling == "transposed", norm != "none"
    )


def test_the_default_net_has_the_parameters_that_its_file_tells() -> None:
    assert sum(parameter.numel() for parameter in UNet(in_channels=1, num_classes=2).parameters()) == 1_965_298


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("norm", get_args(Norm))
def test_every_convolution_has_the_activation_and_the_norm_that_were_asked_for(
    activation: Activation, norm: Norm
) -> None:
    net = small(activation=activation, norm=norm)
    convolutions = 2 * (2 * 2 + 1)  # two a level, two levels on both sides and the lowest
    assert count(net, nn.Conv2d) == convolutions + 1
    assert {name: count(net, kind) for name, kind in ACTIVATIONS.items()} == {
        name: convolutions * (name == activation) for name in ACTIVATIONS
    }
    assert {name: count(net, kind) for name, kind in NORMS.items()} == {
        name: convolutions * (name == norm) for name in NORMS
    }


@pytest.mark.parametrize("upsampling", get_args(Upsampling))
def test_what_doubles_the_maps_is_what_was_asked_for(upsampling: Upsampling) -> None:
    net = small(upsampling=upsampling)
    assert len(net.upsampling) == 2
    for layer, channels in zip(net.upsampling, (16, 8), strict=True):
        maps = torch.randn(2, channels, 3, 5)
        doubled = layer(maps)
        assert doubled.shape == (2, channels, 6, 10)
        if upsampling == "transposed":
            assert isinstance(layer, nn.ConvTranspose2d)
            # each pixel becomes a 2x2 patch of its own
            patches = torch.einsum("bchw,cdij->bdhiwj", maps, layer.weight).reshape(2, channels, 6, 10)
            torch.testing.assert_close(doubled, patches + layer.bias[:, None, None])  # type: ignore[index]
        elif upsampling == "nearest":
            assert torch.equal(doubled, maps.repeat_interleave(2, 2).repeat_interleave(2, 3))
        else:
            torch.testing.assert_close(doubled, F.interpolate(maps, size=(6, 10), mode="bilinear"))


def test_unknown_upsampling_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="upsampling='bilinaer': choose nearest, bilinear or transposed"):
        small(upsampling="bilinaer")


def paper(net: UNet, images: Tensor) -> Tensor:
    """The figure of the paper for two halvings, from the net's own layers: what is joined with what."""
    first = net.encoder[0](images)
    second = net.encoder[1](F.max_pool2d(first, 2))
    third = net.encoder[2](F.max_pool2d(second, 2))
    up = net.decoder[0](torch.cat([net.upsampling[0](third), second], dim=1))
    up = net.decoder[1](torch.cat([net.upsampling[1](up), first], dim=1))
    logits: Tensor = net.head(up)
    return logits


@pytest.mark.parametrize("upsampling", get_args(Upsampling))
def test_levels_are_joined_as_in_the_papers_figure(upsampling: Upsampling) -> None:
    net = small(upsampling=upsampling).eval()
    images = torch.randn(2, 1, 16, 24)
    torch.testing.assert_close(net(images), paper(net, images))


def test_every_level_takes_part() -> None:
    """Silencing what comes from below, or a skip, changes the logits."""
    net, images = small().eval(), torch.randn(1, 1, 16, 16)
    logits = net(images)
    for layer in (*net.encoder, *net.upsampling, *net.decoder):
        handle = layer.register_forward_hook(lambda _layer, _given, output: torch.zeros_like(output))
        assert not torch.allclose(net(images), logits)
        handle.remove()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 41), st.integers(1, 41), st.sampled_from(get_args(Upsampling)), st.integers(1, 4))
def test_images_of_any_size_keep_it(height: int, width: int, upsampling: Upsampling, depth: int) -> None:
    with torch.device("meta"):
        net = UNet(in_channels=2, num_classes=3, base_channels=2, depth=depth, upsampling=upsampling)
        logits = net(torch.randn(2, 2, height, width))
    assert logits.is_meta
    assert logits.shape == (2, 3, height, width)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 30)])
def test_an_odd_size_is_computed_as_padded_by_hand(size: tuple[int, int]) -> None:
    net = small().eval()
    images = torch.randn(2, 1, *size)
    below, right = (-side % 4 for side in size)
    padded = images
    for _ in range(below):
        padded = torch.cat([padded, padded[:, :, -1:]], dim=2)
    for _ in range(right):
        padded = torch.cat([padded, padded[..., -1:]], dim=3)
    torch.testing.assert_close(net(images), net(padded)[..., : size[0], : size[1]])


@pytest.mark.parametrize("upsampling", get_args(Upsampling))
@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_step_of_training_reaches_every_parameter(
    upsampling: Upsampling, norm: Norm, num_classes: int, step_of_training: Any
) -> None:
    net = small(upsampling=upsampling, norm=norm, num_classes=num_classes, activation="elu", in_channels=3)
    masks = torch.randint(num_classes, (4, 18, 23))
    # the bias before a normalisation of its channel is taken off again: only Adam's rounding moves it
    step_of_training(net, torch.randn(4, 3, 18, 23), num_classes, masks)


@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("upsampling", get_args(Upsampling))
def test_the_layout_in_memory_changes_no_logits(norm: Norm, upsampling: Upsampling) -> None:
    net, images = small(norm=norm, upsampling=upsampling, in_channels=3).eval(), torch.randn(2, 3, 17, 22)
    logits = net(images)
    other = net.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(other, logits)


@pytest.mark.parametrize("upsampling", get_args(Upsampling))
def test_bf16_is_close_to_float32(upsampling: Upsampling) -> None:
    net, images = small(upsampling=upsampling).eval(), torch.randn(2, 1, 17, 22)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), net(images), atol=0.05, rtol=0.05)


def test_instance_norm_at_one_pixel_says_what_it_needs_in_training() -> None:
    net = small(norm="instance")
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        net(torch.randn(2, 1, 4, 4))
    assert net(torch.randn(2, 1, 5, 4)).shape == (2, 2, 5, 4)
