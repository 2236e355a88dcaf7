"""`receptive operators shapes`, and the formulas against PyTorch."""

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.operators.strategies import CASES
from torch import Tensor

from receptive.operators import shapes
from receptive.operators.geometry import transposed_side, window_side

Cli = Callable[..., tuple[int, str, str]]

SMALL = st.integers(1, 5)


@CASES
@given(st.integers(1, 40), SMALL, SMALL, st.integers(0, 2), st.integers(1, 3), st.booleans())
def test_window_side(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
    assume(2 * padding <= kernel)
    side = window_side(size, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    image = torch.empty(1, 1, size, size, device="meta")
    if side < 1:
        with pytest.raises(RuntimeError, match="too small"):
            F.max_pool2d(image, kernel, stride, padding, dilation, ceil_mode)
        return
    assert F.max_pool2d(image, kernel, stride, padding, dilation, ceil_mode).shape[3] == side
    told = shapes.steps(size, kernel, stride, padding, dilation, ceil_mode)
    assert re.search(rf" = {side}(: the last would start .*)?$", told), told


@CASES
@given(SMALL, SMALL, SMALL, st.integers(0, 3), SMALL, st.integers(0, 4))
def test_transposed_side_inverts(size: int, kernel: int, stride: int, padding: int, dilation: int, extra: int) -> None:
    assume(extra < stride)
    sides = {"stride": stride, "padding": padding, "dilation": dilation}
    side = transposed_side(size, kernel, **sides, output_padding=extra)
    assume(side >= 1)
    weight = torch.empty(1, 1, kernel, kernel, device="meta")
    image = torch.empty(1, 1, size, size, device="meta")
    assert F.conv_transpose2d(image, weight, None, stride, padding, extra, 1, dilation).shape[3] == side
    assert window_side(side, kernel, **sides) == size


def test_the_explanation(cli: Cli) -> None:
    code, out, err = cli("operators", "shapes")
    assert (code, err) == (0, "")
    for told in (
        "1024: floor((1024 + 2*1 - 1*(5 - 1) - 1) / 2) + 1 = floor(1021 / 2) + 1 = 510 + 1 = 511",
        "1024x768 -> 511x383",
        "1920x1080 -> 959x539",
        "24x24x64",
        "20x20x32",
        "10x10x32",
        "8x8x32",
        "4x4x32",
        "flatten -> 512",
        "4x81x48x64 -> average 4x81x1x1, maximum 4x81x1x1",
        "one image at a time: 1x48x48 -> 16x48x48",
        "PyTorch: Given groups=1, weight of size [16, 1, 3, 3], expected input[1, 3, 48, 48] to have 1 channels",
        "24 of 24 sizes and refusals are PyTorch's",
    ):
        assert told in out


def test_a_wrong_size_is_told_and_fails(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "transposed_side", lambda *sizes, **more: transposed_side(*sizes, **more) + 1)
    code, out, _ = cli("operators", "shapes")
    assert code == 1
    assert "= 8   but PyTorch has 7" in out
    assert "22 of 24" in out


@pytest.mark.parametrize("name", ["avg_pool2d", "max_pool2d"])
def test_both_sizes_of_global_pooling_are_of_our_operators(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(shapes.operators, name, lambda maps, window: maps.new_empty((*maps.shape[:2], 2, 1)))
    code, out, _ = cli("operators", "shapes")
    assert (code, "19 of 24" in out) == (1, True)


def test_a_convolution_that_refuses_nothing_is_told_and_fails(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def convolve(image: Tensor, weight: Tensor, padding: int) -> Tensor:
        return image.new_empty((*image.shape[:-3], 16, 48, 48))

    monkeypatch.setattr(shapes.operators, "conv2d", convolve)
    code, out, _ = cli("operators", "shapes")
    assert code == 1
    assert "is refused:   but PyTorch has Given groups=1, weight of size [16, 1, 3, 3]" in out
    assert "    ours: accepted" in out
    assert "23 of 24" in out
