"""The data's random streams: each a function of its seed, its purpose and the epoch, and of nothing else."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

Purpose = Literal["validation", "order", "augmentation", "workers", "sizes"]
_PURPOSES: dict[Purpose, int] = {"validation": 0, "order": 1, "augmentation": 2, "workers": 3, "sizes": 4}


def generator(purpose: Purpose, seed: int, epoch: int = 0) -> torch.Generator:
    """A CPU generator of its own for one purpose in one epoch; `seed` and `epoch` are not negative."""
    # SeedSequence mixes the three: neighbouring seeds and epochs share no stream, as sums of them would
    state = np.random.SeedSequence((seed, epoch, _PURPOSES[purpose])).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(state[0]))
