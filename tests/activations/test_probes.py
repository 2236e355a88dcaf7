"""Linear probes against scikit-learn's ridge regression of the same features."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from receptive.activations import probes
from receptive.activations.probes import MOST_FEATURES, RIDGE, Probe, probe_layers
from receptive.recording.layers import layers_of

CLASSES = 5


def pairs(images: Tensor, labels: Tensor, size: int = 16) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images.split(size), labels.split(size), strict=True))


def task_of_bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images 8x8 with a bright row that tells the class, under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    images[torch.arange(count), 0, labels] += 1
    return images, labels


def scikit(fitted: Any, labels: Any, held_out: Any, truth: Any, pictures: Any, shown: Any) -> tuple[float, float]:
    """Accuracy, and the share of the picture's variance about the fitted mean."""
    scaler = StandardScaler().fit(fitted)
    ridge = Ridge(alpha=RIDGE * len(fitted)).fit(
        scaler.transform(fitted), np.hstack([np.eye(CLASSES)[labels], pictures])
    )
    told = ridge.predict(scaler.transform(held_out))
    accuracy = (told[:, :CLASSES].argmax(1) == truth).mean()
    left = ((shown - told[:, CLASSES:]) ** 2).sum()
    return accuracy, 1 - left / ((shown - pictures.mean(0)) ** 2).sum()


def test_probes_are_scikit_learns(known: Any, steps: Any, make_predictor: Any) -> None:
    (images, labels), (others, truth) = task_of_bars(300, 0), task_of_bars(80, 1)
    found = probe_layers(
        make_predictor(known), pairs(images, labels), pairs(others, truth, 7), layers_of(known), CLASSES
    )
    seen, judged = steps(known, images), steps(known, others)
    assert list(found) == list(seen)
    for name, probe in found.items():
        accuracy, share = scikit(
            seen[name].flatten(1), labels, judged[name].flatten(1), truth.numpy(),
            images.flatten(1).numpy(), others.flatten(1).numpy(),
        )  # fmt: skip
        assert probe.features == seen[name][0].numel()
        assert probe.class_accuracy == pytest.approx(accuracy, abs=1.01 / 80)
        assert probe.picture_r2 == pytest.approx(share, abs=2e-4)


def test_large_maps_are_averaged_over_a_grid(make_predictor: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(260, 1, 40, 24, generator=generator)
    labels = torch.arange(260) % CLASSES
    found = probe_layers(
        make_predictor(net),
        pairs(images[:200], labels[:200]),
        pairs(images[200:], labels[200:]),
        layers_of(net),
        CLASSES,
    )
    assert {name: probe.features for name, probe in found.items()} == {"0": 6 * 13 * 13, "1": 6, "2": 6}
    assert 6 * 13 * 13 <= MOST_FEATURES < 6 * 14 * 14
    with torch.no_grad():
        maps = net[0](images)
    pictures = F.adaptive_avg_pool2d(images, 8).flatten(1).numpy()
    features = F.adaptive_avg_pool2d(maps, 13).flatten(1).double()
    _, share = scikit(features[:200], labels[:200], features[200:], 0, pictures[:200], pictures[200:])
    assert found["0"].picture_r2 == pytest.approx(share, abs=1e-3)


def test_wide_layers_are_read_in_part(make_predictor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fourth of 61 features, the first and the last among them."""
    monkeypatch.setattr(probes, "MOST_CHANNELS", 16)
    (images, labels), (others, truth) = task_of_bars(200, 0), task_of_bars(60, 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 61))
    found = probe_layers(make_predictor(net), pairs(images, labels), pairs(others, truth), layers_of(net), CLASSES)
    with torch.no_grad():
        fitted, held_out = (net(part)[:, ::4].double() for part in (images, others))
    accuracy, share = scikit(
        fitted, labels, held_out, truth.numpy(), images.flatten(1).numpy(), others.flatten(1).numpy()
    )
    assert found["1"].features == 16
    assert found["1"].class_accuracy == pytest.approx(accuracy, abs=1.01 / 60)
    assert found["1"].picture_r2 == pytest.approx(share, abs=1e-3)


def test_a_layer_that_holds_the_class_is_always_right_and_one_that_holds_nothing_is_not(make_predictor: Any) -> None:
    """The images are the one-hot classes: the first layer passes them on, the second wipes them out."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 1))
    nn.init.ones_(net[0].weight)
    nn.init.zeros_(net[0].bias)
    nn.init.zeros_(net[2].weight)
    labels = torch.arange(100) % CLASSES
    images = torch.zeros(100, 1, CLASSES, CLASSES)
    images[torch.arange(100), 0, labels] = 1
    found = probe_layers(
        make_predictor(net), pairs(images[:75], labels[:75]), pairs(images[75:], labels[75:]), layers_of(net), CLASSES
    )
    assert found["0"].class_accuracy == found["1"].class_accuracy == 1
    assert found["0"].picture_r2 > 0.999
    assert found["2"].class_accuracy == 0.2  # one class for all
    assert found["2"].picture_r2 == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1000.0])
