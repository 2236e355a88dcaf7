"""From a gathered uint8 batch to the model's input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from receptive.data.augment import Augmentation, draw_table


class BatchTransform:
    """Scales to [0, 1], augments each image by its own draws, normalises.

    The draws of an epoch are one table with a row for every image of the split, made from (seed, epoch): an
    image is augmented alike in whatever order, batch size, process or resumed run it comes. Without
    augmentation the result equals torchvision's `ToTensor` and `Normalize` bit for bit.

    Args:
        size: number of images in the split, rows of the table.
        augmentations: applied in this order.
        mean: subtracted from each channel; None: images stay in [0, 1].
        std: divides each channel; given with `mean`.
        seed: seed of the draws.
        channels_last: lay the batch out in torch.channels_last.
    """

    def __init__(
        self,
        size: int,
        augmentations: Sequence[Augmentation] = (),
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        seed: int = 0,
        channels_last: bool = True,
    ) -> None:
        self.size = size
        self.augmentations = tuple(augmentations)
        # (2, C, 1, 1): mean and std
        self._statistics = None if mean is None or std is None else torch.tensor([[*mean], [*std]])[..., None, None]
        self.seed = seed
        self.channels_last = channels_last
        self._draws = [augmentation.draws for augmentation in self.augmentations]
        self._table: tuple[int, Tensor] | None = None

    def __call__(self, images: Tensor, targets: Tensor, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Transform a batch.

        Args:
            images: (B, C, H, W) uint8.
            targets: (B,) labels, left alone, or (B, H, W) masks, moved along with the images.
            rows: (B,) int64, the images' rows in the split.
            epoch: chooses the draws.

        Returns:
            images float32 (B, C, H, W) and targets.
        """
        batch = images.float().div_(255)
        if self.augmentations:
            batch, targets = self._augment(batch, targets, rows, epoch)
        return self._normalize(batch), targets

    def _augment(self, images: Tensor, targets: Tensor, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        masks = targets if targets.ndim == 3 else None
        draws = self._epoch_table(epoch, images.device).index_select(0, rows).split(self._draws, dim=1)
        for augmentation, own_draws in zip(self.augmentations, draws, strict=True):
            images, masks = augmentation(images, own_draws, masks)
        return images, targets if masks is None else masks

    def _epoch_table(self, epoch: int, device: torch.device) -> Tensor:
        if self._table is None or self._table[0] != epoch:
            self._table = epoch, draw_table(self.seed, epoch, self.size, sum(self._draws)).to(device)
        return self._table[1]

    def _normalize(self, images: Tensor) -> Tensor:
        if self._statistics is not None:
            self._statistics = self._statistics.to(images.device)
            mean, std = self._statistics
            images = images.sub_(mean).div_(std)
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images
