"""What a run is called in W&B: by its folder, its options, or the agent that has started it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cli
from tests.report.conftest import RunFolders
from tests.resume.conftest import CLASSIFIER, QUIET, folder_of
from tests.tracking.backend import Backend
from tests.tracking.following import named, send, stored

from receptive.job import run_job
from receptive.runs import Run
from receptive.tracking.identity import flat, group_of, id_of_agent, identity_of, new_id
from receptive.tracking.mirrors import MIRRORS
from receptive.tracking.options import WandbOptions, wandb_options

LONG = "ä/ö #?%:'\"" * 20


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    return RunFolders(tmp_path / "sweep")


def test_by_its_folder(folders: RunFolders, tmp_path: Path) -> None:
    kinds = {"model._target_": "a.b.Net", "data.source._target_": "c.Digits", "tags": ["ours", "", 7, "Net"]}
    run = folders.add({"optimizer.lr": "0.1", "variant": "wide"}, config=kinds)
    folders.manifest("widths")
    own = identity_of(run, WandbOptions(tags=["mine"]), "id")
    assert (own.id, own.name, own.group, own.job_type) == ("id", "lr=0.1 wide seed=0", "widths", "train")
    assert own.tags == ("ours", "7", "Net", "mine", "Digits")
    assert own.config["fingerprint"] == "0" * 12
    assert (own.config["sweep"], own.config["variant"], own.config["model"]) == ("widths", "wide", "Net")
    folders.manifest()
    assert group_of(folders.root) == "sweep"

    single = Run(tmp_path / "single")
    run.folder.rename(single.folder)
    assert (identity_of(single, WandbOptions(), "id").group, identity_of(single, WandbOptions(), "").name) == (
        None, "Net Digits seed=0",
    )  # fmt: skip
    given = identity_of(single, WandbOptions(name=LONG, group=LONG, tags=[LONG, LONG], notes=LONG), "id")
    assert (given.name, given.group, given.notes) == (LONG[:120], LONG[:120], LONG)
    assert LONG[:64] in given.tags and len(given.tags) == 5 and max(map(len, given.tags)) == 64


def test_a_config_is_flat() -> None:
    config = {
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "betas": [0.9, 0.99]},
        "model": {"_target_": "a.Net", "head": {"_target_": "b.Head", "width": 8}},
        "paths": {"data_dir": "/data"}, "logger": {"wandb": {}}, "tags": ["a"], "resume": None, "seed": 0, "test": True,
    }  # fmt: skip
    assert flat(config) == {
        "optimizer": "SGD", "optimizer/lr": 0.1, "optimizer/betas": [0.9, 0.99], "model": "Net", "model/head": "Head",
        "model/head/width": 8, "seed": 0, "test": True,
    }  # fmt: skip
    assert (
        wandb_options({"logger": None}) is wandb_options({}) is wandb_options({"logger": {"tensorboard": {}}}) is None
    )
    assert new_id("0123456789ab")[:9] == "01234567-" and new_id("0") != new_id("0")


def test_odd_names_are_taken_and_a_projects_that_is_not_is_told(
    folders: RunFolders, online: Backend, tmp_path: Path
) -> None:
    odd: dict[str, Any] = {"name": LONG, "group": LONG, "tags": [LONG, "Größe"], "notes": LONG, "project": "Lungen ü"}
    refused: dict[str, dict[str, Any]] = {"slash": {"project": "a/b"}, "long": {"project": "x" * 200}, "odd": odd}
    runs = {
        name: named(folders.add(config={"logger.wandb": options}), f"id-{name}") for name, options in refused.items()
    }
    answers = send(tmp_path, *runs.values())
    assert [answer["event"] for answer in answers] == ["lost", "lost", "closed"]
    assert all("Invalid project name" in answer["why"] for answer in answers[:2])
    [page] = online.runs.values()
    assert (page.name, page.group, page.project, page.state) == (LONG[:120], LONG[:120], "Lungen ü", "finished")
    assert page.tags[:2] == [LONG[:64], "Größe"] and page.notes == LONG


def test_the_run_of_an_agent(online: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the id that the agent gave it; without an agent the same variable is nobody's."""
    values = tmp_path / "values.yaml"
    values.write_text("wandb_version: 1\noptimizer.lr:\n  value: 0.1\n")
    given = {"RUN_ID": "given", "SWEEP_ID": "s", "SWEEP_PARAM_PATH": str(values), "PROJECT": "p", "ENTITY": "tester"}
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    outputs = f"paths.output_dir={tmp_path / 'outputs'}"
    for folder, told in (("agents", "given"), ("own", None)):
        if told is None:
            monkeypatch.delenv("WANDB_SWEEP_ID")
            monkeypatch.setenv("WANDB_RESUME", "must")
        run = folder_of(tmp_path / folder, *CLASSIFIER, "logger=[wandb]", outputs, "trainer.max_epochs=1", "test=false")
        assert id_of_agent(run) == told
        assert run_job(run, QUIET) == "done"
        MIRRORS.dismiss()
        page = online.runs[run.status().wandb_id or ""]
        assert (page.project, page.state, page.steps[:1]) == ("p", "finished", [1])
        assert (page.id == "given") == (told == "given")
        assert page.config["optimizer/lr"] == run.config().optimizer.lr
    assert len(online.runs) == 2 and os.environ["WANDB_RUN_ID"] == "given"


@pytest.mark.slow
def test_a_sweep_in_one_process_and_all_of_it_again(online: Backend, cli: Cli, tmp_path: Path) -> None:
    """A page a run; one that failed goes on with its own; rerun=all has new ones, and the old ones stay."""
    asked = ("train", "-m", "logger=wandb", "hydra.sweep.dir=two", "hydra/launcher=local", "trainer.progress=none")
    short = ("trainer.limit_train_batches=2", "trainer.max_epochs=2", "optimizer=sgd", "optimizer.lr=0.01,1e30")
    pages = []
    for again in ((), (), ("rerun=all",)):
        code, out, _ = cli(*asked, *short, *again)
        assert code == 1, "one fails"
        runs = [Run(path.parent) for path in sorted((tmp_path / "two").glob("*/config.yaml"))]
        found = {run.config().optimizer.lr: online.runs[run.status().wandb_id or ""] for run in runs}
        assert {rate: page.state for rate, page in found.items()} == {0.01: "finished", 1e30: "failed"}
        assert found[0.01].steps == [1, 2, 3] and found[0.01].overwritten == 0
        assert "the training loss is nan" in found[1e30].summary["error"]
        assert "1 of 2 runs" in out or "2 of 2 runs" in out, out
        pages.append({rate: (page.id, stored(page)) for rate, page in found.items()})
    assert pages[0][0.01] == pages[1][0.01]
    assert pages[0][1e30][0] == pages[1][1e30][0]
    assert not {number for number, _ in pages[1].values()} & {number for number, _ in pages[2].values()}
    for number, content in pages[1].values():
        assert stored(online.runs[number]) == content
    assert len([page for page in online.runs.values() if page.job_type == "sweep"]) == 1
    assert len(online.runs) == 5
