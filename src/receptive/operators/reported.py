"""Report R2's two wrong operators, kept as specimens: what is shown of them is how far they are off.

Written from what is known of the report's code and output, not copied: of its roi_pool, that it does not agree with
torchvision's where bins overlap; of its batch_norm, the sign of eps and the one sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from receptive.operators.geometry import Size
from receptive.operators.regions import rounded


def disjoint_bins(width: int, count: int) -> list[Size]:
    """Bins [floor(k width / count), floor((k + 1) width / count)): 8 pixels in 3 bins give [0, 2), [2, 5), [5, 8)."""
    return [(k * width // count, (k + 1) * width // count) for k in range(count)]


def roi_pool(input: Tensor, boxes: Tensor, output_size: Size) -> Tensor:
    """R2.8's fault: bins that share no pixel, where Fast R-CNN's end at the ceiling and so overlap.

    Args:
        input: (N, C, H, W).
        boxes: (K, 5) within the images.
        output_size: bins (rows, columns), at most as many as a box has pixels.

    Returns:
        (K, C, rows, columns).
    """
    pooled = input.new_zeros((len(boxes), input.shape[1], *output_size))
    for k, box in enumerate(boxes):
        image, left, top, right, bottom = (int(number) for number in rounded(box))
        plane = input[image, :, top : bottom + 1, left : right + 1]
        for i, (first, last) in enumerate(disjoint_bins(bottom - top + 1, output_size[0])):
            for j, (start, end) in enumerate(disjoint_bins(right - left + 1, output_size[1])):
                pooled[k, :, i, j] = plane[:, first:last, start:end].amax((1, 2))
    return pooled


def batch_norm(input: Tensor, running_mean: Tensor, running_var: Tensor, eps: float = 1e-5) -> Tensor:
    """R2.9's faults, in evaluation: eps taken from the variance instead of added, and sample 0 alone filled in.

    Args:
        input: (N, C, H, W).
        running_mean: (C,).
        running_var: (C,), above eps.
        eps: as in `receptive.operators.batch_norm`.

    Returns:
        (N, C, H, W), zeros from sample 1 on.
    """
    output = torch.zeros_like(input)
    scale = (running_var - eps).sqrt()
    output[0] = (input[0] - running_mean[:, None, None]) / scale[:, None, None]
    return output
