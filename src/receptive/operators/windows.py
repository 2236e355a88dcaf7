"""What the vectorised operators share: padding, windows as a view, and their inverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from receptive.operators.geometry import Size, Window


def padded(input: Tensor, before: Size, after: Size, value: float = 0.0) -> Tensor:
    """(N, C, H, W) with `before` rows and columns of `value` in front and `after` behind."""
    n, c, height, width = input.shape
    (top, left), (bottom, right) = before, after
    plane = input.new_full((n, c, top + height + bottom, left + width + right), value)
    plane[:, :, top : top + height, left : left + width] = input
    return plane


def framed(input: Tensor, window: Window, positions: Size, value: float = 0.0) -> Tensor:
    """(N, C, H, W) padded as `window` asks for, and behind as far as its last position reaches."""
    reach = _reach(window, positions)
    behind = [
        max(reached - size - padding, 0)
        for reached, size, padding in zip(reach, input.shape[2:], window.padding, strict=True)
    ]
    return padded(input, window.padding, (behind[0], behind[1]), value)


def windows(input: Tensor, window: Window) -> Tensor:
    """All windows on (N, C, H, W), zeros beyond it, as a view (N, C, rows, columns, kernel rows, kernel columns)."""
    plane = framed(input, window, window.positions(input.shape[2:]))
    (sh, sw), (dh, dw), (span_h, span_w) = window.stride, window.dilation, window.span
    return plane.unfold(2, span_h, sh).unfold(3, span_w, sw)[..., ::dh, ::dw]


def cells(window: Window, positions: Size) -> Iterator[tuple[int, int, slice, slice]]:
    """Each kernel cell (u, v) with the rows and columns of the padded plane where its positions lie."""
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    rows, columns = positions
    for u in range(kh):
        for v in range(kw):
            down = slice(u * dh, u * dh + (rows - 1) * sh + 1, sh)
            across = slice(v * dw, v * dw + (columns - 1) * sw + 1, sw)
            yield u, v, down, across


def overlap_add(patches: Tensor, window: Window, size: Sequence[int]) -> Tensor:
    """The inverse of `windows` for gradients: patches are added where they came from.

    Args:
        patches: (N, C, kernel rows, kernel columns, rows, columns).
        window: as it moved.
        size: (H, W) of the plane without padding.

    Returns:
        (N, C, H, W), what fell on the padding left out.
    """
    (n, c), (rows, columns) = patches.shape[:2], patches.shape[-2:]
    (height, width), (top, left) = size, window.padding
    reach = _reach(window, (rows, columns))
    plane = patches.new_zeros((n, c, max(reach[0], top + height), max(reach[1], left + width)))
    for u, v, down, across in cells(window, (rows, columns)):
        plane[:, :, down, across] += patches[:, :, u, v]
    return plane[:, :, top : top + height, left : left + width]


def _reach(window: Window, positions: Size) -> Size:
    """Rows and columns of the padded plane up to the last window's end."""
    rows, columns = (
        (count - 1) * stride + span for count, stride, span in zip(positions, window.stride, window.span, strict=True)
    )
    return rows, columns


def first_cells(window: Window, positions: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row (rows, 1) and column (1, columns) of each window's first cell that is not on the padding in front."""
    starts = []
    for side in (0, 1):
        stride, padding, dilation = window.stride[side], window.padding[side], window.dilation[side]
        start = torch.arange(positions[side], device=device) * stride - padding
        skipped = (-start).clamp(min=0).add(dilation - 1).div(dilation, rounding_mode="floor")
        starts.append(start + skipped * dilation)
    return starts[0][:, None], starts[1][None, :]
