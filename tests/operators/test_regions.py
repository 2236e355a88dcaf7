"""roi_pool against torchvision.ops."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES
from torch import Tensor
from torchvision.ops import roi_pool

from receptive import operators
from receptive.operators import loops
from receptive.operators.regions import rounded

Agree = Callable[..., None]

# Halves on purpose; beyond the image on both sides; either corner first.
COORDINATES = st.floats(-6, 14, width=16) | st.integers(-12, 28).map(lambda n: n / 2)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Any, dict[str, Any]]:
    """Image, boxes in either form, bins and scale."""
    shape = draw(st.tuples(*[st.integers(1, n) for n in (3, 2, 10, 10)]))
    dtype = draw(st.sampled_from([torch.float64, torch.float64, torch.float32]))
    image = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 2**31))), dtype=dtype)
    if draw(st.booleans()):
        image = image.round()
    for special in (math.nan, -math.inf):
        if draw(st.integers(0, 5)) == 0:
            image = image.masked_fill(torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.3, special)
    count = draw(st.integers(0, 4))
    corners = torch.tensor(
        draw(st.lists(st.lists(COORDINATES, min_size=4, max_size=4), min_size=count, max_size=count))
    )
    corners = corners.reshape(count, 4).to(dtype)
    owners = draw(st.lists(st.integers(0, shape[0] - 1), min_size=count, max_size=count))
    listed = torch.tensor(owners, dtype=dtype)
    boxes: Any = torch.cat([listed[:, None], corners], dim=1)
    if draw(st.booleans()):
        boxes = [corners[listed == number] for number in range(shape[0])]
    bins = draw(st.integers(0, 5) | st.tuples(st.integers(1, 5), st.integers(1, 5)))
    return image, boxes, {"output_size": bins, "spatial_scale": draw(st.sampled_from([1.0, 0.5, 0.3, 2.0, 0.0625]))}


@CASES
@given(cases())
def test_roi_pool(agree: Agree, case: tuple[Tensor, Any, dict[str, Any]]) -> None:
    image, boxes, options = case
    agree(
        lambda x, **given: operators.roi_pool(x, boxes, **given),
        lambda x, **given: roi_pool(x, boxes, **given),
        [image],
        options,
        loops=lambda x, **given: loops.roi_pool(x, boxes, **given),
    )


IMAGE, BOX = torch.zeros(2, 1, 4, 5), torch.zeros(1, 5)


@CASES
@given(
    st.sampled_from([IMAGE, IMAGE[0], IMAGE.double(), IMAGE.long()]),
    st.sampled_from([BOX, BOX[0], BOX[:, 1:], [BOX], [BOX[:, 1:]], [], "box", BOX.double(), BOX.long()]),
    st.sampled_from([-2, -1, 1, 2, (2,), (2, -1), 2.0, "2", (2, 2)]),
)
def test_it_refuses_what_torchvision_refuses(image: Tensor, boxes: Any, output_size: Any) -> None:
    """The kinds of errors are ours: torchvision's differ with the layer that fails first."""
    refused = _fails(roi_pool, image, boxes, output_size)
    assert _fails(operators.roi_pool, image, boxes, output_size) == refused
    assert _fails(loops.roi_pool, image, boxes, output_size) == refused


def _fails(operator: Callable[..., Tensor], *arguments: Any) -> bool:
    try:
        operator(*arguments)
    except (AssertionError, AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return True
    return False


@pytest.mark.parametrize("operator", [operators.roi_pool, loops.roi_pool])
@pytest.mark.parametrize("number", [-1.0, 2.0])
def test_an_image_that_is_not_there_is_refused(operator: Callable[..., Tensor], number: float) -> None:
    """torchvision reads beyond the memory."""
    with pytest.raises(IndexError, match="beyond the input's 2"):
        operator(IMAGE, torch.tensor([[number, 0, 0, 1, 1]]), 2)


@pytest.mark.parametrize("operator", [operators.roi_pool, loops.roi_pool])
@pytest.mark.parametrize("image", [IMAGE[0], IMAGE[None]])
def test_other_shapes_are_refused(operator: Callable[..., Tensor], image: Tensor) -> None:
    """torchvision overlooks a fifth dimension."""
    with pytest.raises(RuntimeError, match=r"expected an input \(N, C, H, W\)"):
        operator(image, BOX, 2)


def test_gradcheck() -> None:
    image = torch.randperm(80, generator=torch.Generator().manual_seed(0)).double().view(2, 1, 8, 5).requires_grad_()
    boxes = torch.tensor([[0, 0, 0, 3.5, 6.5], [1, 2, 2, 9, 9], [1, -3, -3, -2, -2]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: operators.roi_pool(x, boxes, (3, 2), 0.8), image)


def test_halves_are_rounded_away_from_zero() -> None:
    numbers = torch.tensor([0.5, 1.5, 2.5, -0.5, -2.5, 0.49999999999999994, 2.4, -2.6], dtype=torch.float64)
    assert rounded(numbers).tolist() == [1, 2, 3, -1, -3, 0, 2, -3]
