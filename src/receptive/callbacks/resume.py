"""Exact resume: what a checkpoint must hold beside Lightning's, so that a run goes on as if it had never stopped.

Images are drawn and augmented by (seed, epoch, place) alone, so that of the data only the position has to be kept.
"""

from __future__ import annotations

import random
import time
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.progress import _ProcessedTracker

from receptive.checkpoints import HEADER
from receptive.ranks.collectives import own, per_rank

State = dict[str, Any]


def random_states() -> State:
    """The states of all global generators (Python, NumPy, torch, CUDA) in plain containers."""
    name, keys, *rest = np.random.get_state()
    assert not isinstance(keys, int)
    return {
        "python": [*random.getstate()[:1], list(random.getstate()[1]), random.getstate()[2]],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *(float(value) for value in rest)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: State) -> None:
    """Put the generators back into the states that `random_states` gave."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), int(position), int(has_gauss), cached))
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)


class ExactResume(pl.Callback):
    """Saves and restores generators, the place in the data, an early stop and the time that was spent.

    Of several processes the generators of all are kept.

    Lightning's loop counters are right as long as nothing is saved between an epoch's last batch and its end:
    `RunCheckpoints` sees to that.

    Args:
        header: of the run, see `receptive.checkpoints.header`.
    """

    def __init__(self, header: State) -> None:
        self.header = header
        self._restored: State | None = None
        self._before = 0.0  # seconds of earlier attempts
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Spent on the run so far, earlier attempts' up to their last checkpoint included."""
        return self._before + time.perf_counter() - self._started

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: State) -> None:
        """Add what is needed."""
        progress = cast(_ProcessedTracker, trainer.fit_loop.epoch_loop.batch_progress.current)
        epoch, batch = trainer.current_epoch, progress.processed
        at_end = batch == trainer.num_training_batches
        checkpoint[HEADER] = self.header | {
            "random": per_rank(random_states()),
            "epoch": epoch + at_end,
            "batch": 0 if at_end else batch,
            "stop": bool(trainer.should_stop),
            "seconds": self.seconds,
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: State) -> None:
        """Take what a checkpoint says."""
        self._restored = checkpoint[HEADER]
        self._before = self._restored["seconds"]
        trainer.should_stop = self._restored["stop"]  # stopped early, and was killed before it could say so

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go back to the place in the data and to the generators' states: Lightning has asked for an iterator already,
        ours read their place with the first batch.
        """
        if self._restored is None:
            return
        restored, self._restored = self._restored, None
        loader = trainer.train_dataloader
        assert loader is not None
        loader.sampler.epoch, loader.sampler.start = restored["epoch"], restored["batch"]
        set_random_states(own(restored["random"]))
