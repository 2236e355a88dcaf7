"""A fit whose losses and validation results are given, so that a callback's part in it can be foretold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from receptive.callbacks.interruption import Interruption
from receptive.optimizers import schedules
from receptive.tasks.base import Task
from receptive.trainer import TrainerOptions, build_trainer

Fit = Callable[..., pl.Trainer]


class _Batches:
    """Equal batches; Lightning would take a list for several loaders."""

    batch_sampler = None

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter([(torch.ones(2, 1), torch.zeros(2))] * self.count)


class _NoScores:
    """The script says how the validation went."""

    def reset(self) -> None:
        pass

    def scalars(self) -> Mapping[str, float]:
        return {}

    def details(self) -> dict[str, Any]:
        return {}


class _ScriptedTask(Task):
    """One weight, which falls by 1 a step, with losses and validation metrics from a script."""

    METRICS = ("val/score", "train/loss", "train/accuracy")
    MONITOR = "val/score"

    def __init__(self, losses: Sequence[float], validation: Sequence[Mapping[str, float]]) -> None:
        net = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(net.weight)
        optimizer = partial(torch.optim.SGD, lr=1.0)
        super().__init__(net, optimizer=optimizer, schedule=schedules.constant, channels_last=False)
        self.losses = iter(losses)
        self.script = validation
        self.validation = self.testing = _NoScores()

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.model(images)
        return output

    def loss_and_score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        slope = output.mean() - output.mean().detach()
        return slope + next(self.losses, 0.5), torch.tensor(1)

    def train_metrics(self) -> dict[str, float]:
        loss, accuracy = self._steps.means()
        return {"train/loss": loss, "train/accuracy": accuracy}

    def judge(self, metrics: Any, batch: tuple[Tensor, Tensor]) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        self.log_dict(dict(self.script[self.current_epoch % len(self.script)]))


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Train the scripted task as a run is trained: checkpoints go to `tmp_path / "checkpoints"`.

    callbacks: called before those of every run. losses: one a step. validation: metrics, one dict an epoch.
    """

    def run(
        *callbacks: pl.Callback,
        losses: Sequence[float] = (),
        validation: Sequence[Mapping[str, float]] = ({"val/score": 0.5},),
        epochs: int = 1,
        batches: int = 3,
        monitor: str = "val/score",
        interruption: Interruption | None = None,
        checkpoint: Path | None = None,
        **options: Any,
    ) -> pl.Trainer:
        trainer = build_trainer(
            TrainerOptions(max_epochs=epochs, accelerator="cpu", precision="32-true", deterministic=False, **options),
            checkpoints=tmp_path / "checkpoints",
            monitor=monitor,
            callbacks=list(callbacks),
            interruption=interruption,
        )
        trainer.fit(_ScriptedTask(losses, validation), _Batches(batches), _Batches(batches), ckpt_path=checkpoint)
        return trainer

    return run
