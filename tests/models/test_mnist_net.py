import re
from typing import Any

import pytest
import torch
from torch import nn

from receptive.models.mnist_net import MnistNet


def net(**options: Any) -> MnistNet:
    return MnistNet(**{"in_channels": 1, "num_classes": 10, "image_size": (28, 28), **options})


def global_net(head: str, **options: Any) -> MnistNet:
    return net(**{"channels": [16, 32, 81], "head": head, "image_size": None, **options})


def test_flatten_net_equals_the_one_laid_by_hand():
    torch.manual_seed(0)
    ours = net()
    torch.manual_seed(0)
    oracle = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(576, 10)),
    )
    assert str(ours.layers) == str(oracle)
    assert list(ours.layers.state_dict()) == list(oracle.state_dict())
    images = torch.randn(4, 1, 28, 28)
    assert torch.equal(ours(images), oracle(images))


def test_parameters_are_the_reports():
    counts = [
        sum(parameter.numel() for parameter in model.parameters())
        for model in (net(), global_net("global_max"), global_net("global_avg"))
    ]
    assert counts == [29_066, 29_029, 29_029]


def test_output_shape_of_every_layer(layer_shapes):
    images = torch.randn(2, 1, 28, 28)
    stack = [
        *[(16, 28, 28), (16, 28, 28), (16, 14, 14)],
        *[(32, 14, 14), (32, 14, 14), (32, 7, 7)],
    ]
    flatten, global_max = (
        layer_shapes(net().layers, images),
        layer_shapes(global_net("global_max").layers, images),
    )
    assert flatten == [*stack, (64, 7, 7), (64, 7, 7), (64, 3, 3), (576,), (10,)]
    assert global_max == [*stack, (81, 7, 7), (81, 7, 7), (81, 3, 3), (81, 1, 1), (81,), (10,)]


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("head", ["flatten", "global_max", "global_avg"])
def test_every_head_and_norm_trains(head: str, norm: str, step_of_training):
    torch.manual_seed(0)
    model = net(head=head, norm=norm, channels=[8, 12], image_size=(10, 14))
    step_of_training(model, torch.randn(8, 1, 10, 14), 10)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu"])
def test_every_activation_trains(activation: str, step_of_training):
    torch.manual_seed(0)
    model = net(activation=activation, channels=[8], in_channels=3, num_classes=4, image_size=(6, 6))
    step_of_training(model, torch.randn(8, 3, 6, 6), 4)


def test_norm_stands_between_convolution_and_activation():
    block = list(net(norm="batch").layers)[:4]
    assert [type(layer) for layer in block] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]


@pytest.mark.parametrize("head", ["global_max", "global_avg"])
def test_global_head_takes_any_size_and_any_batch(head: str):
    model = global_net(head)
    features = model.layers[:-2]
    for batch, size in [(1, (28, 28)), (3, (32, 32)), (2, (48, 48)), (1, (64, 64)), (2, (8, 65))]:
        images = torch.randn(batch, 1, *size)
        assert features(images).shape == (batch, 81, 1, 1)
        assert model(images).shape == (batch, 10)


@pytest.mark.parametrize("head", ["global_max", "global_avg"])
def test_global_head_gives_one_image_the_logits_that_it_has_in_a_batch(head: str):
    model, images = global_net(head), torch.randn(5, 1, 32, 32)
    torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), model(images))


@pytest.mark.parametrize(("head", "pool"), [("global_max", torch.amax), ("global_avg", torch.mean)])
def test_global_head_pools_each_map(head: str, pool: Any):
    model, images = global_net(head), torch.randn(2, 1, 32, 32)
    maps = model.layers[:-3](images)
    torch.testing.assert_close(model(images), model.layers[-1](pool(maps, dim=(2, 3))))


def test_another_channel_count_is_refused():
    with pytest.raises(RuntimeError, match="to have 1 channels, but got 3 channels"):
        global_net("global_max")(torch.randn(2, 3, 28, 28))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": None}, 'head="flatten" needs image_size'),
        ({"image_size": (28, 7)}, "28x7 pixels are too small for 3 poolings: choose at least 8x8"),
        ({"head": "global_min"}, "head='global_min': choose flatten, global_max or global_avg"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        net(**options)
