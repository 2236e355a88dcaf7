"""Sliding windows: their parameters, checked, and how many positions they have.

The output-size formulas are those of PyTorch's documentation (torch.nn.Conv2d, MaxPool2d, ConvTranspose2d); a side
is rows or columns, and every pair is (rows, columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

Size = tuple[int, int]
Sizes = int | Sequence[int]


def window_side(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Positions of a window along one side: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    With `ceil_mode` it rounds up, but the last window has to start inside the input or its left padding. May be
    less than 1: then the window does not fit.
    """
    free = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return free // stride + 1
    positions = -(-free // stride) + 1
    return positions - 1 if (positions - 1) * stride >= size + padding else positions


def transposed_side(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0
) -> int:
    """Side of a transposed convolution: (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.

    It inverts `window_side`: all sizes that a convolution maps to `size` differ by less than its stride, and
    `output_padding` chooses among them.
    """
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


def is_whole(value: object) -> bool:
    """Whether a parameter is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def pair(name: str, value: Sizes, *, single: bool = True) -> Size:
    """A parameter as (rows, columns): from a whole number, two of them, or, if `single`, a sequence of one.

    Raises:
        TypeError: it is not made of whole numbers.
        RuntimeError: it has another length.
    """
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if not all(is_whole(number) for number in numbers):
        raise TypeError(f"{name}={value!r}: give a whole number or two")
    if len(numbers) == 1 and single:
        return numbers[0], numbers[0]
    if len(numbers) != 2:
        raise RuntimeError(f"{name}={value!r}: give a whole number or two, not {len(numbers)}")
    return numbers[0], numbers[1]


def at_least(least: int, **parameters: Size) -> None:
    """Hold parameters against a lower bound.

    Raises:
        RuntimeError: one is smaller.
    """
    for name, (rows, columns) in parameters.items():
        if rows < least or columns < least:
            raise RuntimeError(f"{name}={(rows, columns)}: must be at least {least}")


@dataclass(frozen=True)
class Window:
    """A kernel that moves over a plane; each of its parameters as (rows, columns).

    Position (i, j) and kernel cell (u, v) meet at row i stride - padding + u dilation, columns alike.

    Raises:
        RuntimeError: kernel, stride or dilation is below 1, or padding is negative.
    """

    kernel: Size
    stride: Size = (1, 1)
    padding: Size = (0, 0)
    dilation: Size = (1, 1)

    def __post_init__(self) -> None:
        at_least(1, kernel_size=self.kernel, stride=self.stride, dilation=self.dilation)
        at_least(0, padding=self.padding)

    @property
    def span(self) -> Size:
        """Rows and columns from the kernel's first cell to its last, both counted."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def positions(self, size: Sequence[int], *, ceil_mode: bool = False) -> Size:
        """How many positions the window has on a plane of `size` = (rows, columns).

        Raises:
            RuntimeError: it does not fit.
        """
        rows, columns = (
            window_side(side, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
            for side, kernel, stride, padding, dilation in zip(
                size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        if rows < 1 or columns < 1:
            raise RuntimeError(
                f"a window of {self.span} (kernel_size {self.kernel}, dilation {self.dilation}) does not fit on an "
                f"input of {tuple(size)} with padding {self.padding}: the output would be {(rows, columns)}"
            )
        return rows, columns


def as_batch(name: str, input: Tensor, dimensions: int = 4) -> Tensor:
    """`input` with its batch dimension: as it is, or one in front.

    Raises:
        RuntimeError: it has neither `dimensions` dimensions nor one fewer, or an empty one other than the batch.
    """
    batch = input[None] if input.dim() == dimensions - 1 else input
    if batch.dim() != dimensions or 0 in batch.shape[1:]:
        raise RuntimeError(
            f"{name}: expected a tensor of {dimensions - 1} or {dimensions} dimensions, none of them empty but the "
            f"batch, and not one of {tuple(input.shape)}"
        )
    return batch


def floating(name: str, *tensors: Tensor | None) -> None:
    """Hold tensors against what is differentiable: all floating-point, all of one dtype; None is passed over.

    Raises:
        NotImplementedError: one is of integers.
        RuntimeError: two differ.
    """
    dtypes = [tensor.dtype for tensor in tensors if tensor is not None]
    for dtype in dtypes:
        if not dtype.is_floating_point:
            raise NotImplementedError(f"{name} is not implemented for {dtype}")
        if dtype != dtypes[0]:
            raise RuntimeError(f"{name}: expected tensors of one dtype, not of {dtypes[0]} and {dtype}")
