"""A search with Optuna: what is asked, told, pruned, refused, and taken up again."""

from __future__ import annotations

import fcntl
import io
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from optuna.trial import TrialState
from tests.conftest import Cli
from tests.resume.conftest import stops  # noqa: F401
from tests.sweeps.conftest import Master, parse
from tests.sweeps.test_random import FIVE_AXES

from receptive.cli import main
from receptive.console import new_console
from receptive.journal import NAME, STUDY, open_journal, require_optuna
from receptive.manifest import Entry, Manifest
from receptive.runs import Run
from receptive.sweeps.jobs import Goal, JobComposer
from receptive.sweeps.search import _alone
from receptive.sweeps.trials import SearchOptions, Trials

require_optuna()
TINY = (
    "test=false", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_eval_batches=1",
    "data.batch_size=16",
)  # fmt: skip
SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.sweep.dir=search", *TINY)
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-2))"
BROKEN = ("optimizer=sgd", "optimizer.lr=1e30,0.01")


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=STUDY, storage=open_journal(folder / NAME))


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study_of(folder).trials]


def entries(folder: Path) -> list[Entry]:
    return list(Manifest.read(folder).entries.values())


def runs(folder: Path) -> list[Run]:
    return [entry.run(folder) for entry in entries(folder)]


def attempts(folder: Path) -> list[int]:
    return [run.status().attempts for run in runs(folder)]


def agree(folder: Path) -> None:
    """Journal, sweep.json and the jobs' folders say the same."""
    trials = {trial.number: trial for trial in study_of(folder).trials}
    for entry in entries(folder):
        assert entry.trial is not None
        trial, run = trials[entry.trial], entry.run(folder)
        assert trial.state.name == {"done": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}[run.state()]
        metrics = run.result().get("metrics", {})
        if trial.state == TrialState.COMPLETE:
            assert trial.value == metrics["val/accuracy"]
        for key, value in entry.labels.items():
            if isinstance(trial.params[key], float):
                assert float(value) == pytest.approx(trial.params[key], rel=1e-4)


