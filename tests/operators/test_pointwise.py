"""flatten and sigmoid against torch."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES, DTYPES
from torch import Tensor

from receptive import operators

Agree = Callable[..., None]

SPECIAL = st.sampled_from([math.inf, -math.inf, math.nan, -0.0])


@CASES
@given(st.lists(st.integers(0, 4), max_size=5), DTYPES, st.integers(-6, 5), st.integers(-6, 5), st.booleans())
def test_flatten(agree: Agree, shape: list[int], dtype: torch.dtype, start: int, end: int, turned: bool) -> None:
    values = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    if turned:  # not contiguous
        values = values.T if values.dim() == 2 else values.transpose(0, -1) if values.dim() else values
    agree(operators.flatten, torch.flatten, [values.detach()], {"start_dim": start, "end_dim": end})
    agree(operators.flatten, torch.flatten, [values.detach()], {})


def test_flatten_is_a_view_where_it_can_be() -> None:
    values = torch.arange(24.0).view(2, 3, 4)
    assert operators.flatten(values, 1).data_ptr() == values.data_ptr()


def test_flatten_takes_whole_numbers_alone() -> None:
    with pytest.raises(TypeError, match=r"start_dim=0.0: give a whole number"):
        operators.flatten(torch.zeros(2, 2), 0.0)  # type: ignore[arg-type]


@CASES
@given(st.lists(st.floats(-800, 800) | st.floats(-2, 2) | SPECIAL), DTYPES)
def test_sigmoid(agree: Agree, numbers: list[float], dtype: torch.dtype) -> None:
    values = torch.tensor(numbers, dtype=dtype)
    # PyTorch's y (1 - y) is 0 where y rounds to 1: the gradient is compared where that does not show.
    agree(operators.sigmoid, torch.sigmoid, [values[values.abs() < 5]], {})
    agree(operators.sigmoid, torch.sigmoid, [values], {}, gradients=False)


@pytest.mark.parametrize("values", [torch.tensor([-3, 0, 4]), torch.tensor([True, False])])
def test_sigmoid_of_whole_numbers(agree: Agree, values: Tensor) -> None:
    agree(operators.sigmoid, torch.sigmoid, [values], {})


def test_tails_of_sigmoid() -> None:
    values = torch.tensor([-700.0, -100.0, 0.0, 100.0, 1000.0, -1000.0], dtype=torch.float64, requires_grad=True)
    output = operators.sigmoid(values)
    assert output.tolist() == [math.exp(-700), math.exp(-100), 0.5, 1.0, 1.0, 0.0]
    (gradient,) = torch.autograd.grad(output.sum(), values)
    assert gradient.tolist() == pytest.approx([math.exp(-700), math.exp(-100), 0.25, math.exp(-100), 0, 0], abs=0)


def test_gradcheck() -> None:
    values = torch.tensor([[-3.0, -0.5, 0.0], [0.5, 2.0, 7.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operators.sigmoid, values)
    assert torch.autograd.gradgradcheck(operators.sigmoid, values)
    assert torch.autograd.gradcheck(operators.flatten, values)
