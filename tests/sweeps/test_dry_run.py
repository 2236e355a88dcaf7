"""`dry_run=true`: jobs, states and time are told, nothing is written; sweeps without a job, points that stand twice."""

import json
import re
from pathlib import Path

import pytest
from tests.conftest import Cli

SWEEP = ("train", "-m", "trainer=debug", "hydra.sweep.dir=sweep")


def everything(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns if path.is_file() else 0 for path in sorted(folder.rglob("*"))}


def test_a_sweep_is_told_and_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli(*SWEEP, "dry_run=true", "optimizer.lr=0.1,0.01", "seed=range(2)", "hydra/launcher=packed")
    assert (code, err) == (0, "")
    assert re.search(r"^lr +seed +state +takes\n0.1 +0 +waiting +\?\n0.1 +1 ", out)
    assert "4 jobs in sweep, 4 would run\ntime: unknown: no finished run to go by\n" in out
    assert list(tmp_path.iterdir()) == []


def test_the_time_is_told_by_what_is_done(cli: Cli, tmp_path: Path) -> None:
    assert cli(*SWEEP, "seed=0,1")[0] == 0
    before = everything(tmp_path)
    code, out, _ = cli(*SWEEP, "seed=0,1,2,1", "dry_run=true")
    assert code == 0
    assert "1 of 4 points are duplicates of others\n" in out
    assert re.search(r"^0 +done *\n1 +done *\n2 +waiting +\d+ s$", out, re.MULTILINE)
    assert "3 jobs in sweep (2 done), 1 would run\n" in out
    assert re.search(r"time: about \d+ s \(by finished runs that share everything but seed and epochs\)", out)
    _, out, _ = cli(*SWEEP, "seed=0,1", "dry_run=true", "rerun=all")
    assert "2 jobs in sweep (2 done), 2 would run\ntime: about" in out
    _, out, _ = cli(*SWEEP, "seed=0", "model=net_a,mnist_net", "trainer.max_epochs=500", "dry_run=true")
    assert re.search(r"share everything but seed and epochs\); of 1 job unknown: no finished run", out)
    assert everything(tmp_path) == before


def test_the_same_command_without_it_finds_the_same_folder(cli: Cli, tmp_path: Path) -> None:
    _, told, _ = cli("train", "-m", "trainer=debug", "seed=0", "dry_run=true")
    code, out, _ = cli("train", "-m", "trainer=debug", "seed=0")
    assert code == 0
    folder = next((tmp_path / "outputs" / "sweeps").iterdir())
    assert f"outputs/sweeps/{folder.name}" in told
    assert f"outputs/sweeps/{folder.name}" in out


