"""`receptive train resume=FOLDER|latest`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Cli

from receptive.runs import Run

SHORT = ("trainer.max_epochs=2", "trainer.limit_train_batches=3", "trainer.progress=none")


def interrupted(cli: Cli, stops: list[int], name: str, *options: str) -> Run:
    stops.append(1)
    code, _, err = cli("train", *SHORT, f"hydra.run.dir=outputs/runs/{name}", *options)
    assert (code, err) == (143, f"receptive: stopped by SIGTERM; receptive train resume=outputs/runs/{name} goes on\n")
    return Run(Path("outputs/runs").absolute() / name)


def test_a_folder(cli: Cli, stops: list[int]) -> None:
    run = interrupted(cli, stops, "a b,ü")
    code, out, err = cli("train", "resume=outputs/runs/a b,ü")
    assert (code, err) == (0, "")
    assert "resume   from outputs/runs/a b,ü/checkpoints/last.ckpt" in out
    assert (run.state(), run.status().attempts) == ("done", 2)
    assert [path.name for path in Path("outputs/runs").iterdir()] == ["a b,ü"]  # no folder for a run that never was
    code, out, _ = cli("train", "resume=outputs/runs/a b,ü")
    assert code == 0
    assert "is done already" in out


def test_the_latest(cli: Cli, stops: list[int]) -> None:
    first = interrupted(cli, stops, "b")
    second = interrupted(cli, stops, "a", "seed=1")
    assert cli("train", "resume=latest")[0] == 0
    assert (first.state(), second.state()) == ("interrupted", "done")
    assert cli("train", "resume=latest")[0] == 0
    assert first.state() == "done"
    code, _, err = cli("train", "resume=latest")
    assert (code, err) == (1, "receptive: resume=latest: no run in outputs/runs was interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["resume=nowhere"], "resume=nowhere: this folder does not exist"),
        (["resume=latest", "optimizer.lr=1"], "goes on with the run's own config: leave out optimizer.lr=1"),
        (["-m", "resume=latest", "seed=0,1"], "a sweep goes on by itself with the same command"),
    ],
)
def test_what_does_not_go_together(cli: Cli, arguments: list[str], told: str) -> None:
    code, _, err = cli("train", *arguments)
    assert code == 1
    assert told in err


def test_a_run_that_cannot_go_on_says_why_and_begins_anew(cli: Cli, stops: list[int]) -> None:
    run = interrupted(cli, stops, "a")
    status = json.loads(run.status_path.read_text())
    for name in ("last.ckpt", "last.previous.ckpt"):
        if (path := run.checkpoints / name).is_file():
            path.write_bytes(path.read_bytes()[:100])
    code, out, _ = cli("train", "resume=outputs/runs/a")
    assert code == 0
    assert "last.ckpt cannot be read as a checkpoint" in out
    assert "the run starts anew" in out
    assert run.status().attempts == status["attempts"] + 1
