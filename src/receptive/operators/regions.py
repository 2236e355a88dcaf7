"""Pooling of regions of interest, vectorised over boxes, channels and bins."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from receptive.operators.geometry import Size, Sizes, floating, pair

LOWEST = -torch.finfo(torch.float32).max  # what torchvision starts a bin's maximum from, in float64 too


def roi_pool(input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: Sizes, spatial_scale: float = 1.0) -> Tensor:
    """The largest value in each bin of each box (Fast R-CNN's pooling of regions of interest).

    A box's corners, times `spatial_scale`, are rounded to pixels (halves away from zero); it holds both corners, so
    it is last - first + 1 pixels wide, and at least 1. Bin k of n on a side of m pixels is
    [floor(k m / n), ceil((k + 1) m / n)), cut to the image: bins may overlap (m = 8, n = 3: [0, 3), [2, 6), [5, 8)).
    A bin outside the image gives 0. Of equal values the first in row order gets the gradient; NaN is passed over,
    and a bin of nothing else gives the lowest float32 value, as does one of minus infinity.
    Source: Girshick, Fast R-CNN, 2015; torchvision.ops.roi_pool and its csrc/ops/cpu/roi_pool_kernel.cpp.

    Args:
        input: (N, C, H, W), floating-point.
        boxes: (K, 5) of (image, x1, y1, x2, y2), or for each image in turn (L, 4) of (x1, y1, x2, y2).
        output_size: bins a side, (rows, columns).
        spatial_scale: pixels of the input per unit of the boxes.

    Returns:
        (K, C, rows, columns).

    Raises:
        AssertionError: boxes are not (K, 5), or not tensors of (L, 4).
        RuntimeError: the input is not of 4 dimensions, dtypes differ, or output_size is negative.
        IndexError: a box names an image that is not there (torchvision reads beyond the memory).
    """
    listed, (rows, columns) = boxes_of_images(input, boxes), bins(output_size)
    (top, bottom), (left, right) = bin_edges(listed, (rows, columns), (input.shape[2], input.shape[3]), spatial_scale)
    down, in_rows = _members(top, bottom, input.shape[2])
    across, in_columns = _members(left, right, input.shape[3])
    inside = in_rows[:, :, :, None, None] & in_columns[:, None, None, :, :]  # (K, rows, tall, columns, wide)
    image = listed[:, 0].long()[:, None, None, None, None]
    values = input.detach()[image, :, down[:, :, :, None, None], across[:, None, None, :, :]]
    counts = inside[..., None] & (values > LOWEST)
    # (K, rows, tall, columns, wide, C) -> (K, C, rows, columns, tall * wide)
    candidates = values.where(counts, values.new_tensor(-torch.inf)).permute(0, 5, 1, 3, 2, 4).flatten(4)
    place = candidates.argmax(4, keepdim=True)  # of equal values the first
    found = candidates.gather(4, place)[..., 0] > -torch.inf
    tall, wide = place[..., 0] // across.shape[2], place[..., 0] % across.shape[2]
    row = down[:, None, :, None, :].expand(*tall.shape, -1).gather(4, tall[..., None])[..., 0]
    column = across[:, None, None, :, :].expand(*wide.shape, -1).gather(4, wide[..., None])[..., 0]
    channel = torch.arange(input.shape[1], device=input.device)[:, None, None]
    pooled = input[image[..., 0], channel, row, column]
    outside = ~inside.any(4).any(2)[:, None]
    return pooled.masked_fill(~found, LOWEST).masked_fill(outside, 0.0)


def boxes_of_images(input: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
    """Boxes as (K, 5) of (image, x1, y1, x2, y2), checked as `roi_pool` says."""
    if isinstance(boxes, list | tuple):
        if not all(part.shape[1] == 4 for part in boxes):
            raise AssertionError("roi_pool: every tensor in the list of boxes must be (L, 4)")
        images = [torch.full_like(part[:, :1], number) for number, part in enumerate(boxes)]
        listed = torch.cat([torch.cat(images), torch.cat(list(boxes))], dim=1)
    elif isinstance(boxes, Tensor) and boxes.shape[1] == 5:
        listed = boxes
    else:
        raise AssertionError("roi_pool: boxes must be a tensor (K, 5) or a list of tensors (L, 4)")
    if input.dim() != 4:
        raise RuntimeError(f"roi_pool: expected an input (N, C, H, W), not {tuple(input.shape)}")
    if listed.dtype != input.dtype:
        raise RuntimeError(f"roi_pool: input ({input.dtype}) and boxes ({listed.dtype}) must be of one dtype")
    floating("roi_pool", input)
    images_named = listed[:, 0].long()
    if bool(((images_named < 0) | (images_named >= input.shape[0])).any()):
        raise IndexError(f"roi_pool: a box names an image beyond the input's {input.shape[0]}")
    return listed.detach()


def bins(output_size: Sizes) -> Size:
    """Rows and columns of bins.

    Raises:
        RuntimeError: one is negative.
    """
    rows, columns = pair("output_size", output_size, single=False)
    if rows < 0 or columns < 0:
        raise RuntimeError(f"roi_pool: output_size={(rows, columns)} must not be negative")
    return rows, columns


def bin_edges(
    boxes: Tensor, counts: Size, size: Size, spatial_scale: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """First row and the one after the last of every bin, (K, rows) each; then the columns', (K, columns) each."""
    corners = rounded(boxes[:, 1:] * spatial_scale)
    edges = []
    for side in (0, 1):
        first, last = corners[:, 1 - side, None], corners[:, 3 - side, None]
        width = (last - first + 1).clamp(min=1) / counts[side]
        number = torch.arange(counts[side], dtype=boxes.dtype, device=boxes.device)
        start = (number * width).floor() + first
        end = ((number + 1) * width).ceil() + first
        edges.append((start.clamp(0, size[side]).long(), end.clamp(0, size[side]).long()))
    return edges[0], edges[1]


def rounded(numbers: Tensor) -> Tensor:
    """The nearest whole numbers, halves away from zero as C's round (torch.round goes to the even one)."""
    whole = numbers.trunc()
    return whole + torch.where((numbers - whole).abs() >= 0.5, numbers.sign(), torch.zeros_like(numbers))


def _members(start: Tensor, end: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pixels of the bins [start, end), (K, bins, largest bin), cut to `size`, and which of them are members."""
    most = max(int((end - start).max()) if start.numel() else 0, 1)
    pixels = start[:, :, None] + torch.arange(most, device=start.device)
    return pixels.clamp(max=size - 1), pixels < end[:, :, None]
