"""The trials of a search: what Optuna's journal holds of them, asked for and told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import optuna
from annotated_types import Ge
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from receptive.errors import InputError
from receptive.journal import NAME, STUDY, PrunerOptions, open_journal
from receptive.sweeps.jobs import Goal
from receptive.sweeps.space import Axis, Choice, Space

_ABOUT, _AGAIN = "search", "again"  # user attributes: of the study, and of a trial that repeats a failed one


@dataclass(frozen=True, kw_only=True)
class SearchOptions(PrunerOptions):
    """Options of hydra/sweeper=optuna; its YAML says what each means."""

    trials: Annotated[int, Ge(1)]
    sampling_seed: Annotated[int, Ge(0)]
    random_trials: Annotated[int, Ge(1)]
    parallel: Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Trial:
    """A trial as the search sees it.

    Args:
        number: in the journal.
        values: key as typed -> value as an override has it.
        ended: whether the journal knows how it ended.
        attempts: of a trial that repeats a failed one, how often its job had been tried before; None of others.
    """

    number: int
    values: Mapping[str, str]
    ended: bool
    attempts: int | None = None


class Trials:
    """The journal of a search.

    Args:
        root: the sweep's folder.
        space: to search.
        options: of the search.
        goal: what it seeks.
        config: fingerprint of what all points share.

    Raises:
        InputError: the journal is damaged, or it is of another search.
    """

    def __init__(self, root: Path, space: Space, options: SearchOptions, goal: Goal, config: str) -> None:
        self._space, self._options, self._path = space, options, root / NAME
        self._storage = open_journal(self._path)
        direction = StudyDirection.MINIMIZE if goal.mode == "min" else StudyDirection.MAXIMIZE
        self._study = optuna.create_study(
            study_name=STUDY, storage=self._storage, direction=direction, load_if_exists=True
        )
        self._refuse_other(
            {
                **space.described(),
                "hydra.sweeper.sampling_seed": options.sampling_seed,
                "hydra.sweeper.random_trials": options.random_trials,
                "monitor": f"{goal.monitor} ({goal.mode})",
                "fingerprint of the rest of the config": config,
            }
        )

    def _refuse_other(self, about: dict[str, Any]) -> None:
        """Raise InputError when the journal is of another search, with the differences."""
        if not self._frozen():  # killed before it could say what it is about
            self._study.set_user_attr(_ABOUT, about)
        before = self._study.user_attrs.get(_ABOUT, {})
        changes = [
            f"{key}: {before.get(key, '(absent)')} -> {about.get(key, '(absent)')}"
            for key in dict.fromkeys([*before, *about])
            if json.dumps(before.get(key)) != json.dumps(about.get(key))
        ]
        if changes:
            listed = "\n  ".join(changes)
            raise InputError(
                f"{self._path} is of another search (old -> new)\n  {listed}\n"
                "Give hydra.sweep.dir=NEW_FOLDER, or take the change back."
            )

    def _frozen(self) -> Sequence[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def all(self) -> list[Trial]:
        """All trials; one that was asked for, and was killed before all of it was written, is completed."""
        return [self._seen(trial) for trial in self._frozen()]

    def asked(self) -> int:
        """How many points have been asked for: a second try of a failed one is not a new point."""
        return sum(_AGAIN not in trial.user_attrs for trial in self._frozen())

    def ask(self) -> Trial:
        """The next point."""
        return self._seen(self._storage.get_trial(self._study.ask()._trial_id))

    def ask_again(self, number: int, attempts: int) -> Trial:
        """A trial at the point of a failed one, in one record.

        Args:
            number: of the failed one.
            attempts: how often its job has been tried.
        """
        failed = self._frozen()[number]
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=failed.params,
                distributions=failed.distributions,
                intermediate_values=failed.intermediate_values,
                user_attrs={_AGAIN: attempts},
            )
        )
        return self._seen(self._frozen()[-1])

    def tell(self, number: int, state: str, value: float | None = None) -> None:
        """How a trial ended: "done" with the value, "pruned" or "failed"."""
        if state == "done":
            self._study.tell(number, value)
        else:
            self._study.tell(number, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)

    def best(self) -> tuple[int, float] | None:
        """Number and value of the best trial; None before one is done."""
        if not any(trial.state == TrialState.COMPLETE for trial in self._frozen()):
            return None
        best = self._study.best_trial
        assert best.value is not None
        return best.number, best.value

    def _sampler(self, number: int, key: str = "") -> optuna.samplers.BaseSampler:
        """A sampler of its own for each draw: a search that goes on does not draw its first points again."""
        digest = hashlib.sha256(f"{self._options.sampling_seed} {number} {key}".encode()).digest()
        return optuna.samplers.TPESampler(
            n_startup_trials=self._options.random_trials, seed=int.from_bytes(digest[:4], "big")
        )

    def _seen(self, frozen: FrozenTrial) -> Trial:
        ended = frozen.state.is_finished()
        if not ended and frozen.params.keys() < self._space.axes.keys():
            self._study.sampler = self._sampler(frozen.number)
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            _ = trial.relative_params  # TPE draws all at once, here; at random each is drawn by itself
            for key, axis in self._space.axes.items():
                self._study.sampler = self._sampler(frozen.number, key)
                _suggest(trial, key, axis)
            frozen = self._storage.get_trial(frozen._trial_id)
        values = {key: _text(axis, frozen.params[key]) for key, axis in self._space.axes.items()}
        return Trial(frozen.number, values, ended, frozen.user_attrs.get(_AGAIN))


def _suggest(trial: optuna.trial.Trial, key: str, axis: Axis) -> None:
    """Draw a parameter; of a range the place in it, so that neighbours are known as such."""
    if isinstance(axis, Choice):
        if axis.ordered:
            trial.suggest_int(key, 0, len(axis.values) - 1)
        else:
            trial.suggest_categorical(key, axis.values)
    elif axis.whole:
        trial.suggest_int(key, int(axis.low), int(axis.high), log=axis.log)
    else:
        trial.suggest_float(key, axis.low, axis.high, log=axis.log)


def _text(axis: Axis, value: Any) -> str:
    """A parameter as an override has it."""
    if isinstance(axis, Choice):
        return axis.values[value] if axis.ordered else str(value)
    return axis.text(value)
