"""What is wrong with the environment is said in a sentence, and a training goes on with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.tracking.backend import Backend
from tests.tracking.recordings import Recording

from receptive.manifest import Entry, Manifest
from receptive.runs import Run
from receptive.tracking import mirrors
from receptive.tracking.identity import group_of
from receptive.tracking.sync import recording_of

TRAIN = ("train", "trainer=debug", "logger=wandb", "hydra.run.dir=run")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WANDB_MODE", "onlin", "WANDB_MODE=onlin: Input should be 'online', 'offline'"),
        ("WANDB_BASE_URL", "127.0.0.1:1", "WANDB_BASE_URL=127.0.0.1:1: Input should be a valid URL"),
    ],
)
def test_settings_that_the_client_refuses(
    cli: Cli, offline: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, out, _ = cli(*TRAIN)
    assert code == 0
    assert words in out
    assert "receptive wandb sync run sends it" in out
    for verb in ("sync", "dashboard"):
        code, _, err = cli("wandb", verb, "run")
        assert (code, words in err, err.count("\n")) == (1, True, 1), err


@pytest.mark.parametrize(("variable", "value"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "true")])
def test_switched_off(
    cli: Cli, offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(mirrors, "Companion", None)  # a mirror that is asked for would fail
    code, out, _ = cli(*TRAIN)
    assert (code, "W&B" in out, (tmp_path / "run" / "wandb").exists()) == (0, False, False)


def test_the_home_folder_is_left_alone(
    cli: Cli, online: Backend, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.delenv(f"WANDB_{kind}_DIR")
    assert cli(*TRAIN)[0] == 0
    for verb in ("sync", "dashboard"):
        assert cli("wandb", verb, "run")[0] == 0
    assert list(offline.iterdir()) == []


def test_a_whole_recording_is_not_torn(cli: Cli, offline: Path, tmp_path: Path) -> None:
    assert cli(*TRAIN)[0] == 0
    [path] = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert Recording(path).exit_code == 0
    assert recording_of(Run(tmp_path / "run")) == ""
    path.write_bytes(path.read_bytes()[:-200])
    assert recording_of(Run(tmp_path / "run")) == "torn"


@pytest.mark.slow
def test_an_agents_id_is_that_of_a_single_run(cli: Cli, online: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WANDB_SWEEP_ID", "sweep"), ("WANDB_RUN_ID", "theirs")):
        monkeypatch.setenv(name, value)
    assert cli(*TRAIN)[0] == 0
    assert (list(online.runs), online.runs["theirs"].state) == (["theirs"], "finished")
    assert cli("train", "-m", "trainer=debug", "logger=wandb", "seed=1,2", "hydra.sweep.dir=sweep")[0] == 0
    jobs = [run.job_type for name, run in online.runs.items() if name != "theirs"]
    assert (len(jobs), sorted(map(str, jobs))) == (3, ["sweep", "train", "train"])


def test_a_study_in_small_is_a_group_of_its_own(tmp_path: Path) -> None:
    entry = Entry(fingerprint="a", folder="a", overrides=("study=rates", "scale=smoke", "seed=0"), labels={})
    Manifest({"a": entry}, "rates").write(tmp_path)
    assert group_of(tmp_path) == "rates smoke"
