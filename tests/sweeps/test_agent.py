"""The file of `receptive wandb sweep`, by W&B's own code to the agent's command line, and what Hydra makes of that."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tests.conftest import Cli

TINY = ["data.batch_size=16,32"]


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)


def written(cli: Cli, *arguments: str) -> dict[str, Any]:
    code, out, err = cli("wandb", "sweep", *arguments)
    assert (err, code) == ("", 0)
    assert "wandb sweep sweep.yaml" in out
    assert "wandb agent " in out
    content: dict[str, Any] = yaml.safe_load(Path("sweep.yaml").read_text())  # as `wandb sweep` does
    return content


def told(cli: Cli, *arguments: str) -> str:
    code, out, err = cli("wandb", "sweep", *arguments)
    assert (code, out) == (1, "")
    assert not Path("sweep.yaml").exists()
    return err


def typed_by_agent(sweep: Mapping[str, Any], chosen: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that W&B's agent starts for a point, with the sweep's file sent there and back as JSON."""
    from wandb import wandb_agent
    from wandb.apis.public.sweeps import _validate_config_and_fill_distribution

    sent = json.loads(json.dumps(_validate_config_and_fill_distribution(dict(sweep))))
    started: list[list[str]] = []

    def process(*, command: list[str], **_: Any) -> SimpleNamespace:
        started.append(command)
        return SimpleNamespace()

    monkeypatch.setattr(wandb_agent, "AgentProcess", process)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # the agent sets them for its children, and this process is not one
    agent = SimpleNamespace(
        _sweep_command=sent["command"], _in_jupyter=False, _function=None, _forward_signals=False, _run_processes={}
    )
    values = json.loads(json.dumps({key: {"value": value} for key, value in chosen.items()}))
    command = {"run_id": "r1", "program": sent["program"], "args": values}
    wandb_agent.Agent._command_run(agent, command)  # type: ignore[arg-type]
    [words] = started
    assert words[:3] == ["/usr/bin/env", "receptive", "train"]
    return words[2:]


