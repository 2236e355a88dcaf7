"""Convolution, transposed convolution, and a convolution whose backward pass is written by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from receptive.operators.geometry import Size, Sizes, Window, at_least, floating, is_whole, pair, transposed_side
from receptive.operators.unfolding import columns_of, fold
from receptive.operators.windows import overlap_add, padded


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: y[o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] x[c, i s - p + u d, j s - p + v d].

    With groups, output channel o sees only the input channels of its group. Computed as unfold and a product of
    matrices.
    Source: torch.nn.Conv2d's documentation; Dumoulin and Visin, A guide to convolution arithmetic, 2016.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,) or None.
        stride: between windows, pixels.
        padding: zeros on each side, pixels; "valid" for none; "same" (stride 1) keeps H and W, an odd zero behind.
        dilation: pixels between neighbours in a window.
        groups: of channels; divides C and O.

    Returns:
        (N, O, H', W') or (O, H', W') with the sides of `geometry.window_side`.

    Raises:
        RuntimeError: a parameter or a shape is out of range, dtypes differ, or the window does not fit.
        TypeError: a parameter is not a whole number.
    """
    batch, window = convolution_window(input, weight, bias, stride, padding, dilation, groups)
    maps = _product(batch, weight, bias, window, groups)
    return maps[0] if input.dim() == 3 else maps


