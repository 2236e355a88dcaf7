"""A trial of a search tells the others how it goes, and stops where it is hopeless."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from receptive.errors import InputError
from receptive.journal import TrialFile
from receptive.ranks.collectives import of_first
from receptive.runs import Run
from receptive.tasks.base import Task

if TYPE_CHECKING:
    import optuna


class Pruning(pl.Callback):
    """Reports the monitored metric of every epoch that has it, and ends the run when the search's pruner says so.

    An epoch that is run again after an interruption has been reported already. A trial that the search has closed
    reports nothing and is not stopped. Nothing is drawn: the run computes what it would without.

    Args:
        study: the search.
        number: of the trial.
        monitor: the metric.

    Attributes:
        pruned: whether the run was stopped.
    """

    def __init__(self, study: optuna.Study, number: int, monitor: str) -> None:
        self.pruned = False
        self._study = study
        self._monitor = monitor
        self._storage = study._storage  # the study's own methods do not take a trial that another process asked for
        study_id = self._storage.get_study_id_from_name(study.study_name)
        self._trial = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def state_dict(self) -> dict[str, Any]:
        """Whether the run was stopped: it may be killed before it can say so."""
        return {"pruned": self.pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As it was."""
        self.pruned = bool(state_dict["pruned"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and stop where the pruner says so, unless the run ends by itself."""
        assert isinstance(pl_module, Task)
        value = {**pl_module.epoch_metrics(), **pl_module.train_metrics()}.get(self._monitor)
        if value is None or not math.isfinite(value):  # not validated, or about to fail
            return
        epoch = trainer.current_epoch + 1
        hopeless = of_first(trainer.is_global_zero and self._hopeless(value, epoch))
        if hopeless and not trainer.should_stop and epoch != trainer.max_epochs:
            self.pruned = trainer.should_stop = True

    def _hopeless(self, value: float, epoch: int) -> bool:
        trial = self._storage.get_trial(self._trial)
        if trial.state.is_finished():
            return False
        if epoch not in trial.intermediate_values:
            self._storage.set_trial_intermediate_value(self._trial, epoch, value)
        return self._study.pruner.prune(self._study, self._storage.get_trial(self._trial))


def pruning_of(run: Run, monitor: str) -> list[Pruning]:
    """The callback of a run that is a trial; none of others.

    Raises:
        InputError: `trial.json` or the journal cannot be used.
    """
    file = TrialFile.read(run)
    if file is None:
        return []
    study = file.study(run)
    try:
        return [Pruning(study, file.number, monitor)]
    except KeyError:
        raise InputError(f"{run.trial_path}: the search knows no trial {file.number}: run its command again") from None
