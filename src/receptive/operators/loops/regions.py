"""Pooling of regions of interest by loops."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from receptive.operators.geometry import Sizes
from receptive.operators.loops.numbers import as_tensor
from receptive.operators.regions import LOWEST, bin_edges, bins, boxes_of_images


def roi_pool(input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: Sizes, spatial_scale: float = 1.0) -> Tensor:
    """As `receptive.operators.roi_pool`."""
    listed, (rows, columns) = boxes_of_images(input, boxes), bins(output_size)
    down, across = bin_edges(listed, (rows, columns), (input.shape[2], input.shape[3]), spatial_scale)
    (top, bottom), (left, right) = ([edge.tolist() for edge in edges] for edges in (down, across))
    batch, pooled = input.tolist(), []
    for k, number in enumerate(listed[:, 0].long().tolist()):
        for plane in batch[number]:
            for i in range(rows):
                for j in range(columns):
                    empty = bottom[k][i] <= top[k][i] or right[k][j] <= left[k][j]
                    largest = 0.0 if empty else LOWEST
                    for row in range(top[k][i], bottom[k][i]):
                        for column in range(left[k][j], right[k][j]):
                            largest = max(largest, plane[row][column])
                    pooled.append(largest)
    return as_tensor(pooled, (len(listed), input.shape[1], rows, columns), input)
