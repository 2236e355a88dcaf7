"""Fits of a task alone, without what a run adds, and which hooks log in them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., pl.Trainer]:
    return partial(
        pl.Trainer,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )


@pytest.fixture
def logging_hooks(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the hooks in which something was logged."""
    hooks: set[str] = set()

    def log(self: pl.LightningModule, *arguments: Any, **options: Any) -> None:
        hooks.add(str(self._current_fx_name))
        original(self, *arguments, **options)

    original = pl.LightningModule.log
    monkeypatch.setattr(pl.LightningModule, "log", log)
    return hooks