def test_constant_features_change_nothing(make_predictor: Any, constant: float) -> None:
    (images, labels), (others, truth) = task_of_bars(200, 0), task_of_bars(60, 1)
    plain, padded = nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Sequential(nn.Conv2d(1, 3, 1))
    nn.init.ones_(plain[0].weight)
    nn.init.zeros_(plain[0].bias)
    with torch.no_grad():
        padded[0].weight[:] = torch.tensor([1.0, 0, 0]).view(3, 1, 1, 1)
        padded[0].bias[:] = torch.tensor([0, constant, -constant])
    wanted, found = (
        probe_layers(make_predictor(net), pairs(images, labels), pairs(others, truth), layers_of(net), CLASSES)["0"]
        for net in (plain, padded)
    )
    assert found.features == 3 * wanted.features
    assert found.class_accuracy == pytest.approx(wanted.class_accuracy, abs=1.01 / 60)
    assert found.picture_r2 == pytest.approx(wanted.picture_r2, abs=1e-3)


def test_features_far_from_zero_are_read_as_well(make_predictor: Any) -> None:
    (images, labels), (others, truth) = task_of_bars(200, 0), task_of_bars(60, 1)
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    nn.init.ones_(net[0].weight)
    found = []
    for shift in (0.0, 30.0):
        nn.init.constant_(net[0].bias, shift)
        [probe] = probe_layers(
            make_predictor(net), pairs(images, labels), pairs(others, truth), layers_of(net), CLASSES
        ).values()
        found.append(probe)
    assert found[1].picture_r2 == pytest.approx(found[0].picture_r2, abs=1e-3)
    assert found[1].class_accuracy == pytest.approx(found[0].class_accuracy, abs=2.01 / 60)


def test_without_classes_the_picture_alone(known: Any, make_predictor: Any) -> None:
    (images, _), (others, _) = task_of_bars(200, 0), task_of_bars(60, 1)
    masks, found = torch.zeros(200, 8, 8, dtype=torch.long), {}
    found = probe_layers(make_predictor(known), pairs(images, masks), pairs(others, masks[:60]), layers_of(known), None)
    assert {probe.class_accuracy for probe in found.values()} == {None}
    first = found["first"]
    assert isinstance(first, Probe)
    assert 0.9 < first.picture_r2 <= 1
    assert first.picture_r2 > found["head"].picture_r2


def test_r2_is_scikit_learns_where_the_held_out_images_have_the_fitted_mean(make_predictor: Any) -> None:
    images, labels = task_of_bars(120, 0)
    net = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2))
    [probe] = probe_layers(
        make_predictor(net), pairs(images, labels), pairs(images, labels), layers_of(net), CLASSES
    ).values()
    with torch.no_grad():
        features = StandardScaler().fit_transform(net[0](images).flatten(1))
    pictures = images.flatten(1).numpy()
    told = Ridge(alpha=RIDGE * 120).fit(features, pictures).predict(features)
    assert probe.picture_r2 == pytest.approx(r2_score(pictures, told, multioutput="variance_weighted"), abs=1e-4)
