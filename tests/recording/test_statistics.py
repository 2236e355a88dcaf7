"""Streaming statistics against numpy over all activations at once, in float64."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from receptive.errors import InputError
from receptive.recording.histogram import BINS
from receptive.recording.statistics import LayerStatistics, LayerSummary, _totals

Array = NDArray[Any]

SHAPES = {"vectors": (5,), "tokens": (6, 3), "maps": (3, 5, 4), "single pixels": (4, 1, 1)}


def activations(*shape: int, seed: int = 0) -> Tensor:
    """Rectified values of many sizes around zero: a third exactly 0, channels of different scale and shift."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 1, shape) * np.exp(rng.normal(0, 1.5, shape))
    values *= rng.uniform(0.5, 2, (1, *shape[1:]))
    values[rng.random(shape) < 1 / 3] = 0
    values[0] = 0  # an image for which the layer is silent
    return torch.from_numpy(values).float()


def gathered(batches: Sequence[Tensor], every: int | None = 1) -> LayerSummary:
    statistics = LayerStatistics("layers.0", every)
    for batch in batches:
        statistics.update(batch)
    return statistics.summary()


def channels_first(values: Tensor) -> Array:
    """(B, C, positions) float64; of tokens (B, T, D) the features are the channels."""
    array = values.double().numpy()
    if array.ndim == 3:
        array = array.transpose(0, 2, 1)
    return array.reshape(*array.shape[:2], -1)


def check_every_image(found: LayerSummary, values: Array) -> None:
    """Against (B, C, positions)."""
    assert found.images == len(values)
    np.testing.assert_allclose(found.mean, values.mean((0, 2)), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found.std, values.std((0, 2)), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found.mean_absolute, np.abs(values).mean((0, 2)), rtol=2e-5)
    np.testing.assert_allclose(found.zeros, (values == 0).mean((0, 2)), rtol=1e-12)
    assert found.overall_std == pytest.approx(values.std(), rel=2e-5)


def check_sample(found: LayerSummary, values: Array) -> None:
    """Near zeros, dark pixels, blank maps and histogram against (B, C, positions), image by image."""
    near, dark, blank = (np.zeros(values.shape[1]) for _ in range(3))
    for image in values.astype(np.float32):
        limit = np.float32(0.01) * np.abs(image).max()
        for channel, own in enumerate(image):
            near[channel] += (np.abs(own) <= limit).mean()
            dark[channel] += (own <= own.min() + np.float32(0.1) * (own.max() - own.min())).mean()
            blank[channel] += own.min() == own.max()
    assert found.sampled == len(values)
    np.testing.assert_allclose(found.near_zeros, near / len(values), rtol=1e-12)
    if values.shape[2] == 1:
        assert np.isnan(found.dark).all() and np.isnan(found.blank).all()
    else:
        np.testing.assert_allclose(found.dark, dark / len(values), rtol=1e-12)
        np.testing.assert_allclose(found.blank, blank / len(values), rtol=1e-12)
    wanted = [np.histogram(values[:, channel], found.edges)[0] for channel in range(values.shape[1])]
    np.testing.assert_array_equal(found.histogram, wanted)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_uneven_batches_give_what_numpy_gives_over_all(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = activations(23, *shape).to(dtype)
    found = gathered(values.split([1, 9, 2, 11]))
    wanted = channels_first(values)
    check_every_image(found, wanted)
    check_sample(found, wanted)
    assert found.shape == ((shape[1], shape[0]) if len(shape) == 2 else shape)
    if wanted.shape[2] == 1:
        assert found.mean_map is None and found.mean_absolute_map is None
    else:
        assert found.mean_map is not None and found.mean_absolute_map is not None
        assert found.mean_map.shape == found.mean_absolute_map.shape == found.shape
        np.testing.assert_allclose(found.mean_map.reshape(wanted.shape[1:]), wanted.mean(0), rtol=2e-5, atol=1e-6)
        absolute = found.mean_absolute_map.reshape(wanted.shape[1:])
        np.testing.assert_allclose(absolute, np.abs(wanted).mean(0), rtol=2e-5, atol=1e-6)


def test_the_layout_in_memory_changes_nothing() -> None:
    values = activations(12, 6, 7, 5)
    turned = values.contiguous(memory_format=torch.channels_last)
    assert not turned.is_contiguous()
    strided = activations(12, 6, 7, 10)[..., ::2]
    for given_values in (turned, strided):
        found = gathered(given_values.split(5))
        wanted = channels_first(given_values)
        check_every_image(found, wanted)
        check_sample(found, wanted)
        assert found.mean_map is not None
        np.testing.assert_allclose(found.mean_map, given_values.double().mean(0), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_row_larger_than_what_is_looked_at_together(layout: torch.memory_format) -> None:
    values = activations(3, 2, 400, 400).contiguous(memory_format=layout)
    assert values[0].numel() > 2**18
    found = gathered(values.split([2, 1]))
    wanted = channels_first(values)
    check_every_image(found, wanted)
    check_sample(found, wanted)
    assert found.mean_map is not None
    np.testing.assert_allclose(found.mean_map, values.double().mean(0), rtol=2e-5, atol=1e-6)


def test_layers_of_different_widths_do_not_disturb_each_other() -> None:
    """The memory that sums are made in is one for all."""
    wide, narrow = activations(3, 2, 400, 400), activations(9, 7, 3, 3, seed=1)
    statistics = [LayerStatistics("wide"), LayerStatistics("narrow")]
    for place in range(3):
        statistics[0].update(wide[place : place + 1])
        statistics[1].update(narrow[3 * place : 3 * place + 3])
    check_every_image(statistics[0].summary(), channels_first(wide))
    check_every_image(statistics[1].summary(), channels_first(narrow))


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=8), every=st.integers(1, 9))
def test_every_so_many_th_image_whatever_the_batches(sizes: list[int], every: int) -> None:
    values = activations(sum(sizes), 3, 4, 2, seed=len(sizes))
    found = gathered(values.split(sizes), every)
    wanted = channels_first(values)
    check_every_image(found, wanted)
    check_sample(found, wanted[::every])