def test_a_search_from_end_to_end(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    arguments = (*SEARCH, RATE, "optimizer=adam,sgd", "hydra.sweeper.random_trials=2")
    code, out, err = cli("train", *arguments, "hydra.sweeper.trials=3")
    assert (code, err) == (0, "")
    assert "0 of 3 trials in search, 3 to run" in out
    assert "best: trial " in out
    assert states(folder) == ["COMPLETE"] * 3
    agree(folder)
    assert [entry.trial for entry in entries(folder)] == [0, 1, 2]
    before = [run.status().started for run in runs(folder)]
    code, out, _ = cli("train", *arguments, "hydra.sweeper.trials=3")
    assert code == 0
    assert "3 of 3 trials in search (3 done), 0 to run" in out
    code, out, err = cli("train", *arguments, "hydra.sweeper.trials=5")
    assert (code, err) == (0, "")
    assert "3 of 5 trials in search (3 done), 2 to run" in out
    assert [run.status().started for run in runs(folder)][:3] == before
    assert len(states(folder)) == len(pd.read_csv(folder / "runs.csv")) == 5
    agree(folder)
    other = tmp_path / "at once"
    assert cli("train", *arguments, "hydra.sweep.dir=at once", "hydra.sweeper.trials=5")[0] == 0
    assert [trial.params for trial in study_of(other).trials] == [trial.params for trial in study_of(folder).trials]


def test_the_folder_is_found_again_with_more_trials(cli: Cli, tmp_path: Path) -> None:
    arguments = ("-m", "hydra/sweeper=optuna", *TINY, "optimizer.lr=0.1,0.01")
    assert cli("train", *arguments, "hydra.sweeper.trials=1")[0] == 0
    assert cli("train", *arguments, "hydra.sweeper.trials=2")[0] == 0
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 1
    assert cli("train", "-m", *TINY, "optimizer.lr=0.1,0.01")[0] == 0
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 2  # the grid's is another


def test_a_point_that_is_asked_for_again_is_not_run_again(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    assert cli("train", *SEARCH, "optimizer.lr=0.001,0.01", "hydra.sweeper.trials=6")[0] == 0
    assert states(folder) == ["COMPLETE"] * 6
    assert attempts(folder) == [1, 1]
    agree(folder)
    assert (
        "6 of 6 trials in search (2 done, 4 asked for twice), 0 to run"
        in cli("train", *SEARCH, "optimizer.lr=0.001,0.01", "hydra.sweeper.trials=6")[1]
    )


def forget(folder: Path, entry: Entry) -> None:
    """As it was before a trial was written down."""
    known = Manifest.read(folder)
    replace(known, entries={key: one for key, one in known.entries.items() if one != entry}).write(folder)
    shutil.rmtree(folder / entry.folder)


SPACE = (RATE, "optimizer=adam,sgd")
TWO = (*SEARCH, *SPACE, "hydra.sweeper.trials=2")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search of two trials, which each test copies."""
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        GlobalHydra.instance().clear()
        assert main(["train", *TWO]) == 0
    return folder / "search"


@pytest.mark.parametrize(
    ("records", "written"),
    [
        pytest.param(1, False, id="before its point was drawn"),
        pytest.param(2, False, id="when half of it was drawn"),
        pytest.param(3, False, id="before it was written down"),
        pytest.param(3, True, id="before it was told"),
    ],
)
def test_a_trial_is_taken_up_wherever_the_command_was_killed(
    cli: Cli, tmp_path: Path, ended: Path, records: int, written: bool
) -> None:
    folder = tmp_path / "search"
    shutil.copytree(ended, folder)
    straight = [trial.params for trial in study_of(folder).trials]
    lines = (folder / NAME).read_text().splitlines(keepends=True)
    last = max(place for place, line in enumerate(lines) if '"op_code":4' in line)
    (folder / NAME).write_text("".join(lines[: last + records]))
    if not written:
        forget(folder, entries(folder)[-1])
    assert states(folder) == ["COMPLETE", "RUNNING"]
    assert cli("train", *TWO)[::2] == (0, "")
    assert states(folder) == ["COMPLETE"] * 2
    assert [trial.params for trial in study_of(folder).trials] == straight
    assert attempts(folder) == [1, 1]
    agree(folder)


def test_an_interrupted_trial_goes_on(cli: Cli, tmp_path: Path, stops: list[int]) -> None:  # noqa: F811
    folder = tmp_path / "search"
    stops.append(2)
    code, out, err = cli("train", *SEARCH, "trainer.max_epochs=2", RATE, "hydra.sweeper.trials=2")
    assert code == 143
    assert "the same command goes on" in err
    assert states(folder) == ["RUNNING"]
    code, out, err = cli("train", *SEARCH, "trainer.max_epochs=2", RATE, "hydra.sweeper.trials=2")
    assert (code, err) == (0, "")
    assert "1 of 2 trials in search (1 interrupted), 2 to run" in out
    assert states(folder) == ["COMPLETE"] * 2
    assert attempts(folder) == [2, 1]
    agree(folder)
    assert study_of(folder).trials[0].intermediate_values.keys() == {1, 2}


def test_a_failed_trial_is_tried_again_and_counts_once(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "search"
    monkeypatch.setattr("receptive.train.load_weights", lambda *_: 1 / 0)
    arguments = (*SEARCH, RATE, "hydra.sweeper.trials=2")
    code, out, _ = cli("train", *arguments)
    assert code == 1
    assert "failed: ZeroDivisionError" in out
    assert states(folder) == ["FAIL"] * 2
    assert cli("train", *arguments, "rerun=none")[0] == 1
    assert attempts(folder) == [1, 1]
    assert cli("train", *arguments)[0] == 1
    assert attempts(folder) == [2, 2]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("train", *arguments)
    assert code == 0
    assert "2 of 2 trials in search (2 failed), 2 to run" in out
    assert states(folder) == ["FAIL"] * 4 + ["COMPLETE"] * 2
    assert [entry.trial for entry in entries(folder)] == [0, 1]
    assert attempts(folder) == [3, 3]
    first, again = study_of(folder).trials[0], study_of(folder).trials[4]
    assert first.params == again.params
    assert "2 of 2 trials in search (2 done), 0 to run" in cli("train", *arguments)[1]


def test_a_diverging_trial_fails_alone(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli(
        "train",
        *SEARCH,
        *BROKEN,
        "hydra.sweeper.trials=3",
        "trainer.limit_train_batches=4",
        "hydra.sweeper.sampling_seed=1",
    )
    assert code == 1
    assert "failed: the training loss is nan" in out
    assert {"FAIL", "COMPLETE"} == set(states(tmp_path / "search"))
    agree(tmp_path / "search")


def test_a_hopeless_trial_is_pruned(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    arguments = (
        *SEARCH, "optimizer.lr=0.003,1e-12", "seed=1", "trainer.max_epochs=3", "trainer.limit_train_batches=20",
        "hydra.sweeper.startup_trials=1", "hydra.sweeper.trials=6", "trainer.limit_eval_batches=null",
        "hydra.sweeper.sampling_seed=1",
    )  # fmt: skip
    code, out, err = cli("train", *arguments)
    assert (code, err) == (0, "")
    good, bad = sorted(entries(folder), key=lambda entry: entry.labels["optimizer.lr"])
    assert (good.run(folder).state(), bad.run(folder).state()) == ("done", "pruned")
    assert set(states(folder)) == {"COMPLETE", "PRUNED"}
    agree(folder)
    table = pd.read_csv(folder / "runs.csv", index_col="optimizer.lr")
    assert table.loc[1e-12, "state"] == "pruned"
    summary = pd.read_csv(folder / "summary.csv", index_col="optimizer.lr")
    assert list(summary["val/accuracy n"][[0.003, 1e-12]]) == [1, 0]
    code, out, _ = cli("train", *arguments)
    assert code == 0
    assert "(1 done, 1 pruned, 4 asked for twice), 0 to run" in out
    assert attempts(folder) == [1, 1]
    assert cli("train", *arguments, "rerun=all")[0] == 0
    assert attempts(folder) == [2, 2]
    assert set(states(folder)) == {"COMPLETE", "PRUNED"}


def test_a_vanished_folder_and_a_damaged_result_are_computed_anew(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    arguments = (*SEARCH, RATE, "hydra.sweeper.trials=2")
    assert cli("train", *arguments)[0] == 0
    shutil.rmtree(runs(folder)[0].folder)
    code, out, err = cli("train", *arguments)
    assert (code, err) == (0, "")
    assert "2 of 2 trials in search (1 done, 1 waiting), 1 to run" in out
    agree(folder)
    runs(folder)[1].result_path.write_text("half")
    assert cli("train", *arguments, "rerun=none")[0] == 1
    code, out, err = cli("train", *arguments)
    assert (code, err) == (0, "")
    assert "result.json is damaged: it is made anew" in out
    agree(folder)


def test_without_its_journal_a_search_finds_what_it_had(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    arguments = (*SEARCH, RATE, "hydra.sweeper.trials=2")
    assert cli("train", *arguments)[0] == 0
    (folder / NAME).write_text("rubbish\n")
    code, _, err = cli("train", *arguments)
    assert code == 1
    assert "journal.log is damaged (line 1 holds no record)" in err
    (folder / NAME).unlink()
    assert cli("train", *arguments)[0] == 0
    assert attempts(folder) == [1, 1]
    agree(folder)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([RATE.replace("1e-4", "1e-5"), "optimizer=adam,sgd"], "optimizer.lr: Interval(low=0.0001"),
        ([RATE], "optimizer: Choice(values=('adam', 'sgd'), ordered=False) -> (absent)"),
        ([*SPACE, "hydra.sweeper.sampling_seed=1"], "hydra.sweeper.sampling_seed: 0 -> 1"),
        ([*SPACE, "trainer.monitor=val/loss"], "monitor: val/accuracy (max) -> val/loss (min)"),
        ([*SPACE, "model.channels=[2,4,8]"], "fingerprint of the rest of the config"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(
    cli: Cli, tmp_path: Path, ended: Path, arguments: list[str], told: str
) -> None:
    shutil.copytree(ended, tmp_path / "search")
    code, _, err = cli("train", *SEARCH, *arguments, "hydra.sweeper.trials=2")
    assert code == 1
    assert "is of another search" in err and told in err
    assert len(entries(tmp_path / "search")) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([RATE, "optimizer=adam,sdg"], "there is no 'optimizer/sdg', did you mean 'sgd'?"),
        (["optimizer.lr=interval(-0.1,0.1)"], "optimizer.lr"),
        ([RATE, "data.batch_size=tag(int,interval(0,9))"], "data.batch_size=0: must be"),
        ([RATE, "hydra.sweeper.trials=0"], "hydra.sweeper.trials=0: must be greater than or equal to 1"),
        ([RATE, "hydra.sweeper.pruner=mean"], "hydra.sweeper.pruner=mean: must be 'median' or 'none'"),
        ([RATE, "+hydra.sweeper.prune=1"], "hydra.sweeper.prune: there is no such option, did you mean 'pruner'?"),
        ([RATE, "seed=0,1"], "seed=0,1: a trial is one run"),
        (["optimizer.lr=interval(2,1)"], "give the smaller bound first"),
        (["optimizer.lr=0.1"], "there is nothing to search"),
        ([RATE, "trainer.monitor=val/accuracy,val/loss"], "are judged by one metric"),
    ],
)
def test_faults_come_before_anything_runs(cli: Cli, tmp_path: Path, arguments: list[str], told: str) -> None:
    code, _, err = cli("train", *SEARCH, *arguments)
    assert code == 1
    assert told in err
    assert not (tmp_path / "search").exists()


def test_a_point_whose_values_do_not_go_together_fails_and_stands_in_the_table(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    arguments = (*SEARCH, "trainer.val_every_n_epochs=1,2,3", "trainer.max_epochs=3,2", "hydra.sweeper.trials=12")
    code, out, _ = cli("train", *arguments)
    assert code == 1
    assert "failed: trainer.val_every_n_epochs=3 is more than trainer.max_epochs=2" in out
    table = pd.read_csv(folder / "runs.csv")
    assert list(table["state"]).count("failed") == 1
    count = len(states(folder))
    assert count == 12
    assert cli("train", *arguments)[0] == 1
    assert len(states(folder)) == count  # it is not even tried again
    agree(folder)


def test_without_optuna_one_message_says_so(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = cli("train", *SEARCH, RATE)
    assert (code, err) == (1, "receptive: hydra/sweeper=optuna needs Optuna: pip install optuna\n")
    assert not (tmp_path / "search").exists()


def test_launchers_of_others_are_given_some_trials_at_a_time(cli: Cli, tmp_path: Path) -> None:
    arguments = (*SEARCH, RATE, "hydra.sweeper.trials=3", "hydra.sweeper.parallel=2", "hydra/launcher=basic")
    assert cli("train", *arguments)[0] == 0
    folder = tmp_path / "search"
    agree(folder)
    assert all(trial.intermediate_values for trial in study_of(folder).trials)


def test_the_second_of_two_commands_waits(tmp_path: Path) -> None:
    console = new_console(file=io.StringIO())
    with open(tmp_path / "search.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(0.3, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        started = time.monotonic()
        timer.start()
        with _alone(tmp_path, console):
            assert time.monotonic() - started > 0.25
    assert "another command searches in" in console.file.getvalue()  # type: ignore[attr-defined]


def test_everything_at_once(master: Master, tmp_path: Path) -> None:
    """The five axes of one line: every choice and every asked point can run; nothing is run here."""
    loader, config = master()
    composer, space = JobComposer(loader, config, tmp_path), parse(*FIVE_AXES)
    assert len(composer.jobs(space.probes())) == 1 + 1 + 1 + 1 + 2 + 1
    options = SearchOptions(
        trials=20, sampling_seed=0, random_trials=4, pruner="median", startup_trials=5, warmup_epochs=0, parallel=1
    )
    trials = Trials(tmp_path, space, options, Goal("val/f1_mean", "max"), "")
    for number in range(8):
        job, faults = composer.job(space.point(trials.ask().values, number))
        assert job is not None and faults == []
        trials.tell(number, "done", 0.1 * number)
    assert [trial.ended for trial in trials.all()] == [True] * 8