def _product(batch: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """(N, O, H', W'): for each group the product of its filters (O / groups, C kh kw / groups) and its columns."""
    products = _filters(weight, groups) @ _columns(batch, window, groups)
    maps: Tensor = products.flatten(1, 2).unflatten(2, window.positions(batch.shape[2:]))
    return maps if bias is None else maps + bias[:, None, None]


def _columns(batch: Tensor, window: Window, groups: int) -> Tensor:
    """The unfolded input, (N, groups, C kh kw / groups, L)."""
    columns: Tensor = columns_of(batch, window).unflatten(1, (groups, -1))
    return columns


def _filters(weight: Tensor, groups: int) -> Tensor:
    """The filters as rows, (groups, O / groups, C kh kw / groups)."""
    filters: Tensor = weight.flatten(1).unflatten(0, (groups, -1))
    return filters


def convolution_window(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> tuple[Tensor, Window]:
    """The input as a batch (N, C, H, W) and the window that moves over it; for `conv2d`, which see.

    Padding "same" of an odd number of zeros puts one more behind: the batch then has it already.
    """
    batch = _channels("conv2d", input, weight, bias, groups, weight.shape[:1])
    if batch.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"conv2d: weight {tuple(weight.shape)} with groups={groups} is for {weight.shape[1] * groups} channels, "
            f"the input {tuple(input.shape)} has {batch.shape[1]}"
        )
    kernel, moves, gaps = (weight.shape[2], weight.shape[3]), pair("stride", stride), pair("dilation", dilation)
    if not isinstance(padding, str):
        window = Window(kernel, moves, pair("padding", padding), gaps)
    elif padding == "valid":
        window = Window(kernel, moves, (0, 0), gaps)
    elif padding == "same":
        if moves != (1, 1):
            raise RuntimeError(f"conv2d: padding='same' needs stride 1, not {moves}")
        down, across = (gap * (side - 1) for gap, side in zip(gaps, kernel, strict=True))
        window = Window(kernel, moves, (down // 2, across // 2), gaps)
        batch = padded(batch, (0, 0), (down % 2, across % 2))
    else:
        raise RuntimeError(f"conv2d: padding={padding!r}: give whole numbers, 'valid' or 'same'")
    window.positions(batch.shape[2:])
    return batch, window


def _channels(
    name: str, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, outputs: Sequence[int]
) -> Tensor:
    """Shapes and dtypes checked as far as both convolutions share them; gives (N, C, H, W)."""
    batch = input[None] if input.dim() == 3 else input
    if batch.dim() != 4 or 0 in batch.shape[2:]:
        raise RuntimeError(f"{name}: expected an input (N, C, H, W) or (C, H, W), not {tuple(input.shape)}")
    if weight.dim() != 4 or 0 in weight.shape:
        raise RuntimeError(f"{name}: expected a weight of 4 dimensions, none of them empty, not {tuple(weight.shape)}")
    if not is_whole(groups):
        raise TypeError(f"{name}: groups={groups!r}: give a whole number")
    if groups < 1 or weight.shape[0] % groups:
        raise RuntimeError(f"{name}: groups={groups} must divide the weight's {weight.shape[0]} channels")
    if bias is not None and bias.shape != (math.prod(outputs),):
        raise RuntimeError(f"{name}: expected a bias of ({math.prod(outputs)},), not {tuple(bias.shape)}")
    if len({tensor.dtype for tensor in (input, weight, bias) if tensor is not None}) > 1:
        raise RuntimeError(f"{name}: input, weight and bias must be of one dtype")
    return batch


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Every input pixel paints its kernel: y[o, i s - p + u d, j s - p + v d] += w[c, o, u, v] x[c, i, j], plus b[o].

    It is the gradient of `conv2d` with respect to its input.
    Source: torch.nn.ConvTranspose2d's documentation; Dumoulin and Visin, A guide to convolution arithmetic, 2016.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (C, O / groups, kh, kw).
        bias: (O,) or None.
        stride: between the kernels that neighbours paint, pixels.
        padding: pixels cut off each side of the output.
        output_padding: pixels added behind, less than stride or dilation.
        groups: of channels; divides C.
        dilation: pixels between neighbours in a kernel.

    Returns:
        (N, O, H', W') or (O, H', W') with the sides of `geometry.transposed_side`.

    Raises:
        RuntimeError: a parameter or a shape is out of range, dtypes differ, or nothing is left of the output.
        TypeError: a parameter is not a whole number.
    """
    batch, window, size = transposed_window(input, weight, bias, stride, padding, output_padding, groups, dilation)
    painted = torch.einsum(
        "ngchw,gcouv->ngouvhw", batch.unflatten(1, (groups, -1)), weight.unflatten(0, (groups, -1))
    ).flatten(1, 2)
    maps = overlap_add(painted, window, size)
    if bias is not None:
        maps = maps + bias[:, None, None]
    return maps[0] if input.dim() == 3 else maps


def transposed_window(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> tuple[Tensor, Window, Size]:
    """The input as a batch (N, C, H, W), the window that paints, and the output's (H', W'); for `conv_transpose2d`."""
    batch = _channels("conv_transpose2d", input, weight, bias, groups, (groups, *weight.shape[1:2]))
    if batch.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"conv_transpose2d: weight {tuple(weight.shape)} is for {weight.shape[0]} channels, "
            f"the input {tuple(input.shape)} has {batch.shape[1]}"
        )
    kernel, extra = (weight.shape[2], weight.shape[3]), pair("output_padding", output_padding)
    window = Window(kernel, pair("stride", stride), pair("padding", padding), pair("dilation", dilation))
    at_least(0, output_padding=extra)
    sides = zip(batch.shape[2:], kernel, window.stride, window.padding, window.dilation, extra, strict=True)
    size = []
    for side, cells, move, pad, gap, more in sides:
        if more >= move and more >= gap:
            raise RuntimeError(f"output_padding={extra}: must be less than stride or dilation")
        size.append(transposed_side(side, cells, stride=move, padding=pad, dilation=gap, output_padding=more))
    if min(size) < 1:
        raise RuntimeError(f"conv_transpose2d: nothing is left of an input of {tuple(input.shape)}: {tuple(size)}")
    return batch, window, (size[0], size[1])


class Conv2dFunction(Function):
    """`conv2d` by unfold and matmul, with its backward pass by hand (R3.1): `Conv2dFunction.apply(input, weight, ...)`.

    With X the unfolded input (C kh kw, L), W the weight (O, C kh kw) and G the output's gradient (O, L):
    Y = W X + b; dW = sum over the batch of G X^T; dX = fold(W^T G); db = sum of G over batch and positions.
    Each group is such a product of its own. Arguments, order and errors are those of `conv2d`, the input batched
    (N, C, H, W), padding in whole numbers; `apply` takes no keywords. What needs no gradient gets none.
    Source: Chellapilla et al., High Performance Convolutional Neural Networks for Document Processing, 2006.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Tensor:
        """Give (N, O, H', W')."""
        batch, window = convolution_window(input, weight, bias, stride, padding, dilation, groups)
        if input.dim() != 4 or isinstance(padding, str):
            raise RuntimeError("Conv2dFunction: expected an input (N, C, H, W) and a padding in whole numbers")
        floating("Conv2dFunction", input, weight)
        ctx.save_for_backward(input, weight)
        ctx.window, ctx.groups = window, groups
        return _product(batch, weight, bias, window, groups)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Give the gradients of input, weight and bias from the output's (N, O, H', W')."""
        return _backward(ctx, gradients[0])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    input, weight = ctx.saved_tensors
    window, groups = ctx.window, ctx.groups
    grouped = gradient.flatten(2).unflatten(1, (groups, -1))  # (N, groups, O / groups, L)
    of_input = of_weight = of_bias = None
    if ctx.needs_input_grad[0]:
        columns = (_filters(weight, groups).mT @ grouped).flatten(1, 2)
        moves = (window.kernel, window.dilation, window.padding, window.stride)
        of_input = fold(columns, tuple(input.shape[2:]), *moves)
    if ctx.needs_input_grad[1]:
        columns = _columns(input, window, groups)
        of_weight = (grouped @ columns.mT).sum(0).reshape(weight.shape)
    if ctx.needs_input_grad[2]:
        of_bias = gradient.sum((0, 2, 3))
    return of_input, of_weight, of_bias, None, None, None, None
