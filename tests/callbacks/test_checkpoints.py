"""Which epochs' weights lie in last.ckpt and best.ckpt."""

import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from receptive.callbacks.checkpoints import RunCheckpoints
from receptive.errors import NonFiniteLoss


def saved(folder: Path) -> dict[str, int]:
    """File -> epoch (counted from 1) of its weights, which fall by 3 an epoch; read as plain data."""
    epochs = {}
    for path in sorted(folder.iterdir()):
        state = torch.load(path, weights_only=True)
        epochs[path.name] = state["epoch"] + 1
        assert state["state_dict"]["model.weight"].item() == -3 * epochs[path.name]
        assert state["global_step"] == 3 * epochs[path.name]
    return epochs


class Watcher(pl.Callback):
    """Looks into the folder when an epoch begins, and when training ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[dict[str, int]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch > 0:
            self.seen.append(saved(self.folder))

    def on_fit_end(self, *_: Any) -> None:
        self.seen.append(saved(self.folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


SCORES = [0.4, 0.6, 0.5, 0.6, 0.7, 0.1]


@pytest.mark.parametrize(
    ("monitor", "best"),
    [("val/score", [1, 2, 2, 2, 5, 5]), ("val/loss", [1, 1, 1, 1, 1, 6])],
)
def test_last_is_every_epoch_and_best_the_best(fit: Any, folder: Path, monitor: str, best: list[int]) -> None:
    """The larger score is better, the smaller loss; of equals the first."""
    watcher = Watcher(folder)
    validation = [{"val/score": score, "val/loss": score} for score in SCORES]
    fit(watcher, validation=validation, epochs=6, monitor=monitor)
    previous = [{}, *({"last.previous.ckpt": epoch} for epoch in range(1, 6))]
    expected = [{"best.ckpt": epoch, "last.ckpt": last} for last, epoch in enumerate(best, 1)]
    assert watcher.seen == [files | before for files, before in zip(expected, previous, strict=True)]


@pytest.mark.parametrize("monitor", ["val/score", "val/loss"])
@pytest.mark.parametrize(("values", "best"), [((0.5, math.nan, 0.5), 1), ((math.nan, 0.5, math.nan), 2)])
def test_a_validation_that_is_no_number_is_never_best(
    fit: Any, folder: Path, monitor: str, values: tuple[float, ...], best: int
) -> None:
    fit(validation=[{monitor: value} for value in values], epochs=3, monitor=monitor)
    assert saved(folder)["best.ckpt"] == best


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_without_validation_in_every_epoch_last_is_still_the_last(fit: Any, folder: Path) -> None:
    watcher = Watcher(folder)
    validation = [{"val/score": score} for score in SCORES]
    fit(watcher, validation=validation, epochs=5, val_every_n_epochs=2)
    assert [files["last.ckpt"] for files in watcher.seen] == [1, 2, 3, 4, 5]
    assert [files.get("best.ckpt") for files in watcher.seen] == [None, 2, 2, 2, 2]


@pytest.mark.parametrize("batch", [1, 3])
def test_an_epoch_with_a_loss_that_is_no_number_is_not_saved(fit: Any, folder: Path, batch: int) -> None:
    losses = [0.5] * 9
    losses[3 + batch - 1] = math.nan
    with pytest.raises(NonFiniteLoss, match=f"epoch 2, batch {batch}"):
        fit(losses=losses, validation=[{"val/score": 0.1}, {"val/score": 0.9}], epochs=3)
    assert saved(folder) == {"best.ckpt": 1, "last.ckpt": 1}


def test_weights_that_the_last_step_spoilt_are_not_saved(fit: Any, folder: Path) -> None:
    """The epoch's losses were taken before its last step: they do not tell."""

    class Spoil(pl.Callback):
        def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, _: Any) -> None:
            if trainer.global_step == 5:
                for parameter in module.parameters():
                    parameter.grad = torch.full_like(parameter, math.nan)

    with pytest.raises(NonFiniteLoss):
        fit(Spoil(), validation=[{"val/score": 0.1}, {"val/score": 0.9}], epochs=3)
    assert saved(folder) == {"best.ckpt": 1, "last.ckpt": 1}


def test_the_key_that_is_kept_is_lightnings(tmp_path: Path) -> None:
    callback = RunCheckpoints(tmp_path, monitor="val/loss", mode="min")
    lightnings = ModelCheckpoint.state_key
    assert isinstance(lightnings, property) and lightnings.fget is not None
    assert callback.state_key == lightnings.fget(callback)
    assert callback.state_key is callback.state_key
