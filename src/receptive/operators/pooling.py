"""Max and average pooling, vectorised."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from receptive.operators.geometry import Size, Sizes, Window, as_batch, floating, is_whole, pair
from receptive.operators.windows import cells, first_cells, framed


def pooling_window(kernel_size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes = 1) -> Window:
    """The window of a pooling: its stride is the kernel's size unless given, its padding at most half of it.

    Raises:
        RuntimeError: a parameter is out of range.
        TypeError: one is not a whole number.
    """
    kernel = pair("kernel_size", kernel_size)
    given = kernel if stride is None or stride in ((), []) else pair("stride", stride)
    window = Window(kernel, given, pair("padding", padding), pair("dilation", dilation))
    if any(2 * pad > side for pad, side in zip(window.padding, kernel, strict=True)):
        raise RuntimeError(f"padding={window.padding}: must be at most half of kernel_size={kernel}")
    return window


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest value in each window: y[i, j] = max over u, v of x[i s - p + u d, j s - p + v d].

    Beyond the input lies minus infinity. Of equal values the first in row order is taken, of several NaN the last:
    its place gets the gradient. A dilated window may miss the input altogether: it gives minus infinity and no
    gradient, and PyTorch's index, which lies beyond the plane.
    Source: torch.nn.MaxPool2d's documentation; aten/src/ATen/native/cpu/MaxPoolKernel.cpp for ties.

    Args:
        input: (N, C, H, W) or (C, H, W), floating-point.
        kernel_size: of the window, pixels.
        stride: between windows, pixels; None for kernel_size.
        padding: on each side, 0 to half of kernel_size.
        dilation: pixels between neighbours in a window.
        ceil_mode: round the output's size up instead of down.
        return_indices: give the places too.

    Returns:
        (N, C, H', W') or (C, H', W') with the sides of `geometry.window_side`; with `return_indices` also the
        place of each in its flattened plane, row * W + column, int64.

    Raises:
        RuntimeError: a parameter is out of range, or the window does not fit.
        TypeError: a parameter is not a whole number.
        NotImplementedError: the input is of integers.
    """
    window = pooling_window(kernel_size, stride, padding, dilation)
    floating("max_pool2d", input)
    batch = as_batch("max_pool2d", input)
    height, width = batch.shape[2:]
    positions = window.positions((height, width), ceil_mode=ceil_mode)
    index = _index_of_largest(batch.detach(), window, positions)
    # A window beside the input has its index beyond the plane: nothing to take there.
    rows, columns = first_cells(window, positions, input.device)
    beside = (rows >= height) | (columns >= width)
    inside = index.masked_fill(beside, 0)
    values = batch.flatten(2).gather(2, inside.flatten(2)).view(index.shape).masked_fill(beside, -math.inf)
    if input.dim() == 3:
        values, index = values[0], index[0]
    return (values, index) if return_indices else values


def _index_of_largest(batch: Tensor, window: Window, positions: Size) -> Tensor:
    """Place of the largest value of each window, (N, C, *positions): all windows at once, cell by cell."""
    plane = framed(batch, window, positions, -math.inf)
    width = batch.shape[3]
    rows, columns = first_cells(window, positions, batch.device)
    best = batch.new_full((*batch.shape[:2], *positions), -math.inf)
    index = (rows * width + columns).expand(best.shape)
    top = torch.arange(positions[0], device=batch.device)[:, None] * window.stride[0] - window.padding[0]
    left = torch.arange(positions[1], device=batch.device)[None, :] * window.stride[1] - window.padding[1]
    for u, v, down, across in cells(window, positions):
        value = plane[:, :, down, across]
        better = (value > best) | value.isnan()
        best = torch.where(better, value, best)
        index = torch.where(better, (top + u * window.dilation[0]) * width + left + v * window.dilation[1], index)
    return index


def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window: y[i, j] = 1 / D[i, j] * sum over u, v of x[i s - p + u, j s - p + v].

    Beyond the input lie zeros. D counts the window's cells on input and padding (`count_include_pad`), on the input
    alone, or is `divisor_override`; what `ceil_mode` lets hang over the padding never counts.
    Source: torch.nn.AvgPool2d's documentation; aten/src/ATen/native/cpu/AvgPoolKernel.cpp for D.

    Args:
        input: (N, C, H, W) or (C, H, W), floating-point.
        kernel_size: of the window, pixels.
        stride: between windows, pixels; None for kernel_size.
        padding: on each side, 0 to half of kernel_size.
        ceil_mode: round the output's size up instead of down.
        count_include_pad: whether padding counts in D.
        divisor_override: D itself, not 0.

    Returns:
        (N, C, H', W') or (C, H', W') with the sides of `geometry.window_side`.

    Raises:
        RuntimeError: a parameter is out of range, or the window does not fit.
        TypeError: a parameter is not a whole number.
        NotImplementedError: the input is of integers.
    """
    window = pooling_window(kernel_size, stride, padding)
    floating("avg_pool2d", input)
    batch = as_batch("avg_pool2d", input)
    positions = window.positions(batch.shape[2:], ceil_mode=ceil_mode)
    plane = framed(batch, window, positions)
    total = torch.stack([plane[:, :, down, across] for _, _, down, across in cells(window, positions)]).sum(0)
    divisors = divisor_sides(window, positions, (batch.shape[2], batch.shape[3]), count_include_pad, divisor_override)
    rows, columns = (torch.tensor(side, dtype=input.dtype, device=input.device) for side in divisors)
    means = total / (rows[:, None] * columns)
    return means[0] if input.dim() == 3 else means


def divisor_sides(
    window: Window, positions: Size, size: Size, count_include_pad: bool, divisor_override: int | None
) -> tuple[list[int], list[int]]:
    """The divisor of position (i, j) as a factor of each row i and one of each column j.

    Raises:
        RuntimeError: `divisor_override` is 0.
        TypeError: it is not a whole number.
    """
    if divisor_override is not None:
        if not is_whole(divisor_override):
            raise TypeError(f"divisor_override={divisor_override!r}: give a whole number")
        if divisor_override == 0:
            raise RuntimeError("divisor_override=0: must not be zero")
        return [divisor_override] * positions[0], [1] * positions[1]
    sides = []
    for side in (0, 1):
        kernel, stride, padding = window.kernel[side], window.stride[side], window.padding[side]
        starts = [position * stride - padding for position in range(positions[side])]
        least, most = (-padding, size[side] + padding) if count_include_pad else (0, size[side])
        sides.append([min(start + kernel, most) - max(start, least) for start in starts])
    return sides[0], sides[1]