def points(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All points of a grid; of intervals both ends."""
    ends = {
        key: one["values"] if "values" in one else [one["min"], one["max"]] for key, one in sweep["parameters"].items()
    }
    return [dict(zip(ends, choice, strict=True)) for choice in itertools.product(*ends.values())]


def composed(cli: Cli, words: list[str]) -> dict[str, Any]:
    code, out, err = cli(*words, "--cfg", "job")
    assert (err, code) == ("", 0)
    content: dict[str, Any] = yaml.safe_load(out)
    return content


def test_the_values_of_a_grid_arrive(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = written(
        cli,
        "optimizer=adam,sgd",
        "seed=range(2)",
        "trainer.max_epochs=3",
        "paths.output_dir=runs/a, b (2)",
        "paths.data_dir=/x/it's",
    )
    assert sweep["method"] == "grid"
    assert sweep["metric"] == {"name": "val/accuracy", "goal": "maximize"}
    assert sweep["parameters"] == {
        "optimizer": {"values": ["adam", "sgd"]},
        "seed": {"values": [0, 1]},
    }
    assert sweep["program"] == "receptive"
    assert sweep["command"][:4] == ["${env}", "receptive", "train", "logger=wandb"]
    assert sweep["command"][-1] == "${args_no_hyphens}"
    found = set()
    for point in points(sweep):
        config = composed(cli, typed_by_agent(sweep, point, monkeypatch))
        assert config["trainer"]["max_epochs"] == 3
        assert config["paths"]["output_dir"] == "runs/a, b (2)"
        assert config["paths"]["data_dir"] == "/x/it's"
        assert config["logger"]["wandb"]["_target_"].endswith("WandbOptions")
        found.add((config["optimizer"]["_target_"].rpartition(".")[2], config["seed"]))
    assert found == set(itertools.product(("Adam", "SGD"), (0, 1)))


def test_values_that_hydra_would_split_or_read_otherwise(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = written(
        cli,
        "optimizer.betas=[0.9,0.99],[0.8,0.99]",
        "trainer.gradient_clip_val=null,1.5",
        "trainer.channels_last=true,false",
        "trainer.devices='auto',1",
        "optimizer.lr=1e-5,0.1",
        "logger.wandb.notes='a, b','5'",
        "logger=wandb",
    )
    texts = [value for one in sweep["parameters"].values() for value in one["values"] if isinstance(value, str)]
    assert "null" in texts  # a real null is None on the agent's command line, which Hydra takes for a word
    both = [
        typed_by_agent(sweep, {key: one["values"][place] for key, one in sweep["parameters"].items()}, monkeypatch)
        for place in (0, 1)
    ]
    first, second = (composed(cli, words) for words in both)
    assert (first["optimizer"]["betas"], second["optimizer"]["betas"]) == ([0.9, 0.99], [0.8, 0.99])
    assert (first["optimizer"]["lr"], second["optimizer"]["lr"]) == (1e-5, 0.1)
    assert (first["trainer"]["gradient_clip_val"], second["trainer"]["gradient_clip_val"]) == (None, 1.5)
    assert (first["trainer"]["channels_last"], second["trainer"]["channels_last"]) == (True, False)
    assert (first["trainer"]["devices"], second["trainer"]["devices"]) == ("auto", 1)
    assert (first["logger"]["wandb"]["notes"], second["logger"]["wandb"]["notes"]) == ("a, b", "5")


INTERVALS = [
    ("optimizer.lr=interval(0.1,0.9)", {"distribution": "uniform", "min": 0.1, "max": 0.9}),
    ("optimizer.lr=tag(log,interval(1e-4,1))", {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}),
    ("data.batch_size=int(interval(16,128))", {"distribution": "int_uniform", "min": 16, "max": 128}),
    (
        "data.batch_size=tag(int,log,interval(4,64))",
        {"distribution": "q_log_uniform_values", "q": 1, "min": 4, "max": 64},
    ),
]


@pytest.mark.parametrize(("override", "parameter"), INTERVALS)
def test_intervals_are_distributions(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, override: str, parameter: dict[str, Any]
) -> None:
    sweep = written(cli, "--method", "random", override)
    [(key, found)] = sweep["parameters"].items()
    assert found == parameter
    assert {name: type(value) for name, value in found.items()} == {name: type(one) for name, one in parameter.items()}
    group, leaf = key.split(".")
    for end in ("min", "max"):
        config = composed(cli, typed_by_agent(sweep, {key: found[end]}, monkeypatch))
        assert config[group][leaf] == parameter[end]


def test_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--method", "bayes", "--metric", "test/loss", "--name", "Größe: klein"]
    assert "project" in written(cli, *TINY)
    sweep = written(cli, *options, *TINY, "logger=wandb", "logger.wandb.project=nets", "logger.wandb.entity=team")
    assert sweep["metric"] == {"name": "test/loss", "goal": "minimize"}
    assert (sweep["method"], sweep["name"]) == ("bayes", "Größe: klein")
    assert (sweep["project"], sweep["entity"]) == ("nets", "team")
    assert sweep["command"].count("logger=wandb") == 1
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    sweep = written(cli, *TINY, "trainer.monitor=val/loss")
    assert (sweep["project"], sweep["metric"]) == ("mine", {"name": "val/loss", "goal": "minimize"})
    sweep = written(cli, *TINY, "task=segmentation", "data=phantoms", "model=unet")
    assert sweep["metric"]["goal"] == "maximize"
    assert sweep["metric"]["name"] != "val/accuracy"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["optimizer.lrr=0.1,0.2"], "unknown key 'optimizer.lrr', did you mean 'optimizer.lr'?"),
        (["data.batch_size=8,9", "optimizer.lrr=0.1"], "did you mean 'optimizer.lr'?"),
        (["model=net_a,net_c"], "there is no 'model/net_c'"),
        (["optimizer.lr=0.1,x"], "optimizer.lr"),
        (["optimizer.lr=interval(0.1,0.2)"], "optimizer.lr: a grid needs values"),
        (["seed=0"], "there is nothing to search"),
        (["study=mnist_pooling", *TINY], "study: W&B's agent runs one run at a time"),
        (["hydra/launcher=packed", *TINY], "hydra/launcher: W&B's agent runs one run at a time"),
        (["+optimizer.extra=1,2"], "optimizer.extra: Adam has no such option"),
        (["trainer/limits@trainer=debug,overfit"], "W&B's parameters are named by letters"),
        (["logger=tensorboard", *TINY], "without wandb"),
        (["--metric", "val/acuracy", *TINY], "did you mean 'val/accuracy'?"),
        (["optimizer.lr=0.1,(", *TINY], "optimizer.lr=0.1,("),
    ],
)
def test_faults_are_told_before_w_and_b_hears_of_them(cli: Cli, arguments: list[str], answer: str) -> None:
    err = told(cli, *arguments)
    assert answer in err
    assert "Traceback" not in err


def test_only_files_of_its_own_are_replaced(cli: Cli) -> None:
    written(cli, *TINY)
    assert written(cli, "data.batch_size=8,9")["parameters"]["data.batch_size"]["values"] == [8, 9]
    Path("mine.yaml").write_text("program: train.py\n")
    code, _, err = cli("wandb", "sweep", "--output", "mine.yaml", *TINY)
    assert code == 1
    assert "mine.yaml is there already" in err
    assert Path("mine.yaml").read_text() == "program: train.py\n"
    assert cli("wandb", "sweep", *TINY, "--output", "other.yaml")[0] == 0
    assert Path("other.yaml").is_file()


def test_the_command_runs_from_a_shell(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's words as a process of their own: nothing is between them and the program."""
    sweep = written(cli, "optimizer.lr=0.25,0.5")
    words = typed_by_agent(sweep, {"optimizer.lr": 0.25}, monkeypatch)
    command = [sys.executable, "-m", "receptive", *words, "--cfg", "job"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "lr: 0.25" in done.stdout
