"""Cutting the validation set from the training set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from receptive.data.randomness import generator
from receptive.errors import InputError


def validation_split(
    targets: Tensor | Sequence[object], groups: Tensor | None, validation: int | float, seed: int
) -> tuple[Tensor, Tensor]:
    """Part the rows of a training set.

    Without groups exactly `validation` images are drawn from all. With groups whole groups are drawn in each
    class, the same share of every class to the nearest group, at least one where a class has two, never all.

    Args:
        targets: (N,) labels; without groups they are only counted, so masks or their files will do.
        groups: (N,) or None.
        validation: number of images, or their fraction where it is a float below 1. 0: no validation set.
        seed: seed of the draw.

    Returns:
        training rows and validation rows, ascending int64: disjoint, together all.

    Raises:
        InputError: nothing would be left to train on.
    """
    size = len(targets)
    count = round(validation * size) if isinstance(validation, float) else validation
    if not 0 <= count < size:
        raise InputError(f"data.validation={validation} leaves nothing to train on: the training set has {size} images")
    held_out = torch.zeros(size, dtype=torch.bool)
    random = generator("validation", seed)
    if groups is None:
        held_out[torch.randperm(size, generator=random)[:count]] = True
    elif count:
        assert isinstance(targets, Tensor)
        for label in targets.unique().tolist():
            tracks = groups[targets == label].unique()
            wanted = min(max(round(count / size * len(tracks)), 1), len(tracks) - 1)
            chosen = tracks[torch.randperm(len(tracks), generator=random)[:wanted]]
            held_out |= torch.isin(groups, chosen) & (targets == label)
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()
