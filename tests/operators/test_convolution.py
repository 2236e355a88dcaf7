"""Convolutions against torch.nn.functional: values, gradients, every parameter, what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES, sizes
from torch import Tensor

from receptive import operators
from receptive.operators import Conv2dFunction, loops

Agree = Callable[..., None]
Case = tuple[list[Tensor | None], dict[str, Any]]


def tensors(seed: int, dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@st.composite
def cases(draw: st.DrawFn, transposed: bool = False) -> Case:
    """Input, weight, bias or None, and options; mostly ones that fit."""
    groups, per_group, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, (height, width) = draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.tuples(*[st.integers(1, 8)] * 2))
    channels = groups * per_group
    weight = (channels, outputs, *kernel) if transposed else (groups * outputs, per_group, *kernel)
    dtype = draw(st.sampled_from([torch.float64, torch.float64, torch.float32]))
    images, seed = draw(st.integers(1, 2)), draw(st.integers(0, 2**31))
    image, filters, bias = tensors(seed, dtype, (images, channels, height, width), weight, (groups * outputs,))
    assert image is not None
    options = {"stride": draw(sizes(1, 3)), "padding": draw(sizes(0, 3)), "dilation": draw(sizes(1, 3))}
    if transposed:
        options["output_padding"] = draw(sizes(0, 2))
    elif draw(st.integers(0, 5)) == 0:
        options["padding"] = draw(st.sampled_from(["same", "valid"]))
    batch = image[0] if images == 1 and draw(st.booleans()) else image
    return [batch, filters, draw(st.sampled_from([None, bias]))], {**options, "groups": groups}


def strict(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """PyTorch's operator with the errors of its own code, which computes float64: oneDNN's lets more pass."""

    def call(*parts: Tensor | None, **options: Any) -> Tensor:
        if all(part is None or part.dtype == torch.float32 for part in parts):
            operator(*(None if part is None else part.detach().double() for part in parts), **options)
        return operator(*parts, **options)

    return call


@CASES
@given(cases())
def test_conv2d(agree: Agree, case: Case) -> None:
    agree(operators.conv2d, strict(F.conv2d), *case, loops=loops.conv2d)


@CASES
@given(cases(transposed=True))
def test_conv_transpose2d(agree: Agree, case: Case) -> None:
    agree(operators.conv_transpose2d, strict(F.conv_transpose2d), *case, loops=loops.conv_transpose2d)


def conv2d_function(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Tensor:
    result = Conv2dFunction.apply(input, weight, bias, stride, padding, dilation, groups)
    assert isinstance(result, Tensor)
    return result


@CASES
@given(cases())
def test_conv2d_function(agree: Agree, case: Case) -> None:
    (image, weight, bias), options = case
    assert image is not None
    batch = image if image.dim() == 4 else image[None]
    if isinstance(options["padding"], str):
        options["padding"] = 0
    agree(conv2d_function, strict(F.conv2d), [batch, weight, bias], options)


@st.composite
def wrong_cases(draw: st.DrawFn, transposed: bool = False) -> Case:
    """A case with one or two parameters out of range or shapes that do not belong together."""
    parts, options = draw(cases(transposed))
    faults = sizes(-1, 4) | st.sampled_from([(), (1, 2, 3), 1.5, True, (1.0, 2), "sam"])
    for name in draw(st.lists(st.sampled_from(sorted(options)), min_size=1, max_size=2)):
        options[name] = draw(st.sampled_from([-1, 0, 1, 2, 3, 1.5, True]) if name == "groups" else faults)
    match draw(st.integers(0, 6)):
        case 0:
            parts[2] = torch.zeros(draw(st.sampled_from([(1,), (5,), (1, 2), ()])), dtype=parts[0].dtype)
        case 1:
            parts[1] = torch.zeros(draw(st.tuples(*[st.integers(0, 3)] * 4)), dtype=parts[0].dtype)
        case 2:
            parts[1] = parts[1].to(torch.float32)
        case 3:
            parts[0] = torch.zeros(draw(st.lists(st.integers(1, 3), min_size=1, max_size=5)), dtype=parts[0].dtype)
    return parts, options


@CASES
@given(wrong_cases())
def test_conv2d_refuses_what_pytorch_refuses(agree: Agree, case: Case) -> None:
    agree(operators.conv2d, strict(F.conv2d), *case, loops=loops.conv2d, gradients=False)


@CASES
@given(wrong_cases(transposed=True))
def test_conv_transpose2d_refuses_what_pytorch_refuses(agree: Agree, case: Case) -> None:
    agree(operators.conv_transpose2d, strict(F.conv_transpose2d), *case, loops=loops.conv_transpose2d, gradients=False)


@pytest.mark.parametrize("kernel", [(2, 3), (3, 4), (4, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_same_padding_of_even_kernels(agree: Agree, kernel: tuple[int, int], dilation: Any) -> None:
    parts = tensors(0, torch.float64, (2, 2, 6, 7), (3, 2, *kernel))
    agree(operators.conv2d, F.conv2d, parts, {"padding": "same", "dilation": dilation}, loops=loops.conv2d)


def test_an_empty_batch_gives_an_empty_batch(agree: Agree) -> None:
    """With parameters in range: PyTorch looks at few of them where there is nothing to compute."""
    parts, options = tensors(0, torch.float64, (0, 2, 5, 6), (2, 2, 3, 2), (2,)), {"stride": 2, "padding": 1}
    agree(operators.conv2d, F.conv2d, parts, options, loops=loops.conv2d)
    agree(operators.conv_transpose2d, F.conv_transpose2d, parts, options, loops=loops.conv_transpose2d)


ODD = [{}, {"stride": (2, 1), "padding": (1, 2)}, {"dilation": (2, 1), "padding": 1}, {"groups": 2, "stride": 2}]


@pytest.mark.parametrize("options", ODD)
@pytest.mark.parametrize("biased", [True, False])
def test_gradcheck(options: dict[str, Any], biased: bool) -> None:
    groups = options.get("groups", 1)
    shapes = (2, 2, 5, 4), (4, 2 // groups, 3, 2), (4,)
    image, weight, bias = (part.requires_grad_() for part in tensors(0, torch.float64, *shapes) if part is not None)
    given_bias = bias if biased else None
    order = [options.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))]
    for operator in (operators.conv2d, Conv2dFunction.apply):
        assert torch.autograd.gradcheck(operator, (image, weight, given_bias, *order, groups))
    assert torch.autograd.gradgradcheck(Conv2dFunction.apply, (image, weight, given_bias, *order, groups))
    of_transposed = (image, weight.detach().reshape(2, -1, 3, 2).requires_grad_(), None, 2, 1, 1, groups, (1, 2))
    assert torch.autograd.gradcheck(operators.conv_transpose2d, of_transposed)


@pytest.mark.parametrize(("shape", "padding"), [((2, 5, 5), 0), ((1, 2, 5, 5), "same")])
def test_the_function_wants_a_batch_and_numbers(shape: tuple[int, ...], padding: Any) -> None:
    with pytest.raises(RuntimeError, match="padding in whole numbers"):
        Conv2dFunction.apply(torch.zeros(shape), torch.zeros(1, 2, 3, 3), None, 1, padding)


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_the_gradients_that_are_wanted_are_computed(
    wanted: tuple[bool, bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tensors(0, torch.float64, (1, 2, 4, 5), (3, 2, 2, 3), (3,))
    for part, needed in zip(parts, wanted, strict=True):
        assert part is not None
        part.requires_grad_(needed)
    output = Conv2dFunction.apply(*parts)
    if not wanted[0]:
        monkeypatch.setattr("receptive.operators.convolution.fold", None)
    if not wanted[1]:
        monkeypatch.setattr("receptive.operators.convolution._columns", None)
    output.sum().backward()
    assert tuple(part is not None and part.grad is not None for part in parts) == wanted


def test_the_example_of_r3_1() -> None:
    """16x3x32x32, 8 filters 3x3 with padding 1: 16 * 1024 unfolded windows of 27 numbers, 16384 x 8 results."""
    image, weight = tensors(0, torch.float64, (16, 3, 32, 32), (8, 3, 3, 3))
    assert image is not None and weight is not None
    unfolded = operators.unfold(image, 3, padding=1).mT.reshape(-1, 27)
    assert unfolded.shape == (16384, 27)
    product = unfolded @ weight.flatten(1).T
    assert product.shape == (16384, 8)
    maps = Conv2dFunction.apply(image, weight, None, 1, 1)
    torch.testing.assert_close(product.view(16, 1024, 8).mT.reshape(maps.shape), maps, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(maps, F.conv2d(image, weight, padding=1), rtol=1e-10, atol=1e-12)
