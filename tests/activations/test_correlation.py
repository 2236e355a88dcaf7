"""Correlations of channels against numpy.corrcoef."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from receptive.activations import correlation
from receptive.activations.correlation import Correlation, channel_correlations
from receptive.recording.layers import layers_of


def by_channel(values: Tensor) -> Any:
    """(C, all pixels of all images)."""
    return values.double().movedim(1, 0).flatten(1).numpy()


@pytest.mark.parametrize("size", [1, 10, 100])
def test_matrices_are_numpys(known: Any, images: Tensor, steps: Any, make_predictor: Any, size: int) -> None:
    found = channel_correlations(make_predictor(known), images.split(size), layers_of(known))
    wanted = {name: np.corrcoef(by_channel(values)) for name, values in steps(known, images).items()}
    assert list(found) == list(wanted)
    for name, own in found.items():
        np.testing.assert_allclose(own.matrix, wanted[name], atol=1e-4)
        pairs = [abs(wanted[name][i, j]) for i in range(len(own.matrix)) for j in range(i)]
        assert own.mean_absolute == pytest.approx(np.mean(pairs), abs=1e-4)
        assert own.strong == pytest.approx(np.mean(np.array(pairs) > 0.5))
        assert own.constant == 0


@pytest.mark.parametrize("constant", [0.0, 0.1, 1000.0])
def test_a_channel_that_never_changes_has_none(images: Tensor, make_predictor: Any, constant: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3))
    with torch.no_grad():
        net[0].weight[1] = 0
        net[0].bias[1] = constant
    [own] = channel_correlations(make_predictor(net), images.split(10), layers_of(net)).values()
    with torch.no_grad():
        kept = np.corrcoef(by_channel(net(images)[:, [0, 2]]))
    assert own.constant == 1
    assert np.isnan(own.matrix[1]).all() and np.isnan(own.matrix[:, 1]).all()
    np.testing.assert_allclose(own.matrix[::2, ::2], kept, atol=1e-4)
    assert own.mean_absolute == pytest.approx(abs(kept[0, 1]), abs=1e-4)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1000.0])
def test_a_layer_that_never_changes(images: Tensor, make_predictor: Any, constant: float) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3))
    nn.init.zeros_(net[0].weight)
    nn.init.constant_(net[0].bias, constant)
    [own] = channel_correlations(make_predictor(net), images.split(10), layers_of(net)).values()
    assert own.constant == 3
    assert np.isnan([own.mean_absolute, own.strong]).all()


def test_of_wide_layers_some_channels(images: Tensor, make_predictor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "MOST_CHANNELS", 16)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 61))
    found = channel_correlations(make_predictor(net), images.split(10), layers_of(net))["1"]
    with torch.no_grad():
        wanted = np.corrcoef(by_channel(net(images)[:, ::4]))
    np.testing.assert_allclose(found.matrix, wanted, atol=1e-4)


def test_channels_far_from_zero(images: Tensor, make_predictor: Any) -> None:
    """A mean a thousand times the deviation must not eat the digits."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3))
    nn.init.constant_(net[0].bias, 0)
    [wanted] = channel_correlations(make_predictor(net), images.split(10), layers_of(net)).values()
    nn.init.constant_(net[0].bias, 1000)
    [found] = channel_correlations(make_predictor(net), images.split(10), layers_of(net)).values()
    np.testing.assert_allclose(found.matrix, wanted.matrix, atol=1e-3)


def test_copies_and_opposites_are_strong() -> None:
    matrix = np.array([[1, 1, -0.6, 0.5], [1, 1, -0.6, 0.1], [-0.6, -0.6, 1, 0], [0.5, 0.1, 0, 1]])
    found = Correlation(matrix)
    assert found.strong == 3 / 6  # above 0.5, not at it
    assert found.mean_absolute == pytest.approx((1 + 0.6 + 0.5 + 0.6 + 0.1 + 0) / 6)


def test_a_single_channel_has_no_pair() -> None:
    found = Correlation(np.ones((1, 1)))
    assert np.isnan([found.mean_absolute, found.strong]).all()
    assert found.constant == 0
