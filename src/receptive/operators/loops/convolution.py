"""Convolution and transposed convolution by loops."""

from __future__ import annotations

from torch import Tensor

from receptive.operators.convolution import convolution_window, transposed_window
from receptive.operators.geometry import Sizes
from receptive.operators.loops.numbers import as_tensor, inside


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """As `receptive.operators.conv2d`."""
    batch, window = convolution_window(input, weight, bias, stride, padding, dilation, groups)
    height, width = batch.shape[2:]
    rows, columns = window.positions((height, width))
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.padding, window.dilation
    outputs, channels = weight.shape[:2]
    filters = weight.tolist()
    constants = [0.0] * outputs if bias is None else bias.tolist()
    sums = []
    for image in batch.tolist():
        for o in range(outputs):
            first = o // (outputs // groups) * channels  # of the input channels of this group
            for i in range(rows):
                for j in range(columns):
                    total = constants[o]
                    for c in range(channels):
                        for u in range(kh):
                            for v in range(kw):
                                row, column = i * sh - ph + u * dh, j * sw - pw + v * dw
                                if inside(row, column, height, width):
                                    total += filters[o][c][u][v] * image[first + c][row][column]
                    sums.append(total)
    return as_tensor(sums, (*input.shape[:-3], outputs, rows, columns), input)


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
    """As `receptive.operators.conv_transpose2d`."""
    batch, window, (rows, columns) = transposed_window(
        input, weight, bias, stride, padding, output_padding, groups, dilation
    )
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.padding, window.dilation
    channels, of_group = weight.shape[:2]
    filters = weight.tolist()
    constants = [0.0] * (of_group * groups) if bias is None else bias.tolist()
    canvases = []
    for image in batch.tolist():
        canvas = [[[constant] * columns for _ in range(rows)] for constant in constants]
        for c in range(channels):
            first = c // (channels // groups) * of_group  # of the output channels of this group
            for o in range(of_group):
                for i, line in enumerate(image[c]):
                    for j, value in enumerate(line):
                        for u in range(kh):
                            for v in range(kw):
                                row, column = i * sh - ph + u * dh, j * sw - pw + v * dw
                                if inside(row, column, rows, columns):
                                    canvas[first + o][row][column] += filters[c][o][u][v] * value
        canvases.append(canvas)
    numbers = [number for canvas in canvases for plane in canvas for line in plane for number in line]
    return as_tensor(numbers, (*input.shape[:-3], of_group * groups, rows, columns), input)
