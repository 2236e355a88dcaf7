"""Pooling against torch.nn.functional: every parameter, ties, NaN, minus infinity, what is refused."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES, DTYPES, sizes
from torch import Tensor

from receptive import operators
from receptive.operators import loops

Agree = Callable[..., None]


@st.composite
def images(draw: st.DrawFn, special: bool = True) -> Tensor:
    """(N, C, H, W) or (C, H, W), often with ties, sometimes with NaN and minus infinity."""
    shape = draw(st.tuples(st.integers(0, 2), *[st.integers(1, n) for n in (2, 9, 9)]))
    values = torch.randn(
        shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 2**31))), dtype=draw(DTYPES)
    )
    if draw(st.booleans()):
        values = values.round()
    for number in (math.nan, -math.inf, math.inf):
        if special and draw(st.integers(0, 5)) == 0:
            values = values.masked_fill(torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.3, number)
    return values[0] if shape[0] == 1 and draw(st.booleans()) else values


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Kernel, stride and a padding of at most half the kernel, mostly ones that fit."""
    kernel = draw(sizes(1, 4))
    halves = [side // 2 for side in (kernel if isinstance(kernel, tuple) else (kernel,))]
    padding = draw(sizes(0, min(halves)) | st.tuples(st.integers(0, halves[0]), st.integers(0, halves[-1])))
    return {"kernel_size": kernel, "stride": draw(st.none() | sizes(1, 4)), "padding": padding}


@CASES
@given(images(), windows(), sizes(1, 3), st.booleans(), st.booleans())
def test_max_pool2d(
    agree: Agree, image: Tensor, window: dict[str, Any], dilation: Any, ceil_mode: bool, return_indices: bool
) -> None:
    options = {**window, "dilation": dilation, "ceil_mode": ceil_mode}
    missed = _misses_the_input(image, options)
    options["return_indices"] = return_indices
    # PyTorch's backward pass writes beyond the memory where a window misses the input.
    agree(operators.max_pool2d, F.max_pool2d, [image], options, loops=loops.max_pool2d, gradients=not missed)


def _misses_the_input(image: Tensor, options: dict[str, Any]) -> bool:
    try:
        largest = F.max_pool2d(torch.zeros(1, 1, *image.shape[-2:]), **options)
    except RuntimeError:
        return False
    return bool(largest.isinf().any())


@CASES
@given(images(special=False), windows(), st.booleans(), st.booleans(), st.none() | st.sampled_from([-3, 1, 2, 7]))
def test_avg_pool2d(
    agree: Agree, image: Tensor, window: dict[str, Any], ceil_mode: bool, include: bool, divisor: int | None
) -> None:
    options = {**window, "ceil_mode": ceil_mode, "count_include_pad": include, "divisor_override": divisor}
    agree(operators.avg_pool2d, F.avg_pool2d, [image], options, loops=loops.avg_pool2d)


wrong = sizes(-1, 4) | st.sampled_from([(), (1, 2, 3), 1.5, True, (1.0, 2), "2"])


@CASES
@given(images(special=False), wrong, st.none() | wrong, wrong, wrong, st.booleans())
def test_max_pool2d_refuses_what_pytorch_refuses(
    agree: Agree, image: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> None:
    options = dict(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    agree(operators.max_pool2d, F.max_pool2d, [image], options, loops=loops.max_pool2d, gradients=False)


@CASES
@given(images(special=False), wrong, st.none() | wrong, wrong, st.sampled_from([None, 0, 1, 2.5]))
def test_avg_pool2d_refuses_what_pytorch_refuses(
    agree: Agree, image: Tensor, kernel: Any, stride: Any, padding: Any, divisor: Any
) -> None:
    options = dict(kernel_size=kernel, stride=stride, padding=padding, divisor_override=divisor)
    agree(operators.avg_pool2d, F.avg_pool2d, [image], options, loops=loops.avg_pool2d, gradients=False)


@pytest.mark.parametrize("shape", [(5,), (5, 5), (1, 1, 1, 5, 5), (1, 0, 5, 5), (1, 2, 0, 5)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for operator in (operators.max_pool2d, operators.avg_pool2d, loops.max_pool2d, loops.avg_pool2d):
        with pytest.raises(RuntimeError, match="expected a tensor of 3 or 4 dimensions"):
            operator(torch.zeros(shape), 1)


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_every_small_window(agree: Agree, size: int, ceil_mode: bool) -> None:
    """Kernels, strides and paddings of one side, all of them; the other side is another's."""
    image = torch.randn(1, 1, size, 9 - size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    for kernel, stride, padding in itertools.product(range(1, 5), range(1, 5), range(3)):
        options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        for include in (False, True):
            more = {**options, "count_include_pad": include}
            agree(operators.avg_pool2d, F.avg_pool2d, [image.detach()], more, loops=loops.avg_pool2d)
        more = {**options, "return_indices": True}
        agree(operators.max_pool2d, F.max_pool2d, [image.detach()], more, loops=loops.max_pool2d)


@pytest.mark.parametrize("special", [math.nan, -math.inf, math.inf])
@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_special_values(agree: Agree, special: float, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 2, 8, 9, dtype=torch.float64, generator=generator)
    image = image.masked_fill(torch.rand(image.shape, generator=generator) < share, special)
    options = {"kernel_size": (2, 3), "stride": (2, 1), "padding": 1, "return_indices": True}
    agree(operators.max_pool2d, F.max_pool2d, [image], options, loops=loops.max_pool2d)


def test_windows_that_miss_the_input() -> None:
    image = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    values, indices = operators.max_pool2d(image, 2, 1, 1, 3, return_indices=True)
    theirs = F.max_pool2d(image, 2, 1, 1, 3, return_indices=True)
    assert torch.equal(values, theirs[0])
    assert torch.equal(indices, theirs[1])
    (gradient,) = torch.autograd.grad(values, image, torch.ones_like(values))
    assert not gradient.any()


@pytest.mark.parametrize(
    "pooling",
    [
        lambda x: operators.max_pool2d(x, (2, 3), (1, 2), 1, ceil_mode=True),
        lambda x: operators.max_pool2d(x, 2, 1, 1, (2, 1)),
        lambda x: operators.avg_pool2d(x, (3, 2), 2, 1, True, False),
    ],
)
def test_gradcheck(pooling: Callable[[Tensor], Tensor]) -> None:
    image = torch.randperm(60, generator=torch.Generator().manual_seed(0)).double().view(2, 1, 5, 6) / 10
    assert torch.autograd.gradcheck(pooling, image.requires_grad_())
    assert torch.autograd.gradgradcheck(pooling, image)
