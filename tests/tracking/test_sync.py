"""`receptive wandb sync`: what W&B lacks is sent from the folders, nothing twice, and what cannot be sent is named."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.report.conftest import RunFolders
from tests.tracking.backend import Backend
from tests.tracking.following import assert_complete, named, send, stored
from tests.tracking.recordings import Recording

from receptive.console import new_console
from receptive.runs import Run
from receptive.tracking.record import Record
from receptive.tracking.sync import runs_of

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    return RunFolders(tmp_path / "sweep")


def said(out: str) -> dict[str, str]:
    """Run -> what the table says of it."""
    found = re.findall(r"^(run-\d+) +\w+ +(.*?) *$", out, re.MULTILINE)
    return dict(found)


def switch(backend: Backend, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on with a key and a server."""
    for name, value in backend.environment(home).items():
        monkeypatch.setenv(name, value)


def test_a_damaged_list_of_jobs_keeps_no_run_back(folders: RunFolders) -> None:
    run = folders.add()
    (folders.root / "sweep.json").write_text("{")
    console = new_console(file=io.StringIO(), width=200)
    assert runs_of(folders.root, console) == [run]
    assert "sweep.json is damaged" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_sweep(
    folders: RunFolders, cli: Cli, offline: Path, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs in every state: recorded, torn, without a recording, never mirrored, damaged, running, waiting."""
    labels = [{"optimizer.lr": f"0.{number}"} for number in range(1, 10)]
    states = ["done"] * 7 + ["running", "waiting"]
    more = {7: {"config": {"paths.output_dir": str(tmp_path / "outputs")}}}
    runs = [
        folders.add(own, state=state, pictures=["history"], **more.get(number, {}))  # type: ignore[arg-type]
        for number, (own, state) in enumerate(zip(labels, states, strict=True))
    ]
    whole, torn, missing, never, rows, status, config, runs_still, waiting = runs
    folders.manifest("rates")
    answers = send(tmp_path, *(named(run, run.folder.name) for run in runs[:3]))
    assert [answer["event"] for answer in answers] == ["closed"] * 3
    [path] = (torn.folder / "wandb").glob("offline-run-*/*.wandb")
    os.truncate(path, path.stat().st_size * 2 // 3)
    assert Recording(path).exit_code is None
    for path in (missing.folder / "wandb").glob("*"):
        path.rename(tmp_path / path.name)
    rows.metrics_path.write_text("epoch,step\n1,one\n")
    status.status_path.write_text("{")
    config.config_path.write_text("a: [")
    waiting.metrics_path.unlink()
    switch(backend, offline, monkeypatch)
    assert cli("report", "sweep")[0] == 0

    with runs_still.lock():
        code, out, err = cli("wandb", "sync", "sweep")
    told = said(out)
    sent = "sent, 3 new epochs"
    assert [told[run.folder.name] for run in (whole, torn, missing, never)] == [
        sent, f"{sent}; its offline recording was torn", sent, sent,
    ]  # fmt: skip
    assert "metrics.csv is damaged" in told[rows.folder.name] and str(rows.folder.name) in told[rows.folder.name]
    assert "status.json" in told[status.folder.name] and status.status_path.read_text() == "{"
    assert "config.yaml cannot be read" in told[config.folder.name]
    assert told[runs_still.folder.name] == "runs still: nothing sent"
    assert told[waiting.folder.name] == "has not begun: nothing to send"
    assert (code, err) == (1, "") and "tables of sweep: sent" in out

    pages = {page.name: page for page in backend.runs.values() if page.job_type == "train"}
    for number, run in enumerate((whole, torn, missing, never), 1):
        assert_complete(pages[f"lr=0.{number} seed=0"], run)
    assert len(pages) == 4, "a damaged run has no page"
    assert {page.group for page in pages.values()} == {"rates"}
    [tables] = [page for page in backend.runs.values() if page.job_type == "sweep"]
    assert_tables(tables.rows[-1], tables.files, tmp_path / "sweep")
    assert tables.name == "rates" and tables.exit_code == 1

    before = {page.id: stored(page) for page in backend.runs.values()}
    Record.path(whole.folder).unlink()
    folders.root.joinpath("wandb", "mirror.json").write_text("[")
    code, out, _ = cli("wandb", "sync", "sweep/run-0000", "sweep/run-0001")
    assert code == 0 and said(out) == {"run-0000": "sent, 0 new epochs", "run-0001": "up to date"}
    assert {page.id: stored(page) for page in backend.runs.values()} == before


def assert_tables(end: dict[str, dict[str, str]], files: dict[str, bytes], root: Path) -> None:
    """The report's own tables: numbers as such."""
    for name in ("runs", "summary"):
        table = json.loads(files[end[name]["path"]])
        head, *rows = (root / f"{name}.csv").read_text().splitlines()
        assert table["columns"] == head.split(",") and len(table["data"]) == len(rows)
    table = json.loads(files[end["runs"]["path"]])
    rates = [row[table["columns"].index("optimizer.lr")] for row in table["data"]]
    assert set(rates) == {number / 10 for number in range(1, 10)}


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WANDB_API_KEY": ""}, "no API key"),
        ({"WANDB_API_KEY": "short"}, "API key must have 40"),
        ({"WANDB_BASE_URL": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"WANDB_BASE_URL": "nonsense"}, "WANDB_BASE_URL=nonsense: Input should be a valid URL"),
        ({"WANDB_HTTP_TIMEOUT": "soon"}, "valid number"),
    ],
    ids=str,
)
def test_nothing_can_be_sent(
    environment: dict[str, str],
    told: str,
    folders: RunFolders,
    cli: Cli,
    offline: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line, exit code 1, and nobody is asked for a key."""
    run = folders.add()
    folders.manifest()
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, err = cli("wandb", "sync", "sweep")
    assert (code, out) == (1, "") and err.startswith("receptive: ") and told in err
    assert err.count("\n") == 1 and "pydantic" not in err
    assert run.status().wandb_id is None and not (run.folder / "wandb").exists()


def test_no_run(cli: Cli, online: Backend, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = cli("wandb", "sync", "empty")
    assert code == 1 and "holds no run" in err and online.requests == 0


@pytest.mark.slow
def test_many_runs(
    folders: RunFolders, cli: Cli, offline: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep with W&B's own sweep variables in the environment, which are of other runs."""
    folders.add_grid({"optimizer.lr": [f"0.{number}" for number in range(1, 11)]}, seeds=2, pictures=["history"])
    folders.manifest()
    switch(backend, offline, monkeypatch)
    for name, value in {"SWEEP_ID": "s", "RUN_ID": "other", "MODE": "offline", "DISABLED": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    code, out, _ = cli("wandb", "sync", "sweep")
    assert code == 0 and len(said(out)) == 20
    pages = {page.id: page for page in backend.runs.values()}
    for path in sorted(folders.root.glob("run-*")):
        assert_complete(pages[Run(path).status().wandb_id or ""], Run(path))
    assert len(pages) == 20
