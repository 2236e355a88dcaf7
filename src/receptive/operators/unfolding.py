"""unfold and fold (im2col and col2im), vectorised."""

from __future__ import annotations

from torch import Tensor

from receptive.operators.geometry import Size, Sizes, Window, as_batch, at_least, floating, pair
from receptive.operators.windows import overlap_add, windows


def unfolding_window(kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Window:
    """The window of unfold and fold; each parameter a whole number or two.

    Raises:
        RuntimeError: a parameter is out of range.
        TypeError: one is not a whole number.
    """
    names = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    kernel, moves, pads, gaps = (pair(name, value, single=False) for name, value in names.items())
    return Window(kernel, moves, pads, gaps)


def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """Every window as a column: Y[c kh kw + u kw + v, i W' + j] = x[c, i s - p + u d, j s - p + v d].

    A convolution is then one product of matrices: weight (O, C kh kw) @ Y.
    Source: torch.nn.Unfold's documentation; Chellapilla et al., High Performance Convolutional Neural Networks for
    Document Processing, 2006.

    Args:
        input: (N, C, H, W) or (C, H, W), floating-point.
        kernel_size: of the window, pixels.
        dilation: pixels between neighbours in a window.
        padding: zeros on each side, pixels.
        stride: between windows, pixels.

    Returns:
        (N, C kh kw, L) or (C kh kw, L), L = H' W' positions in row order.

    Raises:
        RuntimeError: a parameter is out of range, or the window does not fit.
        TypeError: a parameter is not a whole number.
        NotImplementedError: the input is of integers.
    """
    window = unfolding_window(kernel_size, dilation, padding, stride)
    floating("unfold", input)
    batch = as_batch("unfold", input)
    columns = columns_of(batch, window)
    return columns[0] if input.dim() == 3 else columns


def columns_of(batch: Tensor, window: Window) -> Tensor:
    """All windows on (N, C, H, W) as columns (N, C kh kw, L)."""
    return windows(batch, window).permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Columns added up where unfold took them from: the transpose of unfold, so its gradient, not its inverse.

    x[c, y, z] = sum of Y[c kh kw + u kw + v, i W' + j] over all u, v, i, j with y = i s - p + u d, z = j s - p + v d.
    Source: torch.nn.Fold's documentation.

    Args:
        input: (N, C kh kw, L) or (C kh kw, L), floating-point.
        output_size: (H, W) of the plane.
        kernel_size: of the window, pixels.
        dilation: pixels between neighbours in a window.
        padding: of the plane when it was unfolded; what lies there is dropped.
        stride: between windows, pixels.

    Returns:
        (N, C, H, W) or (C, H, W).

    Raises:
        RuntimeError: a parameter is out of range, or the input's sizes are not those of such an unfold.
        TypeError: a parameter is not a whole number.
        NotImplementedError: the input is of integers.
    """
    window = unfolding_window(kernel_size, dilation, padding, stride)
    floating("fold", input)
    columns = as_batch("fold", input, dimensions=3)
    size = pair("output_size", output_size, single=False)
    rows, across = folding_positions(columns, size, window)
    planes = overlap_add(columns.unflatten(2, (rows, across)).unflatten(1, (-1, *window.kernel)), window, size)
    return planes[0] if input.dim() == 2 else planes


def folding_positions(columns: Tensor, size: Size, window: Window) -> Size:
    """Rows and columns of windows in `columns` (N, C kh kw, L).

    Raises:
        RuntimeError: the sizes are not those of an unfold of a plane of `size`.
    """
    at_least(1, output_size=size)
    kh, kw = window.kernel
    if columns.shape[1] % (kh * kw):
        raise RuntimeError(f"fold: {columns.shape[1]} rows are no multiple of a window's {kh} * {kw} cells")
    rows, across = window.positions(size)
    if columns.shape[2] != rows * across:
        raise RuntimeError(
            f"fold: a plane of {size} has {rows} * {across} = {rows * across} windows, the input {columns.shape[2]}"
        )
    return rows, across
