import re
from typing import Any

import pytest
import torch
from torch import nn

from receptive.models.convnet import ConvNet


def net(**options: Any) -> ConvNet:
    return ConvNet(**{"in_channels": 3, "num_classes": 10, **options})


def net_a_by_hand() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding="same"), nn.ReLU(), nn.Conv2d(16, 16, 3, padding="same"), nn.ReLU()),
        nn.MaxPool2d(2),
        *(nn.Conv2d(16, 32, 3, padding="same"), nn.ReLU(), nn.Conv2d(32, 32, 3, padding="same"), nn.ReLU()),
        nn.MaxPool2d(2),
        *(nn.Conv2d(32, 64, 3, padding="same"), nn.ReLU(), nn.Conv2d(64, 64, 3, padding="same"), nn.ReLU()),
        nn.MaxPool2d(2),
        *(
            nn.Conv2d(64, 128, 3, padding="same"),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding="same"),
            nn.ReLU(),
        ),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
    )


def net_b_by_hand() -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in net_a_by_hand():
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            channels = layer.out_channels
        if isinstance(layer, nn.ReLU):
            layers.append(nn.BatchNorm2d(channels))
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("norm", "by_hand"), [("none", net_a_by_hand), ("batch", net_b_by_hand)])
def test_nets_a_and_b_equal_the_ones_laid_by_hand(norm: str, by_hand: Any):
    torch.manual_seed(0)
    ours = net(norm=norm)
    torch.manual_seed(0)
    oracle = by_hand()
    assert [type(layer) for layer in ours.layers] == [type(layer) for layer in oracle]
    mine, theirs = ours.layers.state_dict(), oracle.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(ours(images), oracle(images))


@pytest.mark.parametrize(
    ("norm", "modules", "parameters"), [("none", 22, 294_810), ("batch", 30, 295_770), ("group", 30, 295_770)]
)
def test_modules_and_parameters_are_the_reports(norm: str, modules: int, parameters: int):
    model = net(norm=norm)
    assert len(model.layers) == modules
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_output_shape_of_every_layer_of_a(layer_shapes):
    assert layer_shapes(net().layers, torch.randn(2, 3, 32, 32)) == [
        *[(16, 32, 32)] * 4,
        *[(16, 16, 16), *[(32, 16, 16)] * 4],
        *[(32, 8, 8), *[(64, 8, 8)] * 4],
        *[(64, 4, 4), *[(128, 4, 4)] * 4],
        *[(128, 1, 1), (128,), (10,)],
    ]


@pytest.mark.parametrize(
    ("norm", "activations", "total"), [("none", 0.99, 2.13), ("batch", 1.46, 2.60)], ids=["A", "B"]
)
def test_memory_is_the_reports(norm: str, activations: float, total: float, layer_shapes):
    """R2.12, in MiB of float32: every layer's output forward and backward; with parameters and one image."""
    images = torch.randn(1, 3, 32, 32)
    mib = 4 / 2**20
    outputs = sum(torch.Size(shape).numel() for shape in layer_shapes(net(norm=norm).layers, images))
    parameters = sum(parameter.numel() for parameter in net(norm=norm).parameters())
    assert 2 * outputs * mib == pytest.approx(activations, abs=0.005)
    assert (2 * outputs + parameters + images.numel()) * mib == pytest.approx(total, abs=0.005)


@pytest.mark.parametrize(
    "options",
    [
        {},
        *({"activation": activation} for activation in ("leaky_relu", "elu", "gelu", "silu")),
        *({"norm": norm, "norm_position": position} for norm in ("batch", "group") for position in ("before", "after")),
        {"pooling": "avg"},
        {"kernel_size": 5},
        {"stage_channels": [8], "convs_per_stage": 1},
        {"in_channels": 1, "num_classes": 3},
    ],
    ids=str,
)
def test_every_option_trains(options: dict[str, Any], step_of_training):
    torch.manual_seed(0)
    model = net(**{"stage_channels": [8, 12], **options})
    step_of_training(model, torch.randn(8, options.get("in_channels", 3), 8, 8), options.get("num_classes", 10))


@pytest.mark.parametrize(("position", "steps_back"), [("before", 1), ("after", 2)])
def test_norm_position(position: str, steps_back: int):
    layers = list(net(norm="batch", norm_position=position).layers)
    places = [place for place, layer in enumerate(layers) if isinstance(layer, nn.BatchNorm2d)]
    assert len(places) == 8
    assert all(isinstance(layers[place - steps_back], nn.Conv2d) for place in places)


def test_pooling_stands_between_the_stages():
    layers = net(stage_channels=[4, 5, 6], convs_per_stage=1, pooling="avg").layers
    assert [type(layer).__name__ for layer in layers] == [
        *["Conv2d", "ReLU", "AvgPool2d", "Conv2d", "ReLU", "AvgPool2d", "Conv2d", "ReLU"],
        *["AdaptiveAvgPool2d", "Flatten", "Linear"],
    ]


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match=re.escape("pooling='median': choose max or avg")):
        net(pooling="median")


@pytest.mark.parametrize("size", [(8, 8), (33, 50)])
def test_any_size_from_eight_pixels(size: tuple[int, int]):
    assert net()(torch.randn(2, 3, *size)).shape == (2, 10)