def test_a_single_run_is_told(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("train", "dry_run=true", "trainer.max_epochs=7")
    assert (code, err) == (0, "")
    assert out == "one run of 7 epochs; composed and checked\ntime: unknown: no finished run to go by\n"
    assert list(tmp_path.iterdir()) == []
    assert cli("train", "trainer=debug")[0] == 0
    before = everything(tmp_path)
    code, out, _ = cli("train", "dry_run=true", "trainer=debug")
    assert code == 0
    assert re.search(r"time: about \d+ s", out)
    assert everything(tmp_path) == before


def test_a_done_run_is_told_as_done(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", "trainer=debug", "hydra.run.dir=run")[0] == 0
    assert cli("train", "trainer=debug", "hydra.run.dir=run", "dry_run=true")[1] == "run is done already\n"
    assert cli("train", "trainer=debug", "hydra.run.dir=run", "dry_run=true", "seed=3")[0] == 1


def test_faults_are_told_as_always(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli(*SWEEP, "dry_run=true", "optimizer.lr=fast,0.1", "seed=0,-1")
    assert code == 1
    assert "optimizer.lr=fast" in err
    assert "seed=-1" in err
    code, _, err = cli("train", "dry_run=true", "optimizer.lr=fast")
    assert code == 1
    assert "optimizer.lr=fast" in err
    assert "dry_run=maybe: give true or false" in cli("train", "dry_run=maybe")[2]
    assert list(tmp_path.iterdir()) == []


def test_another_sweep_in_the_folder_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    own = tmp_path / "mine" / "optimizer" / "own.yaml"
    own.write_text("_target_: torch.optim.SGD\nlr: 0.1\n")
    arguments = (*SWEEP, "--config-dir", str(tmp_path / "mine"), "optimizer=own", "seed=0")
    assert cli(*arguments)[0] == 0
    own.write_text("_target_: torch.optim.SGD\nlr: 0.2\n")
    code, _, err = cli(*arguments, "dry_run=true")
    assert code == 1
    assert "optimizer.lr: 0.1 -> 0.2" in err


@pytest.mark.parametrize(("data", "key"), [("mnist", "data.source"), ("mnist_varres", "data.source.source")])
def test_data_are_not_downloaded(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, key: str
) -> None:
    monkeypatch.setattr("receptive.data.mnist._download", lambda folder: pytest.fail("it was downloaded"))
    options = (f"data={data}", "model=mnist_global_max", "dry_run=true")
    assert cli("train", *options)[0] == 0
    assert cli("train", *options, f"{key}.download=false")[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_long_table_is_cut(cli: Cli) -> None:
    code, out, _ = cli(*SWEEP, "dry_run=true", "seed=range(1000)")
    assert code == 0
    assert len(out.splitlines()) == 1 + 15 + 1 + 5 + 2
    assert "... 980 more" in out
    assert "1000 jobs in sweep, 1000 would run" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["seed=range(3,3)"], "seed=range(3,3): holds no value"),
        (["hydra.sweeper.params={seed:[]}"], "hydra.sweeper.params.seed: holds no value"),
        (["hydra.sweeper.params=3"], "hydra.sweeper.params=3: give key: values"),
        (
            ["hydra/launcher=packed", "hydra.launcher.workers=0"],
            "hydra.launcher.workers=0: must be greater than or equal to 1",
        ),
        (["hydra.sweeper.variants={}"], "hydra.sweeper.variants={}: give name"),
        (["hydra.sweeper.variants=[1]"], "hydra.sweeper.variants=[1]: give name"),
        (["hydra.sweeper.variants={a: 3}"], "hydra.sweeper.variants.a=3: give a list of overrides"),
    ],
)
def test_a_sweep_without_a_job_is_refused(cli: Cli, tmp_path: Path, arguments: list[str], told: str) -> None:
    code, out, err = cli(*SWEEP, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"receptive: {told}")
    assert not (tmp_path / "sweep").exists()


def test_points_that_stand_twice_are_told(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli(*SWEEP, "optimizer.lr=0.001,1e-3,0.01", "trainer.max_epochs=1,1,2")
    assert code == 0
    assert "5 of 9 points are duplicates of others\n4 jobs in sweep, 4 to run\n" in out
    assert len(json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]) == 4


INTERVAL = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


def test_points_drawn_at_random_are_told(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli(*SWEEP, "hydra/sweeper=random", "hydra.sweeper.trials=3", INTERVAL, "seed=0,1", "dry_run=true")
    assert code == 0
    assert "6 jobs in sweep, 6 would run" in out
    assert list(tmp_path.iterdir()) == []


def test_a_search_is_told(cli: Cli, tmp_path: Path) -> None:
    search = (*SWEEP, "hydra/sweeper=optuna", INTERVAL)
    code, out, _ = cli(*search, "hydra.sweeper.trials=3", "dry_run=true")
    assert code == 0
    assert "0 of 3 trials in sweep, 3 would run; 2 points of its space composed and checked\ntime: unknown" in out
    assert list(tmp_path.iterdir()) == []
    assert cli(*search, "hydra.sweeper.trials=2")[0] == 0
    before = everything(tmp_path)
    _, out, _ = cli(*search, "hydra.sweeper.trials=5", "dry_run=true")
    assert "2 of 5 trials in sweep (2 done), 3 would run" in out
    assert re.search(r"time: about \d+ s, one after the other", out)
    assert everything(tmp_path) == before
