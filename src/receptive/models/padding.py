"""Images whose sides a net cannot halve often enough: padded for it, its output cropped back."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def padded_to_multiple(net: Callable[[Tensor], Tensor], images: Tensor, multiple: int) -> Tensor:
    """Apply a net that keeps the size of images whose sides `multiple` divides to images of any size.

    The border's pixels are repeated, below and on the right; a size that fits already is left alone.

    Args:
        net: from (B, C, H, W) to (B, D, H, W).
        images: (B, C, H, W).
        multiple: divides the sides that the net takes.

    Returns:
        (B, D, H, W) of the images' own size.
    """
    height, width = images.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return net(images)
    return net(F.pad(images, (0, right, 0, below), mode="replicate"))[..., :height, :width]
