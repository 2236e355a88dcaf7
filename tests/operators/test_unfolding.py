"""unfold and fold against torch.nn.functional."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES, DTYPES
from torch import Tensor

from receptive import operators
from receptive.operators import loops

Agree = Callable[..., None]


def sizes(least: int, most: int) -> st.SearchStrategy[Any]:
    """A parameter: a whole number, or rows and columns."""
    number = st.integers(least, most)
    return number | st.tuples(number, number)


WINDOWS = st.fixed_dictionaries(
    {"kernel_size": sizes(1, 3), "dilation": sizes(1, 3), "padding": sizes(0, 3), "stride": sizes(1, 3)}
)
WRONG = sizes(-1, 4) | st.sampled_from([(), (1,), (1, 2, 3), 1.5, (1.0, 2), "2"])
WRONG_WINDOWS = st.fixed_dictionaries({name: WRONG for name in ("kernel_size", "dilation", "padding", "stride")})


def numbers(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def images(draw: st.DrawFn) -> Tensor:
    shape = draw(st.tuples(st.integers(0, 2), *[st.integers(1, n) for n in (3, 9, 9)]))
    image = numbers(draw(st.integers(0, 2**31)), shape, draw(DTYPES))
    return image[0] if shape[0] == 1 and draw(st.booleans()) else image


@CASES
@given(images(), WINDOWS)
def test_unfold(agree: Agree, image: Tensor, window: dict[str, Any]) -> None:
    agree(operators.unfold, F.unfold, [image], window, loops=loops.unfold)


@CASES
@given(images(), WINDOWS)
def test_fold(agree: Agree, image: Tensor, window: dict[str, Any]) -> None:
    """Of columns that an unfold of the image would give; where it would give none, both refuse."""
    try:
        columns = F.unfold(image, **window)
    except RuntimeError:
        columns = torch.zeros(1, 4, 4, dtype=image.dtype)
    options = {"output_size": tuple(image.shape[-2:]), **window}
    agree(operators.fold, F.fold, [numbers(0, tuple(columns.shape), image.dtype)], options, loops=loops.fold)


@CASES
@given(images(), WRONG_WINDOWS)
def test_unfold_refuses_what_pytorch_refuses(agree: Agree, image: Tensor, window: dict[str, Any]) -> None:
    agree(operators.unfold, F.unfold, [image], window, loops=loops.unfold, gradients=False)


@CASES
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    WRONG | st.tuples(*[st.integers(1, 5)] * 2),
    WINDOWS,
    WRONG_WINDOWS,
)
def test_fold_refuses_what_pytorch_refuses(
    agree: Agree, shape: list[int], output_size: Any, window: dict[str, Any], wrong: dict[str, Any]
) -> None:
    for options in (window, {**window, "padding": wrong["padding"]}, wrong):
        options = {"output_size": output_size, **options}
        agree(operators.fold, F.fold, [torch.zeros(shape)], options, loops=loops.fold, gradients=False)


@pytest.mark.parametrize("operator", [operators.unfold, loops.unfold])
def test_whole_numbers_are_refused(operator: Callable[..., Tensor]) -> None:
    with pytest.raises(NotImplementedError, match=r"unfold is not implemented for torch.int64"):
        operator(torch.zeros(1, 1, 4, 4, dtype=torch.int64), 2)


def test_gradcheck() -> None:
    image = numbers(0, (2, 2, 5, 4), torch.float64).requires_grad_()
    options = ((3, 2), (1, 2), (2, 1), (2, 1))
    assert torch.autograd.gradcheck(operators.unfold, (image, *options))
    columns = operators.unfold(image.detach(), *options).requires_grad_()
    assert torch.autograd.gradcheck(operators.fold, (columns, (5, 4), *options))


def test_fold_counts_how_often_a_pixel_is_seen() -> None:
    """Not an inverse: fold(unfold(x)) is x times the number of windows on each pixel."""
    image = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    seen = operators.fold(operators.unfold(image, 2), (3, 3), 2)
    assert seen.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]
