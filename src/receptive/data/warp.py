"""Moving the pixels of a batch of images, each by an affine map of its own."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["bilinear", "nearest"]
Row = tuple[Tensor, Tensor, Tensor]


def warp(
    images: Tensor, masks: Tensor | None, row_x: Row, row_y: Row, interpolation: Interpolation, fill: float
) -> tuple[Tensor, Tensor | None]:
    """Sample each output pixel from the place that its image's affine map sends it to.

    Args:
        images: (B, C, H, W) float; may be overwritten.
        masks: (B, H, W) integer labels, sampled to the nearest with label 0 outside.
        row_x: coefficients (B,) of (x, y, 1) that give the source's x; all in pixels from the image's centre.
        row_y: the same for the source's y.
        interpolation: bilinear, or nearest.
        fill: intensity outside of the image; bilinear sampling blends it in at the border.
    """
    height, width = images.shape[-2:]
    x, y = _centred(width, images.device), _centred(height, images.device)
    # grid_sample counts both axes from -1 to 1
    maps = torch.stack([torch.stack(row_x, 1) * (2 / width), torch.stack(row_y, 1) * (2 / height)], dim=1)
    along_x = maps[:, :, 0:1] * x
    along_y = maps[:, :, 1:2] * y + maps[:, :, 2:3]
    # three times faster than affine_grid, and the bits of an image do not depend on its batch
    grid = (along_x.unsqueeze(2) + along_y.unsqueeze(3)).permute(0, 2, 3, 1)
    # outside counts as 0: with the fill as zero point it blends in as if the image went on in that colour
    images = images.sub_(fill) if fill else images
    images = F.grid_sample(images, grid, interpolation, "zeros", align_corners=False)
    images = images.add_(fill) if fill else images
    if masks is not None:
        moved = F.grid_sample(masks.unsqueeze(1).float(), grid, "nearest", "zeros", align_corners=False)
        masks = moved.squeeze(1).to(masks.dtype)
    return images, masks


def _centred(side: int, device: torch.device) -> Tensor:
    """The pixels' coordinates from the centre of a side: (side,)."""
    return torch.arange(side, device=device) - (side - 1) / 2
