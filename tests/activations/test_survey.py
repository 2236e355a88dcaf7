"""The statistics of whole networks against numpy over all activations at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from receptive.activations.survey import channel_rows, histogram_rows, layer_rows, sheet, survey
from receptive.errors import InputError
from receptive.models.unet import UNet
from receptive.recording.layers import kind_of, layers_of

LAYERS = ["first", "norm", "act", "second", "act#2", "head"]


@pytest.mark.parametrize("batch_size", [1, 8, 100])
def test_rows_of_layers_are_numpys(
    known: Any, images: Tensor, steps: Any, make_predictor: Any, batch_size: int
) -> None:
    layers = layers_of(known)
    found = survey(make_predictor(known), images.split(batch_size), layers, 1)
    rows = layer_rows(found, lambda name: kind_of(layers[name.partition("#")[0]]))
    assert [row["layer"] for row in rows] == LAYERS
    assert [row["place"] for row in rows] == list(range(6))
    assert [row["kind"] for row in rows] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "ReLU", "Linear"]
    assert [row["shape"] for row in rows] == ["3x8x8", "3x8x8", "3x8x8", "4x3x3", "4x3x3", "5"]
    for row, (name, wanted) in zip(rows, steps(known, images).items(), strict=True):
        values = wanted.numpy()
        assert row["layer"] == name
        assert row["images"] == row["sampled"] == 37
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-4, abs=1e-6)
        assert row["std"] == pytest.approx(values.std(), rel=1e-4)
        assert row["mean_absolute"] == pytest.approx(np.abs(values).mean(), rel=1e-4)
        assert row["zeros"] == pytest.approx((values == 0).mean(), abs=1e-12)
        largest = np.abs(values).reshape(37, -1).max(1).reshape(37, *[1] * (values.ndim - 1))
        assert row["near_zeros"] == pytest.approx((np.abs(values) <= 0.01 * largest).mean(), abs=1e-3)


def test_rows_of_channels_are_numpys(known: Any, images: Tensor, steps: Any, make_predictor: Any) -> None:
    found = survey(make_predictor(known), images.split(10), layers_of(known), 1)
    rows = list(channel_rows(found))
    wanted = steps(known, images)
    assert [(row["layer"], row["channel"]) for row in rows] == [
        (name, channel) for name, values in wanted.items() for channel in range(values.shape[1])
    ]
    for row in rows:
        values = wanted[row["layer"]][:, row["channel"]].numpy()
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-4, abs=1e-5)
        assert row["std"] == pytest.approx(values.std(), rel=1e-4)
        assert row["mean_absolute"] == pytest.approx(np.abs(values).mean(), rel=1e-4)
        assert row["zeros"] == pytest.approx((values == 0).mean(), abs=1e-12)


def test_rows_of_histograms_hold_every_activation(known: Any, images: Tensor, steps: Any, make_predictor: Any) -> None:
    found = survey(make_predictor(known), images.split(10), layers_of(known), 1)
    rows = list(histogram_rows(found))
    for name, wanted in steps(known, images).items():
        for channel in range(wanted.shape[1]):
            own = [row for row in rows if (row["layer"], row["channel"]) == (name, channel)]
            values = wanted[:, channel].numpy()
            assert sum(row["count"] for row in own) == values.size
            assert all(row["count"] > 0 for row in own)
            for row in own:
                inside = (values >= row["left"] - 1e-5) & (values < row["right"] + 1e-5)
                assert inside.sum() >= row["count"]


def test_of_every_third_image_the_closer_look(known: Any, images: Tensor, steps: Any, make_predictor: Any) -> None:
    found = survey(make_predictor(known), images.split(10), layers_of(known), 3)
    shown = steps(known, images[::3])
    for name, own in found.items():
        assert (own.images, own.sampled) == (37, 13)
        assert own.histogram.sum() == shown[name].numel()
    maps = shown["first"].numpy().reshape(13, 3, 64)
    low, high = maps.min(2, keepdims=True), maps.max(2, keepdims=True)
    np.testing.assert_allclose(found["first"].dark, (maps <= low + 0.1 * (high - low)).mean((0, 2)), atol=2e-3)


def test_a_unet(make_predictor: Any) -> None:
    torch.manual_seed(0)
    net = UNet(in_channels=1, num_classes=2, base_channels=2, depth=1).eval()
    inputs = torch.randn(7, 1, 16, 12)
    wanted: dict[str, list[Tensor]] = {}
    handles = [
        layer.register_forward_hook(lambda _, __, output, name=name: wanted.setdefault(name, []).append(output))
        for name, layer in layers_of(net).items()
    ]
    with torch.no_grad():
        net(inputs)
    for handle in handles:
        handle.remove()
    found = survey(make_predictor(net), inputs.split(3), layers_of(net), 1)
    assert list(found) == list(wanted)
    assert len(found) >= 12
    for name, [values] in wanted.items():
        array = values.double().numpy()
        np.testing.assert_allclose(found[name].mean, array.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[name].std, array.std((0, 2, 3)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[name].mean_map, array.mean(0), rtol=1e-3, atol=1e-5)


def test_the_average_map_is_the_mean_of_the_maps(known: Any, images: Tensor, steps: Any, make_predictor: Any) -> None:
    found = survey(make_predictor(known), images.split(10), layers_of(known), 1)
    for name, values in steps(known, images).items():
        if values.ndim == 2:
            assert found[name].mean_map is None
            continue
        np.testing.assert_allclose(found[name].mean_map, values.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[name].mean_absolute_map, values.abs().mean(0), rtol=1e-4, atol=1e-6)


def test_a_broken_weight_is_told_with_the_first_layer_that_shows_it(
    known: Any, images: Tensor, make_predictor: Any
) -> None:
    nn.init.constant_(known.second.weight, float("nan"))
    with pytest.raises(InputError, match="layer second: an activation is NaN"):
        survey(make_predictor(known), images.split(10), layers_of(known), 5)


def test_files_of_sheets_lie_in_the_order_of_the_layers() -> None:
    row = {"place": 3, "layer": "up/1.conv", "kind": "Conv2d"}
    assert sheet(Path("maps"), row) == Path("maps/03_up_1.conv_Conv2d.png")