def test_without_a_sample_there_is_none() -> None:
    found = gathered([activations(4, 3, 2, 2)], every=None)
    assert found.sampled == 0
    assert np.isnan([found.near_zeros, found.dark, found.blank]).all()
    assert found.histogram.sum() == 0


def test_images_of_several_sizes_have_no_average_map() -> None:
    parts = [activations(4, 3, 5, 4), activations(2, 3, 2, 7, seed=1), activations(4, 3, 5, 4, seed=2)]
    found = gathered(parts)
    joined = np.concatenate([part.double().movedim(1, 0).flatten(1).numpy() for part in parts], axis=1)
    np.testing.assert_allclose(found.mean, joined.mean(1), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found.std, joined.std(1), rtol=2e-5)
    np.testing.assert_allclose(found.zeros, (joined == 0).mean(1), rtol=1e-12)
    assert found.shape == (3, 5, 4)
    assert found.mean_map is None and found.mean_absolute_map is None
    assert found.histogram.sum(1).tolist() == [joined.shape[1]] * 3


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mean", [1.0, 1000.0, -30.0])
def test_deviations_far_from_zero_keep_their_digits(mean: float, layout: torch.memory_format) -> None:
    values = mean + torch.randn(200, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 0.1
    values[:, 1] = mean / 3  # never changes
    values = values.contiguous(memory_format=layout)
    found = gathered(values.split(64))
    np.testing.assert_allclose(found.std, channels_first(values).std((0, 2)), rtol=1e-3, atol=1e-6 * abs(mean))
    assert found.std[1] == 0


def test_a_layer_that_is_always_zero() -> None:
    found = gathered([torch.zeros(3, 2, 4, 4)])
    assert found.mean.tolist() == found.std.tolist() == [0, 0]
    for share in (found.zeros, found.near_zeros, found.dark, found.blank):
        assert share.tolist() == [1, 1]
    assert found.histogram[:, BINS // 2].tolist() == [48, 48]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("every", [1, 4, None])
def test_a_value_that_is_no_number_is_told_with_its_layer(value: float, every: int | None) -> None:
    values = activations(6, 3, 2, 2)
    values[5, 1, 0, 0] = value
    with pytest.raises(InputError, match=r"layer layers\.0: an activation is NaN or infinite"):
        gathered(values.split(4), every)


def held(statistics: LayerStatistics) -> int:
    """Bytes of all tensors below an object's attributes."""
    parts = [*vars(statistics).values(), *vars(statistics._histogram).values()]
    return sum(part.untyped_storage().nbytes() for part in parts if isinstance(part, Tensor))


def test_memory_does_not_grow_with_the_images() -> None:
    statistics = LayerStatistics("layers.0")
    sizes = []
    for seed in range(50):
        statistics.update(activations(8, 3, 6, 6, seed=seed) * 2**seed)
        sizes.append((held(statistics), len(vars(statistics))))
    assert sizes[0] == sizes[-1]
    assert statistics.images == 400


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest memory that a result lies in."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.bytes = max(self.bytes, found.untyped_storage().nbytes())
        return found


@pytest.mark.parametrize("columns", [10, 32 * 26 * 26])
def test_sums_on_a_gpu_take_memory_as_their_batch_does(columns: int) -> None:
    values = torch.zeros(64, columns, device="meta")  # no CPU either, and has no values
    with Largest() as largest:
        _totals(values, None, nonnegative=False)
    assert largest.bytes == 2 * values.untyped_storage().nbytes()


def test_parts_of_a_batch_sum_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.arange(60.0).view(12, 5) - 20
    wanted = torch.stack([values.sum(0), values.abs().sum(0), values.square().sum(0), (values == 0).sum(0)])
    for most in (1, 5, 17, 59, 60, 61):
        monkeypatch.setattr("receptive.recording.statistics._PART", most)
        assert torch.equal(_totals(values, None, nonnegative=False), wanted), most
