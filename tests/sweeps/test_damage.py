"""Folders with half-written and hand-damaged files: the same command heals them or says what is wrong, and `status`
shows what there is. Nothing ends in a traceback."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from tests.conftest import Cli

from receptive.cli import main
from receptive.errors import InputError
from receptive.manifest import Manifest
from receptive.runs import Run
from receptive.sweeps.launching import finished

SWEEP = ("train", "-m", "trainer=debug", "hydra.sweep.dir=sweep", "optimizer.lr=0.001,0.002")
Damage = Callable[[Path, Run], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two jobs, which each test copies."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        GlobalHydra.instance().clear()
        assert main(SWEEP) == 0
    return folder / "sweep"


@pytest.fixture
def sweep(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "sweep")
    return tmp_path / "sweep"


def first(sweep: Path) -> Run:
    return Run(next(sweep.glob("lr_0.001-*")))


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def status_with(**values: Any) -> Damage:
    return lambda sweep, run: change(run.status_path, lambda status: status.update(values))


def half_written(sweep: Path, run: Run) -> None:
    """As a full disk would leave it, were files not written atomically."""
    halve(run.config_path)
    run.status_path.write_text("")
    run.result_path.unlink()


HEALED: dict[str, Damage] = {
    "half-written": half_written,
    "half a config of an interrupted run": lambda sweep, run: (
        halve(run.config_path),
        status_with(state="interrupted")(sweep, run),
    ),
    "an empty status": lambda sweep, run: run.status_path.write_text(""),
    "half a result and its metrics": lambda sweep, run: (
        halve(run.result_path),
        run.metrics_path.write_text("epoch,seconds\n1,2,3\nx,y\n"),
    ),
    "a vanished folder": lambda sweep, run: shutil.rmtree(run.folder),
    "no sweep.json": lambda sweep, run: (sweep / "sweep.json").unlink(),
    "an entry of another folder that has vanished": lambda sweep, run: change(
        sweep / "sweep.json",
        lambda content: content["jobs"].append(content["jobs"][0] | {"folder": "gone", "fingerprint": "0" * 12}),
    ),
}


@pytest.mark.parametrize("damage", HEALED.values(), ids=HEALED)
def test_the_same_command_heals(cli: Cli, sweep: Path, damage: Damage) -> None:
    run = first(sweep)
    metrics, other = run.result()["metrics"], Run(next(sweep.glob("lr_0.002-*"))).result_path.stat().st_mtime_ns
    damage(sweep, run)
    assert_status_shows(cli, sweep)
    code, out, err = cli(*SWEEP)
    assert (code, err) == (0, ""), out
    assert (run.state(), run.result()["metrics"]) == ("done", metrics)
    assert Run(next(sweep.glob("lr_0.002-*"))).result_path.stat().st_mtime_ns == other  # it was not run again


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda sweep, run: run.status_path.write_text(""), "Expecting value"),
        (lambda sweep, run: halve(run.status_path), "status.json is damaged ("),
        (lambda sweep, run: run.status_path.write_text("[]"), "no JSON object"),
        (lambda sweep, run: run.status_path.write_bytes(b"\xff\xfe\0"), "codec can't decode"),
        (status_with(state="dancing"), "state='dancing'"),
        (status_with(state=["done"]), "state=['done']"),
        (status_with(attempts="three"), "attempts='three'"),
        (status_with(started="yesterday"), "started='yesterday'"),
        (status_with(error=3), "error=3"),
    ],
)
def test_a_damaged_status_is_a_failure_that_says_so(cli: Cli, sweep: Path, damage: Damage, told: str) -> None:
    run = first(sweep)
    damage(sweep, run)
    assert run.state() == "failed"
    assert told in str(run.status().error)
    assert told in assert_status_shows(cli, sweep)


@pytest.mark.parametrize("text", ["half", "[1]", "{}"])
def test_a_damaged_result_is_no_result(cli: Cli, sweep: Path, text: str) -> None:
    run = first(sweep)
    assert finished(run)
    run.result_path.write_text(text)
    assert not finished(run)
    assert_status_shows(cli, sweep)


def entries(**values: Any) -> Damage:
    return lambda sweep, run: change(sweep / "sweep.json", lambda content: content["jobs"][0].update(values))


REFUSED: dict[str, tuple[Damage, str]] = {
    "half a sweep.json": (lambda sweep, run: halve(sweep / "sweep.json"), "sweep.json is damaged"),
    "an empty sweep.json": (lambda sweep, run: (sweep / "sweep.json").write_text(""), "sweep.json is damaged"),
    "a list": (lambda sweep, run: (sweep / "sweep.json").write_text("[]"), "is damaged (no JSON object)"),
    "no jobs": (lambda sweep, run: (sweep / "sweep.json").write_text("{}"), "is damaged (no 'jobs')"),
    "jobs in words": (
        lambda sweep, run: change(sweep / "sweep.json", lambda content: content.update(jobs="many")),
        "sweep.json is damaged",
    ),
    "a name that is a list": (
        lambda sweep, run: change(sweep / "sweep.json", lambda content: content.update(name=[])),
        "is damaged (name or claims)",
    ),
    "a job without a folder": (
        lambda sweep, run: change(sweep / "sweep.json", lambda content: content["jobs"][1].pop("folder")),
        "is damaged (no 'folder')",
    ),
    "a folder elsewhere": (entries(folder="../elsewhere"), "no name of a folder"),
    "overrides in a text": (entries(overrides="seed=1"), "is damaged (overrides: no list of texts)"),
    "two jobs in one folder": (
        lambda sweep, run: change(
            sweep / "sweep.json",
            lambda content: content["jobs"].append(content["jobs"][0] | {"fingerprint": "0" * 12}),
        ),
        "two jobs have one folder or fingerprint",
    ),
}


@pytest.mark.parametrize(("damage", "told"), REFUSED.values(), ids=REFUSED)
def test_a_damaged_list_of_jobs_is_one_message(cli: Cli, sweep: Path, damage: Damage, told: str) -> None:
    damage(sweep, first(sweep))
    with pytest.raises(InputError, match=re.escape(told)) as raised:
        Manifest.read(sweep)
    assert str(raised.value).startswith(f"{sweep / 'sweep.json'} is damaged")
    assert str(raised.value).endswith("restore it or delete it")
    assert told in assert_status_shows(cli, sweep)


def test_the_remedy_of_a_damaged_list_of_jobs(cli: Cli, sweep: Path) -> None:
    halve(sweep / "sweep.json")
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    code, out, err = cli(*SWEEP)
    assert (code, out) == (1, "")
    assert err.startswith(f"receptive: {sweep / 'sweep.json'} is damaged")
    assert {path: path.read_bytes() for path in before} == before
    (sweep / "sweep.json").unlink()
    assert cli(*SWEEP)[0] == 0
    assert first(sweep).status().attempts == 1  # found again, not run again


def assert_status_shows(cli: Cli, sweep: Path) -> str:
    """`status` gives a page for the folder; gives it."""
    code, out, err = cli("status", "sweep")
    assert (code, err) == (0, "")
    assert out.startswith("sweep: ")
    assert "Traceback" not in out
    assert " done" in out
    return out


def test_damage_that_nobody_asked_to_heal_is_told(cli: Cli, sweep: Path) -> None:
    halve(first(sweep).result_path)
    code, out, _ = cli(*SWEEP, "rerun=none")
    assert code == 1
    assert "result.json is damaged" in out


def test_a_file_in_place_of_a_folder(cli: Cli, sweep: Path) -> None:
    run = first(sweep)
    shutil.rmtree(run.folder)
    run.folder.write_text("")
    assert_status_shows(cli, sweep)
    code, _, err = cli(*SWEEP)
    assert code == 1
    assert err == f"receptive: hydra.sweep.dir={sweep} cannot be written: File exists\n"
