"""Sweeps: folders, what is run again, deaths, the table."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from tests.conftest import Cli
from tests.processes import started, wait_for

from receptive.runs import Run

SWEEP = ("-m", "trainer=debug", "hydra.sweep.dir=sweep")


def runs(folder: Path) -> list[Run]:
    """The sweep's runs in the order of sweep.json."""
    entries = json.loads((folder / "sweep.json").read_text())["jobs"]
    return [Run(folder / entry["folder"]) for entry in entries]


@pytest.mark.usefixtures("illustrated")
@pytest.mark.parametrize("launcher", ["local", pytest.param("packed", marks=pytest.mark.slow)])
def test_a_sweep_ends_in_a_table(cli: Cli, tmp_path: Path, launcher: str) -> None:
    arguments = (*SWEEP, "optimizer.lr=0.001,0.01", "seed=range(2)", f"hydra/launcher={launcher}")
    code, out, err = cli("train", *arguments)
    assert (code, err) == (0, "")
    summary = pd.read_csv(tmp_path / "sweep" / "runs.csv")
    assert list(zip(summary["optimizer.lr"], summary["seed"], strict=True)) == [
        (0.001, 0),
        (0.001, 1),
        (0.01, 0),
        (0.01, 1),
    ]
    assert list(summary["state"]) == ["done"] * 4
    assert summary["test/accuracy"].between(0, 1).all()
    assert re.search(r"^lr +seed +val/accuracy +test/accuracy +seconds +state", out, re.MULTILINE)
    assert out.count(" done") >= 8  # a line at the end of each job, a row in the table
    assert (tmp_path / "sweep" / "report.html").is_file() and (tmp_path / "sweep" / "figures" / "curves.png").is_file()
    started = [run.status().started for run in runs(tmp_path / "sweep")]
    code, out, _ = cli("train", *arguments)
    assert code == 0
    assert "4 jobs in sweep (4 done), 0 to run" in out
    assert [run.status().started for run in runs(tmp_path / "sweep")] == started


