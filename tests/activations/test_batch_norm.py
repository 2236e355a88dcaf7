"""Exact statistics of batch normalisation against numpy and torch's own training mode."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from receptive.activations.batch_norm import MovingAverages, by_batch, moving_averages, put_exact
from receptive.models.unet import UNet
from receptive.recording.layers import layers_of


@pytest.mark.parametrize("size", [1, 10, 100])
def test_exact_ones_are_of_the_layers_inputs(
    known: Any, images: Tensor, steps: Any, make_predictor: Any, size: int
) -> None:
    [(name, found)] = moving_averages(make_predictor(known), images.split(size), layers_of(known)).items()
    inputs = steps(known, images)["first"].numpy()
    assert name == "norm"
    np.testing.assert_allclose(found.exact_mean, inputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.exact_var, inputs.var((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found.running_mean, known.norm.running_mean, rtol=1e-6)
    np.testing.assert_allclose(found.running_var, known.norm.running_var, rtol=1e-6)
    mean, deviation = inputs.mean((0, 2, 3)), inputs.std((0, 2, 3))
    shift = (known.norm.running_mean.numpy() - mean) / deviation
    np.testing.assert_allclose(found.mean_shift, shift, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.variance_ratio, known.norm.running_var.numpy() / deviation**2, rtol=1e-4)


def test_with_them_evaluation_is_what_training_mode_gives_for_all_images_at_once(
    known: Any, images: Tensor, make_predictor: Any
) -> None:
    reference = copy.deepcopy(known).train()
    with torch.no_grad():
        wanted = reference(images)
    predictor = make_predictor(known)
    before = copy.deepcopy(known.state_dict())
    found = moving_averages(predictor, images.split(10), layers_of(known))
    assert all(torch.equal(value, known.state_dict()[key]) for key, value in before.items())
    assert not torch.allclose(predictor.outputs(images), wanted, atol=1e-3)
    put_exact(layers_of(known), found)
    torch.testing.assert_close(predictor.outputs(images), wanted, rtol=1e-3, atol=1e-4)
    changed = {key for key, value in known.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"norm.running_mean", "norm.running_var"}


def test_of_several_layers_those_by_batch_stand_together(make_predictor: Any) -> None:
    """Put in all at once, statistics of what moving averages gave would mend the first layer's shift twice."""
    torch.manual_seed(0)
    images = torch.randn(64, 1, 8, 8)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    for norm in (net[1], net[3]):
        norm.running_var.fill_(4)
    reference = copy.deepcopy(net).train()
    with torch.no_grad():
        wanted = reference(images)
    predictor, layers = make_predictor(net), layers_of(net)
    before = copy.deepcopy(net.state_dict())

    put_exact(layers, moving_averages(predictor, [images], layers))
    assert not torch.allclose(predictor.outputs(images), wanted, atol=0.1)
    net.load_state_dict(before)
    with by_batch(layers):
        found = moving_averages(predictor, [images], layers)
    averages = {key: value for key, value in net.state_dict().items() if "running" in key}
    assert all(torch.equal(value, before[key]) for key, value in averages.items())
    assert not any(module.training for module in net.modules())
    assert [net[1].momentum, net[3].momentum] == [0.1, 0.1]
    put_exact(layers, found)
    torch.testing.assert_close(predictor.outputs(images), wanted, rtol=1e-3, atol=1e-4)


def test_a_channel_that_never_changes_has_neither_shift_nor_ratio() -> None:
    found = MovingAverages(*(np.array(values) for values in ([1.0, 0, 2], [1.0, 1, 2], [0.0, 0, 4], [4.0, 0, 1])))
    np.testing.assert_array_equal(found.mean_shift, [0.5, np.nan, -2])
    np.testing.assert_array_equal(found.variance_ratio, [0.25, np.nan, 2])


def test_layers_without_moving_averages_are_passed_over(images: Tensor, make_predictor: Any) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.GroupNorm(2, 4), nn.BatchNorm2d(4)
    )
    assert list(moving_averages(make_predictor(net), images.split(10), layers_of(net))) == ["3"]


def test_a_shared_layer_has_one_pair_of_averages(images: Tensor, make_predictor: Any) -> None:
    norm = nn.BatchNorm2d(1)
    net = nn.Sequential(norm, nn.Conv2d(1, 1, 1), norm)
    predictor = make_predictor(net)
    found = moving_averages(predictor, images.split(10), layers_of(net))
    assert list(found) == ["0"]
    with torch.no_grad():
        inputs = torch.cat([images, net[1](norm.eval()(images))])  # of both calls
    np.testing.assert_allclose(found["0"].exact_mean, [inputs.mean()], atol=1e-6)
    np.testing.assert_allclose(found["0"].exact_var, [inputs.var(correction=0)], rtol=1e-4)


def test_every_normalisation_of_a_unet(make_predictor: Any) -> None:
    torch.manual_seed(0)
    net = UNet(in_channels=1, num_classes=2, base_channels=2, depth=1, norm="batch")
    images = torch.randn(6, 1, 16, 16)
    inputs: dict[str, Any] = {}
    norms = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    for name, layer in norms.items():
        layer.register_forward_pre_hook(lambda _, given, name=name: inputs.__setitem__(name, given[0].double().numpy()))
    with torch.no_grad():
        net.eval()(images)
    wanted = dict(inputs)
    found = moving_averages(make_predictor(net), images.split(4), layers_of(net))
    assert sorted(found) == sorted(norms)
    for name, own in found.items():
        np.testing.assert_allclose(own.exact_mean, wanted[name].mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(own.exact_var, wanted[name].var((0, 2, 3)), rtol=1e-4)
