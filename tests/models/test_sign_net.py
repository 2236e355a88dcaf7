from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from receptive.models.sign_net import SignNet


def net(**options: Any) -> SignNet:
    return SignNet(**{"in_channels": 3, "num_classes": 43, "image_size": (28, 28), **options})


def test_net_equals_the_one_laid_by_hand():
    torch.manual_seed(0)
    ours = net()
    torch.manual_seed(0)
    oracle = nn.Sequential(
        *(nn.Conv2d(3, 64, 5), nn.ReLU(), nn.Conv2d(64, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 43)),
    )
    assert str(ours.layers) == str(oracle)
    images = torch.randn(4, 3, 28, 28)
    assert torch.equal(ours(images), oracle(images))


@pytest.mark.parametrize(("norm", "parameters"), [("none", 87_403), ("batch", 87_659), ("group", 87_659)])
def test_parameters_are_the_reports(norm: str, parameters: int):
    assert sum(parameter.numel() for parameter in net(norm=norm).parameters()) == parameters


def test_output_shape_of_every_layer(layer_shapes):
    """R4.6, which names the convolutions, the poolings and the flattened features."""
    shapes = layer_shapes(net().layers, torch.randn(2, 3, 28, 28))
    first, second, third = (64, 24, 24), (32, 20, 20), (32, 8, 8)
    assert shapes == [
        *[first, first, second, second, (32, 10, 10)],
        *[third, third, (32, 4, 4), (512,), (43,)],
    ]


def test_norm_stands_between_each_convolution_and_its_activation():
    layers = [type(layer) for layer in net(norm="batch").layers]
    block = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert layers == [*block, *block, nn.MaxPool2d, *block, nn.MaxPool2d, nn.Flatten, nn.Linear]


@pytest.mark.parametrize(
    "options",
    [
        *({"activation": activation} for activation in ("relu", "leaky_relu", "elu", "gelu", "silu")),
        *({"norm": norm} for norm in ("batch", "group")),
        {"in_channels": 1, "num_classes": 5},
        {"logits_relu": True},
    ],
    ids=str,
)
def test_every_option_trains(options: dict[str, Any], step_of_training):
    torch.manual_seed(0)
    in_channels, num_classes = options.get("in_channels", 3), options.get("num_classes", 4)
    model = net(**{"image_size": (20, 24), "channels": (8, 6, 6), "num_classes": num_classes, **options})
    classifier = [layer for layer in model.layers if isinstance(layer, nn.Linear)][-1]
    nn.init.ones_(classifier.bias)  # behind a ReLU, a class whose logit is negative everywhere would not learn
    step_of_training(model, torch.randn(10, in_channels, 20, 24), num_classes)


def test_relu_on_the_logits_stops_the_gradient_of_negative_ones():
    torch.manual_seed(0)
    right, faulty = net(), net(logits_relu=True)
    faulty.load_state_dict(right.state_dict())
    images = torch.randn(2, 3, 28, 28)
    logits = right(images)
    assert torch.equal(faulty(images), logits.relu())
    functional.cross_entropy(faulty(images), torch.tensor([0, 1])).backward()
    gradient = faulty.get_parameter("layers.9.bias").grad
    assert gradient is not None
    never_positive = (logits <= 0).all(dim=0)
    assert never_positive.any()
    assert torch.equal(gradient.eq(0), never_positive)


@pytest.mark.parametrize("size", [(16, 16), (17, 40)])
def test_other_image_sizes_fit(size: tuple[int, int]):
    assert net(image_size=size)(torch.randn(2, 3, *size)).shape == (2, 43)


@pytest.mark.parametrize("size", [(15, 28), (28, 3)])
def test_too_small_images_are_refused(size: tuple[int, int]):
    with pytest.raises(ValueError, match=r"a side of \d+ pixels are too small: choose at least 16"):
        net(image_size=size)