@pytest.mark.slow
def test_launchers_compute_the_same(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same job alone, one after the other, and in a worker that has run another one: bit-identical figures."""
    options = (
        "trainer.max_epochs=2",
        "trainer.limit_train_batches=5",
        "augment=[rotation]",
        "trainer.threads=1",
    )
    assert cli("train", *options, "seed=1", "hydra.run.dir=single")[0] == 0
    for launcher, *more in (("local",), ("packed", "hydra.launcher.workers=1")):
        place = (f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}", *more)
        assert cli("train", "-m", *options, "seed=0,1", *place)[0] == 0
    folders = [
        tmp_path / "single",
        *(next((tmp_path / name).glob("seed_1-*")) for name in ("local", "packed")),
    ]
    metrics = [Run(folder).result()["metrics"] for folder in folders]
    assert metrics[0] == metrics[1] == metrics[2]


def test_the_sweeps_folder_is_found_by_its_overrides(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", "trainer=debug", "seed=0,1", "-m", "test=false")[0] == 0
    code, out, _ = cli("train", "-m", "test=false", "trainer=debug", "seed=0,1")
    assert code == 0
    assert "(2 done), 0 to run" in out
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 1


def test_new_overrides_extend_a_sweep(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", *SWEEP, "seed=0")[0] == 0
    code, out, _ = cli("train", *SWEEP, "seed=0,1")
    assert code == 0
    assert "2 jobs in sweep (1 done), 1 to run" in out
    assert len(runs(tmp_path / "sweep")) == 2


def test_a_changed_config_is_refused_with_the_difference(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    own = tmp_path / "mine" / "optimizer" / "own.yaml"
    own.write_text("_target_: torch.optim.SGD\nlr: 0.1\n")
    arguments = (*SWEEP, "--config-dir", str(tmp_path / "mine"), "optimizer=own", "seed=0,1")
    assert cli("train", *arguments)[0] == 0
    own.write_text("_target_: torch.optim.SGD\nlr: 0.2\n")
    code, _, err = cli("train", *arguments)
    assert code == 1
    assert "optimizer.lr: 0.1 -> 0.2" in err
    assert "hydra.sweep.dir" in err


def test_a_failed_job_stops_no_other_and_is_run_again(cli: Cli, tmp_path: Path) -> None:
    arguments = (*SWEEP, "optimizer=sgd", "optimizer.lr=1e30,0.01", "trainer.limit_train_batches=3")
    code, out, _ = cli("train", *arguments)
    assert code == 1
    assert "failed: the training loss is nan in epoch 1" in out
    failed, good = runs(tmp_path / "sweep")
    assert (failed.state(), good.state()) == ("failed", "done")
    assert pd.read_csv(tmp_path / "sweep" / "runs.csv")["error"].str.contains("loss is nan").sum() == 1
    code, out, _ = cli("train", *arguments)
    assert code == 1
    assert (failed.status().attempts, good.status().attempts) == (2, 1)
    cli("train", *arguments, "rerun=none")
    assert (failed.status().attempts, good.status().attempts) == (2, 1)
    cli("train", *arguments, "rerun=all")
    assert (failed.status().attempts, good.status().attempts) == (3, 2)


def test_a_logger_is_no_other_sweep(cli: Cli, tmp_path: Path) -> None:
    """Its done runs stay as they are, and are told of; what starts over has the logger."""
    arguments = ("-m", "trainer=debug", "seed=0,1")
    cli("train", *arguments)
    code, out, _ = cli("train", *arguments, "logger=wandb")
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    assert (code, [run.status().attempts for run in runs(folder)]) == (0, [1, 1])
    assert f"2 runs not in W&B, or not all of it\nW&B      receptive wandb sync outputs/sweeps/{folder.name}" in out
    _, out, _ = cli("train", *arguments, "logger=tensorboard", "rerun=all")
    assert [list(run.config().logger) for run in runs(folder)] == [["tensorboard"]] * 2
    assert "W&B" not in out


def test_variants_and_a_study_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine" / "study").mkdir(parents=True)
    (tmp_path / "mine" / "study" / "width.yaml").write_text(
        "# @package _global_\n"
        "defaults: [{override /trainer: debug}]\n"
        "hydra:\n"
        "  mode: MULTIRUN\n"
        "  sweep: {dir: studies/width}\n"
        "  sweeper:\n"
        "    params: {seed: 'range(2)'}\n"
        "    variants:\n"
        "      base: []\n"
        "      wide: ['model.channels=[32,64,128]']\n"
        "      other: [optimizer=sgd, optimizer.lr=0.1]\n"
    )
    code, _out, err = cli("train", "--config-dir", str(tmp_path / "mine"), "study=width")
    assert (code, err) == (0, "")
    summary = pd.read_csv(tmp_path / "studies" / "width" / "runs.csv")
    assert list(summary["variant"]) == ["base", "base", "wide", "wide", "other", "other"]
    assert list(summary["seed"]) == [0, 1] * 3
    found = [OmegaConf.load(run.config_path) for run in runs(tmp_path / "studies" / "width")]
    assert [config.model.channels for config in found][::2] == [[16, 32, 64], [32, 64, 128], [16, 32, 64]]
    assert found[4].optimizer["_target_"] == "torch.optim.SGD"
    assert all(run.folder.name.startswith(("base-", "wide-", "other-")) for run in runs(tmp_path / "studies" / "width"))


def test_lists_are_told_apart_in_the_table(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("train", *SWEEP, "augment=[rotation],[rotation,cutout]")
    assert code == 0
    assert re.search(r"^\[rotation\] ", out, re.MULTILINE)
    assert re.search(r"^\[rotation,cutout\] ", out, re.MULTILINE)


def test_the_table_keeps_the_jobs_of_earlier_commands(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", *SWEEP, "seed=0,1")[0] == 0
    assert cli("train", *SWEEP, "seed=2")[0] == 0
    assert len(pd.read_csv(tmp_path / "sweep" / "runs.csv")) == 3


def test_a_damaged_status_does_not_end_a_sweep(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", *SWEEP, "seed=0,1")[0] == 0
    first, second = runs(tmp_path / "sweep")
    first.status_path.write_text("[]")
    code, out, _ = cli("train", *SWEEP, "seed=0,1", "rerun=none")
    assert code == 1
    assert "status.json is damaged" in out
    assert cli("train", *SWEEP, "seed=0,1")[0] == 0
    assert (first.state(), second.status().attempts) == ("done", 1)


def test_a_point_that_stands_twice_is_one_job(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", *SWEEP, "optimizer.lr=0.001,1e-3")[0] == 0
    assert len(runs(tmp_path / "sweep")) == 1


def test_foreign_launchers_end_in_the_same_folders(cli: Cli, tmp_path: Path) -> None:
    """Hydra's own basic launcher composes every job again: weaker, but the folders and the table are the same."""
    arguments = (
        *SWEEP,
        "seed=0,1",
        "optimizer=sgd",
        "optimizer.lr=0.1,1e30",
        "trainer.limit_train_batches=3",
    )
    code, out, _ = cli("train", *arguments, "hydra/launcher=basic")
    assert code == 1
    states = [run.state() for run in runs(tmp_path / "sweep")]
    assert sorted(states) == ["done", "done", "failed", "failed"]
    assert "failed: the training loss is nan" in out


def packed(folder: Path, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "receptive", "train", *SWEEP[::2], "hydra/launcher=packed", *arguments)
    return started(*command, cwd=folder)


def some_state(folder: Path, state: str) -> list[Run]:
    return [run for run in runs(folder) if run.state() == state] if (folder / "sweep.json").is_file() else []


ENDLESS = ("trainer.max_epochs=100000", "trainer.limit_train_batches=2")
LONG = ("trainer.max_epochs=25", "trainer.limit_train_batches=10", "seed=0,1,2")


@pytest.mark.slow
def test_a_dead_worker_costs_one_job(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with packed(tmp_path, *LONG, "hydra.launcher.workers=1") as process:
        wait_for(lambda: any(run.metrics() for run in some_state(folder, "running")), process)
        [victim] = some_state(folder, "running")
        pid = victim.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "interrupted: the worker was killed by SIGKILL" in out
    states = [run.state() for run in runs(folder)]
    assert sorted(states) == ["done", "done", "interrupted"]
    with packed(tmp_path, *LONG) as again:
        again.communicate(timeout=300)
    assert again.returncode == 0
    assert sorted(run.status().attempts for run in runs(folder)) == [1, 1, 2]


@pytest.mark.slow
def test_a_sweep_whose_driver_is_killed_ends_complete_with_the_same_command(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with packed(tmp_path, *LONG) as process:
        wait_for(lambda: some_state(folder, "done"), process)
        process.kill()
        process.communicate(timeout=60)
    with packed(tmp_path, *LONG) as again:
        _out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert [run.state() for run in runs(folder)] == ["done"] * 3
    # what lived on was waited for, done jobs were not run twice
    assert [run.status().attempts for run in runs(folder)] == [1] * 3


@pytest.mark.slow
def test_two_drivers_share_a_sweep(tmp_path: Path) -> None:
    """Each waits for the jobs of the other; no job is run twice."""
    arguments = (*LONG, "trainer.max_epochs=250", "hydra.launcher.workers=1")
    with packed(tmp_path, *arguments) as first:
        wait_for(lambda: some_state(tmp_path / "sweep", "running"), first)
        with packed(tmp_path, *arguments) as second:
            said = [process.communicate(timeout=300) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], said
    assert [run.status().attempts for run in runs(tmp_path / "sweep")] == [1, 1, 1]
    assert len({run.status().pid for run in runs(tmp_path / "sweep")}) == 2, "the second had none of them"


EXTENDING = """
import sys, time
from pathlib import Path
from receptive.runs import Run
from receptive.sweeps.expansion import Point
from receptive.sweeps.jobs import Job, settle

root, (first, last) = Path(sys.argv[1]), map(int, sys.argv[2:])
print("ready", flush=True)
sys.stdin.read()
for seed in range(first, last):
    point = Point("", (f"seed={seed}",), ("seed",), ("seed",))
    [job] = settle([Job(point, {"seed": seed}, f"{seed:012x}", Run(root / f"{last}-{seed}"))], root)
    print(job.run.folder.name)
"""


def test_two_drivers_that_extend_a_sweep_at_once_lose_nothing(tmp_path: Path) -> None:
    """Both know jobs 20 to 39: whoever comes second takes the folder of the first."""
    folder, ranges = tmp_path / "sweep", (("0", "40"), ("20", "60"))
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", EXTENDING, folder, *seeds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for seeds in ranges
    ]
    for driver in drivers:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
    for driver in drivers:
        assert driver.stdin is not None
        driver.stdin.close()
        driver.stdin = None
    said = [driver.communicate(timeout=120)[0].split() for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0]
    entries = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert sorted(entry["overrides"][0] for entry in entries) == sorted(f"seed={seed}" for seed in range(60))
    assert {entry["folder"] for entry in entries} == {path.name for path in folder.iterdir() if path.is_dir()}
    assert set(said[0]) | set(said[1]) == {entry["folder"] for entry in entries}
    assert said[0][20:] == said[1][:20]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_sweep_in_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder = tmp_path / "sweep"
    with packed(tmp_path, *ENDLESS, "seed=0,1", "hydra.launcher.workers=1") as process:
        wait_for(lambda: any(run.metrics() for run in some_state(folder, "running")), process)
        process.send_signal(number)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert "waiting" in out  # the table
    assert not some_state(folder, "running")
    assert some_state(folder, "interrupted")
    assert (folder / "runs.csv").is_file()
