"""What a trial reports, when it is stopped, and what becomes of a run that was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from scripts.chaos import differences, everything
from tests.callbacks.conftest import Fit
from tests.conftest import Cli
from tests.resume.conftest import EPOCHS, QUIET, folder_of, run_to_the_end, stops, straight  # noqa: F401

from receptive.callbacks.pruning import Pruning, pruning_of
from receptive.callbacks.records import EpochRecords
from receptive.errors import InputError
from receptive.job import run_job
from receptive.journal import NAME, STUDY, PrunerOptions, TrialFile, open_journal, require_optuna
from receptive.report.collection import collect
from receptive.runs import Run

require_optuna()


def study_in(folder: Path, direction: str = "maximize", **options: Any) -> optuna.Study:
    """A search that has one trial to be run, number 0."""
    folder.mkdir(exist_ok=True)
    pruner = PrunerOptions(**{"pruner": "median", "startup_trials": 1, "warmup_epochs": 0, **options}).build_pruner()
    study = optuna.create_study(
        storage=open_journal(folder / NAME),
        study_name=STUDY,
        direction=direction,
        pruner=pruner,  # type: ignore[arg-type]
    )
    study.ask()
    return study


def others(study: optuna.Study, *histories: list[float]) -> None:
    """Trials that are done."""
    for values in histories:
        reported = dict(enumerate(values, 1))
        study.add_trial(optuna.trial.create_trial(value=values[-1], intermediate_values=reported))


def scores(*values: float) -> list[dict[str, float]]:
    return [{"val/score": value} for value in values]


def reported(study: optuna.Study, number: int = 0) -> dict[int, float]:
    return {epoch: round(value, 6) for epoch, value in study.trials[number].intermediate_values.items()}  # of float32


def test_every_validated_epoch_is_reported(fit: Fit, tmp_path: Path) -> None:
    study = study_in(tmp_path)
    callback = Pruning(study, 0, "val/score")
    fit(callback, validation=scores(0.1, 0.2, 0.3, 0.4), epochs=4, val_every_n_epochs=2)
    assert reported(study) == {2: 0.2, 4: 0.4}
    assert not callback.pruned


def test_a_trial_below_the_median_is_stopped(fit: Fit, tmp_path: Path) -> None:
    study = study_in(tmp_path)
    others(study, [0.5, 0.6, 0.7], [0.3, 0.4, 0.5], [0.1, 0.1, 0.2])
    callback = Pruning(study, 0, "val/score")
    trainer = fit(callback, validation=scores(0.3, 0.3, 0.9), epochs=3)
    assert reported(study) == {1: 0.3, 2: 0.3}  # as good as the median, then worse
    assert callback.pruned
    assert trainer.current_epoch == 2


def test_of_a_loss_the_larger_is_the_worse(fit: Fit, tmp_path: Path) -> None:
    study = study_in(tmp_path, "minimize")
    others(study, [0.9, 0.6, 0.5])
    callback = Pruning(study, 0, "train/loss")
    fit(callback, EpochRecords(tmp_path / "metrics.csv"), monitor="train/loss", losses=[0.5] * 3 + [0.8] * 6, epochs=3)
    assert not callback.pruned  # by its best so far
    assert reported(study) == {1: 0.5, 2: 0.8, 3: 0.8}


@pytest.mark.parametrize(
    ("options", "epochs"),
    [({"startup_trials": 4}, 3), ({"pruner": "none"}, 3), ({"warmup_epochs": 1}, 2), ({}, 1)],
)
def test_when_a_trial_may_be_stopped(fit: Fit, tmp_path: Path, options: dict[str, Any], epochs: int) -> None:
    study = study_in(tmp_path, **options)
    others(study, *[[0.5, 0.6, 0.7]] * 3)
    fit(Pruning(study, 0, "val/score"), validation=scores(0.1), epochs=3)
    assert len(reported(study)) == epochs


def test_a_run_that_ends_by_itself_is_not_pruned(fit: Fit, tmp_path: Path) -> None:
    study = study_in(tmp_path)
    others(study, [0.5])
    callback = Pruning(study, 0, "val/score")
    fit(callback, validation=scores(0.1), epochs=1)
    assert not callback.pruned


def test_an_epoch_is_reported_once(fit: Fit, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    study = study_in(tmp_path)
    fit(Pruning(study, 0, "val/score"), validation=scores(0.5), epochs=2)
    fit(Pruning(study, 0, "val/score"), validation=scores(0.7), epochs=3)
    assert reported(study) == {1: 0.5, 2: 0.5, 3: 0.7}
    assert not [warning for warning in recwarn if "optuna" in warning.filename]


def test_a_closed_trial_reports_nothing(fit: Fit, tmp_path: Path) -> None:
    study = study_in(tmp_path)
    others(study, [0.9, 0.9])
    study.tell(0, state=optuna.trial.TrialState.FAIL)
    callback = Pruning(study, 0, "val/score")
    fit(callback, validation=scores(0.1), epochs=2)
    assert (reported(study), callback.pruned) == ({}, False)


def trial_of(folder: Path, **options: Any) -> Run:
    """A small run that is trial 0."""
    run = folder_of(folder / "run")
    pruner = {"pruner": "median", "startup_trials": 1, "warmup_epochs": 0, **options}
    TrialFile(journal=f"../{NAME}", number=0, **pruner).write(run)
    return run


def test_a_pruned_run(tmp_path: Path, cli: Cli) -> None:
    study = study_in(tmp_path)
    others(study, [1.1] * EPOCHS)
    run = trial_of(tmp_path)
    assert run_job(run, QUIET) == "pruned", run.status().error
    assert (run.state(), run.status().state) == ("pruned", "pruned")
    result = run.result()
    assert (result["pruned"], result["epochs"], result["best_epoch"]) == (1, 1, 1)
    assert result["metrics"]["val/accuracy"] == study.trials[0].intermediate_values[1]
    assert result["metrics"]["val/accuracy"] == run.metrics()[0]["val/accuracy"]
    assert not [key for key in result["metrics"] if key.startswith("test/")]
    assert run_job(run, QUIET) == "pruned"  # and it is not run again
    assert run.status().attempts == 1
    code, out, _ = cli("train", f"resume={run.folder}")
    assert code == 0
    assert "is pruned already" in out and "validation, epoch 1 of 1" in out
    code, out, err = cli("evaluate", f"run={run.folder}", "split=val")
    assert code == 0
    assert "is pruned: these are not the figures of a finished run" in err
    [group] = collect(tmp_path).groups
    assert group.values("val/accuracy") == []
    assert group.records[0].metrics
    run.result_path.unlink()
    assert run.state() == "interrupted"


def test_a_run_that_is_killed_after_its_last_epoch_knows_that_it_was_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others(study_in(tmp_path), [1.1] * EPOCHS)
    run = trial_of(tmp_path)
    monkeypatch.setattr("receptive.train.load_weights", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        run_job(run, QUIET)
    monkeypatch.undo()
    assert run_job(run, QUIET) == "pruned"
    assert len(run.metrics()) == 1


@pytest.mark.parametrize("at", [1, 4, 5])
def test_a_trial_that_is_interrupted_computes_the_same(
    straight: Callable[..., dict[str, Any]],  # noqa: F811
    stops: list[int],  # noqa: F811
    tmp_path: Path,
    at: int,
) -> None:
    """Also the same as a run that is no trial."""
    study = study_in(tmp_path)
    others(study, [0.0] * EPOCHS)
    run = trial_of(tmp_path)
    stops.append(at)
    assert run_to_the_end(run, stops) == 2
    found = everything(run)
    for name in ("last", "best"):
        callbacks = found[name]["callbacks"]
        [key] = [key for key in callbacks if key.startswith("Pruning")]
        assert callbacks.pop(key) == {"pruned": False}
    assert differences(straight(), found) == []
    told = study.trials[0].intermediate_values
    assert told == {int(row["epoch"]): row["val/accuracy"] for row in run.metrics()}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "trial.json is damaged"),
        ("[]", "trial.json is damaged (no JSON object)"),
        ('{"journal": "../journal.log"}', "trial.json is damaged (no pruner)"),
        (None, "trial.json is damaged (number=-1"),
    ],
)
def test_a_damaged_trial_file(tmp_path: Path, text: str | None, told: str) -> None:
    study_in(tmp_path)
    run = trial_of(tmp_path)
    run.trial_path.write_text(text or json.dumps({**json.loads(run.trial_path.read_text()), "number": -1}))
    with pytest.raises(InputError) as caught:
        pruning_of(run, "val/accuracy")
    assert told in str(caught.value)
    assert run_job(run, QUIET) == "failed"
    assert told in str(run.status().error)


def test_a_journal_that_knows_no_such_trial_is_gone_or_is_damaged(tmp_path: Path) -> None:
    study_in(tmp_path)
    run = trial_of(tmp_path)
    journal = tmp_path / NAME
    content = journal.read_text()
    for text, told in (
        (content.splitlines(keepends=True)[0], "the search knows no trial 0"),
        ("", "knows no search"),
        ("rubbish\n" + content, "journal.log is damaged (line 1 holds no record)"),
        ('{"op_code":4}\n', "journal.log is damaged"),
    ):
        journal.write_text(text)
        with pytest.raises(InputError) as caught:
            pruning_of(run, "val/accuracy")
        assert told in str(caught.value)
    journal.unlink()
    with pytest.raises(InputError, match="bring it back, or delete"):
        pruning_of(run, "val/accuracy")


def test_a_record_that_was_cut_off_never_counted(tmp_path: Path) -> None:
    study_in(tmp_path)
    journal = tmp_path / NAME
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"stu')
    study = optuna.load_study(study_name=STUDY, storage=open_journal(journal))
    assert journal.read_bytes() == whole
    study.ask()
    assert len(study.trials) == 2


def test_a_moved_folder_is_still_a_trial(tmp_path: Path) -> None:
    study_in(tmp_path / "sweep")
    trial_of(tmp_path / "sweep")
    (tmp_path / "sweep").rename(tmp_path / "moved")
    [callback] = pruning_of(Run(tmp_path / "moved" / "run"), "val/accuracy")
    assert not callback.pruned
