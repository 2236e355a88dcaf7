"""unfold and fold by loops."""

from __future__ import annotations

from torch import Tensor

from receptive.operators.geometry import Sizes, as_batch, floating, pair
from receptive.operators.loops.numbers import as_tensor, inside
from receptive.operators.unfolding import folding_positions, unfolding_window


def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """As `receptive.operators.unfold`."""
    window = unfolding_window(kernel_size, dilation, padding, stride)
    floating("unfold", input)
    batch = as_batch("unfold", input)
    channels, height, width = batch.shape[1:]
    rows, columns = window.positions((height, width))
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.padding, window.dilation
    numbers = []
    for image in batch.tolist():
        for plane in image:
            for u in range(kh):
                for v in range(kw):
                    for i in range(rows):
                        for j in range(columns):
                            row, column = i * sh - ph + u * dh, j * sw - pw + v * dw
                            numbers.append(plane[row][column] if inside(row, column, height, width) else 0.0)
    return as_tensor(numbers, (*input.shape[:-3], channels * kh * kw, rows * columns), input)


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """As `receptive.operators.fold`."""
    window = unfolding_window(kernel_size, dilation, padding, stride)
    floating("fold", input)
    batch = as_batch("fold", input, dimensions=3)
    height, width = pair("output_size", output_size, single=False)
    rows, columns = folding_positions(batch, (height, width), window)
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.padding, window.dilation
    channels = batch.shape[1] // (kh * kw)
    numbers = []
    for patches in batch.tolist():
        for c in range(channels):
            plane = [[0.0] * width for _ in range(height)]
            for u in range(kh):
                for v in range(kw):
                    for i in range(rows):
                        for j in range(columns):
                            row, column = i * sh - ph + u * dh, j * sw - pw + v * dw
                            if inside(row, column, height, width):
                                plane[row][column] += patches[(c * kh + u) * kw + v][i * columns + j]
            numbers += [number for line in plane for number in line]
    return as_tensor(numbers, (*input.shape[:-2], channels, height, width), input)
