"""Max and average pooling by loops."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from receptive.operators.geometry import Sizes, as_batch, floating
from receptive.operators.loops.numbers import as_tensor, inside
from receptive.operators.pooling import divisor_sides, pooling_window


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """As `receptive.operators.max_pool2d`."""
    window = pooling_window(kernel_size, stride, padding, dilation)
    floating("max_pool2d", input)
    batch = as_batch("max_pool2d", input)
    height, width = batch.shape[2:]
    rows, columns = window.positions((height, width), ceil_mode=ceil_mode)
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.padding, window.dilation
    values, indices = [], []
    for image in batch.tolist():
        for plane in image:
            for i in range(rows):
                for j in range(columns):
                    largest, place = -math.inf, None
                    for u in range(kh):
                        for v in range(kw):
                            row, column = i * sh - ph + u * dh, j * sw - pw + v * dw
                            if row < 0 or column < 0:
                                continue
                            if place is None:  # the first cell, though all be minus infinity
                                place = row * width + column
                            if inside(row, column, height, width):
                                value = plane[row][column]
                                if value > largest or math.isnan(value):
                                    largest, place = value, row * width + column
                    values.append(largest)
                    indices.append(place)
    shape = (*input.shape[:-2], rows, columns)
    pooled = as_tensor(values, shape, input)
    return (
        (pooled, torch.tensor(indices, dtype=torch.int64, device=input.device).reshape(shape))
        if return_indices
        else pooled
    )


def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As `receptive.operators.avg_pool2d`."""
    window = pooling_window(kernel_size, stride, padding)
    floating("avg_pool2d", input)
    batch = as_batch("avg_pool2d", input)
    height, width = batch.shape[2:]
    rows, columns = window.positions((height, width), ceil_mode=ceil_mode)
    (kh, kw), (sh, sw), (ph, pw) = window.kernel, window.stride, window.padding
    down, across = divisor_sides(window, (rows, columns), (height, width), count_include_pad, divisor_override)
    means = []
    for image in batch.tolist():
        for plane in image:
            for i in range(rows):
                for j in range(columns):
                    total = 0.0
                    for u in range(kh):
                        for v in range(kw):
                            row, column = i * sh - ph + u, j * sw - pw + v
                            if inside(row, column, height, width):
                                total += plane[row][column]
                    means.append(total / (down[i] * across[j]))
    return as_tensor(means, (*input.shape[:-2], rows, columns), input)
