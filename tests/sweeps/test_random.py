"""Points drawn at random: from what, how often, and that more of them change none."""

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from tests.conftest import Cli
from tests.sweeps.conftest import Master, parse

from receptive.errors import InputError
from receptive.sweeps.expansion import Point, expand
from receptive.sweeps.jobs import compose
from receptive.sweeps.space import Drawing, Interval, draw

FIVE_AXES = (
    "model=unet",
    "data=phantoms",
    "optimizer.lr=0.01,0.001",
    "data.batch_size=2,4",
    "optimizer=adam,sgd",
    "model.upsampling=bilinear,nearest,transposed",
    "model.activation=relu,elu",
)


def values(points: list[Point], key: str) -> list[str]:
    return [point.labels[key] for point in points]


def drawn(override: str, count: int = 2000, seed: int = 0) -> list[float]:
    return [float(value) for value in values(draw(parse(override), Drawing(count, seed)), override.partition("=")[0])]


def test_more_points_keep_those_that_are_there() -> None:
    space = parse("optimizer.lr=tag(log,interval(1e-4,1e-1))", "optimizer=adam,sgd", "seed=range(2)")
    few, many = draw(space, Drawing(5, 3)), draw(space, Drawing(50, 3))
    assert many[: len(few)] == few
    assert len(few) == 10
    assert [point.trial for point in few] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert draw(space, Drawing(5, 4)) != few


def test_the_points_are_those_of_earlier_versions() -> None:
    """A search that is extended keeps those that it has."""
    space = parse("optimizer.lr=tag(log,interval(1e-4,1e-1))", "optimizer=adam,sgd")
    assert values(draw(space, Drawing(3, 0)), "optimizer.lr") == ["0.0069226", "0.006612", "0.0086806"]
    assert values(draw(space, Drawing(3, 0)), "optimizer") == ["sgd", "sgd", "sgd"]


def test_another_axis_changes_no_value() -> None:
    one, two = parse("a=interval(0,1)"), parse("b=x,y", "a=interval(0,1)", "c=3")
    assert values(draw(one, Drawing(9, 0)), "a") == values(draw(two, Drawing(9, 0)), "a")


def test_every_point_is_run_with_every_seed() -> None:
    points = draw(parse("a=interval(0,1)", "seed=1,2,5"), Drawing(2, 0))
    assert values(points, "seed") == ["1", "2", "5"] * 2
    assert len(set(values(points, "a"))) == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a=interval(-2,3)", stats.uniform(-2, 5)),
        ("a=tag(log,interval(1e-5,1e-1))", stats.loguniform(1e-5, 1e-1)),
        ("a=interval(1000.001,1000.002)", stats.uniform(1000.001, 0.001)),
    ],
)
def test_numbers_are_spread_as_they_should(override: str, expected: object) -> None:
    assert stats.kstest(drawn(override), expected.cdf).pvalue > 0.01  # type: ignore[attr-defined]


def test_axes_are_drawn_independently() -> None:
    points = draw(parse("a=interval(0,1)", "b=interval(0,1)"), Drawing(1000, 0))
    pairs = [[float(point.labels[key]) for point in points] for key in "ab"]
    assert stats.spearmanr(*pairs).pvalue > 0.01


@pytest.mark.parametrize(
    "override", ["a=tag(int,interval(1,6))", "a=int(interval(1,6))", "a=range(1,7)", "a=range(6,0,-1)"]
)
def test_whole_numbers_are_equally_likely_to_both_ends(override: str) -> None:
    counts = pd.Series(values(draw(parse(override), Drawing(3000, 1)), "a")).value_counts()
    assert set(counts.index) == {"1", "2", "3", "4", "5", "6"}
    assert stats.chisquare(counts).pvalue > 0.01


def test_whole_numbers_in_the_logarithm() -> None:
    found = drawn("a=tag(int,log,interval(1,1000))")
    assert all(value == int(value) for value in found)
    assert (min(found), 900 < max(found) <= 1000) == (1, True)
    assert 0.2 < sum(value <= 10 for value in found) / len(found) < 0.5


@pytest.mark.parametrize("interval", [Interval(0.1, 0.3), Interval(1e-5, 1e-1, log=True), Interval(3, 5, whole=True)])
def test_no_value_lies_outside(interval: Interval) -> None:
    for share in (0.0, 1e-12, 0.5, 1 - 1e-12, math.nextafter(1, 0)):
        assert interval.low <= float(interval.at(share)) <= interval.high
    assert [float(text) for text in interval.probes] == [interval.low, interval.high]


def test_numbers_are_as_long_as_a_table_likes_them() -> None:
    assert Interval(1e-5, 0.1, log=True).text(0.012345678) == "0.012346"
    assert Interval(1e-7, 0.1, log=True).text(0.000012) == "1.2e-05"  # a number for Hydra and YAML
    assert Interval(1000.0, 1000.01).text(1000.0012345) == "1000.001235"


def test_params_of_a_file_and_the_command_line() -> None:
    params = {"optimizer.lr": "tag(log,interval(1e-4,1e-1))", "optimizer": ["adam", "sgd"], "trainer.max_epochs": 2}
    space = parse("optimizer=adam", **{key.replace(".", "__"): value for key, value in params.items()})
    assert list(space.axes) == ["optimizer.lr"]
    assert list(space.fixed.values()) == ["trainer.max_epochs=2", "optimizer=adam"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["a=interval(5,1)"], "a=interval(5,1): give the smaller bound first"),
        (["a=interval(1,1)"], "the smaller bound first"),
        (["a=interval(0,inf)"], "both finite"),
        (["a=tag(log,interval(0,1))"], "a logarithmic interval begins above 0"),
        (["a=tag(log,interval(-1,1))"], "begins above 0"),
        (["a=tag(lgo,interval(1,2))"], "unknown tag 'lgo', did you mean 'log'?"),
        (["a=tag(int,interval(0.5,2))"], "whole bounds"),
        (["a=range(10,1)"], "a=range(10,1): holds no value"),
        (["a=range(1,10,0)"], "holds no value"),
        (["a=range(0.5,1.0,0)"], "holds no value"),
        (["a=tag(log,range(1,10))"], "tag(log) goes with an interval"),
        (["a=1,2", "seed=interval(0,9)"], "seeds are listed, not drawn"),
        (["a=1"], "there is nothing to search"),
        (["seed=0,1"], "there is nothing to search"),
        (["a=interval(2,1)", "b=tag(log,interval(0,1))"], "b=tag(log"),
    ],
)
def test_spaces_that_hold_nothing(overrides: list[str], told: str) -> None:
    with pytest.raises(
        InputError, match="^[\\s\\S]*" + told.replace("(", "\\(").replace(")", "\\)").replace("?", "\\?")
    ):
        parse(*overrides)


def test_a_grid_in_steps_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^seed=range\(0,9,0\): holds no value"):
        expand(None, ["seed=range(0,9,0)"], None, None)  # type: ignore[arg-type]


def test_values_of_a_file_are_those_of_the_command_line() -> None:
    params = {
        "a": None, "b": [None, 1.5, True], "c": [["x y", None], [1, 2]], "d": {"e": [None], "f": "1"}, "g": "range(2)",
    }  # fmt: skip
    points = expand(None, [], params, None)  # type: ignore[arg-type]
    lists = [["null"], ["null", "1.5", "True"], ["['x y',null]", "[1,2]"], ["{e:[null],f:'1'}"], ["0", "1"]]
    seen = [
        dict.fromkeys(line.partition("=")[2].replace(", ", ",").replace(": ", ":") for line in column)
        for column in zip(*(point.overrides for point in points), strict=True)
    ]
    assert [list(column) for column in seen] == lists


def test_a_sweep_is_extended_by_more_trials(cli: Cli, tmp_path: Path) -> None:
    arguments = ("-m", "trainer=debug", "hydra/sweeper=random", "optimizer.lr=tag(log,interval(1e-4,1e-1))")
    assert cli("train", *arguments, "hydra.sweeper.trials=2")[0] == 0
    code, out, err = cli("train", *arguments, "hydra.sweeper.trials=3")
    assert (code, err) == (0, "")
    assert "3 jobs in" in out and "(2 done), 1 to run" in out
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    assert pd.read_csv(folder / "runs.csv")["optimizer.lr"].between(1e-4, 1e-1).all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["hydra.sweeper.trials=0"], "hydra.sweeper.trials=0: must be greater than or equal to 1"),
        (["hydra.sweeper.trials=many"], "hydra.sweeper.trials=many: must be"),
        (["hydra.sweeper.sampling_seed=-1"], "hydra.sweeper.sampling_seed=-1: must be greater"),
        (["optimizer.lr=interval(2,1)"], "give the smaller bound first"),
        (["optimizer.lt=interval(1,2)"], "unknown key 'optimizer.lt', did you mean 'optimizer.lr'?"),
        (["optimizer.lr=interval(-2,-1)"], "optimizer.lr"),
    ],
)
def test_faults_come_before_anything_runs(cli: Cli, tmp_path: Path, arguments: list[str], told: str) -> None:
    axis = [] if any("interval" in argument for argument in arguments) else ["optimizer.lr=interval(0,1)"]
    code, _, err = cli("train", "-m", "hydra/sweeper=random", *axis, *arguments)
    assert code == 1
    assert told in err
    assert not (tmp_path / "outputs").exists()


def test_a_grid_refuses_an_interval_and_says_who_takes_it(cli: Cli) -> None:
    code, _, err = cli("train", "-m", "optimizer.lr=interval(0,1)")
    assert code == 1
    assert "hydra/sweeper=random or optuna takes intervals" in err


def test_everything_at_once(master: Master, tmp_path: Path) -> None:
    """Learning rate, batch size, optimizer, upsampling and activation: all points can run; nothing is run here."""
    loader, config = master()
    points = expand(loader, list(FIVE_AXES), {}, None)
    jobs = compose(loader, config, points, tmp_path)
    assert (len(points), len(jobs), len({job.run.folder.name for job in jobs})) == (48, 48, 48)
    assert {job.config["model"]["upsampling"] for job in jobs} == {"bilinear", "nearest", "transposed"}
    space = parse(*FIVE_AXES)
    assert len(space.axes) == 5
    found = compose(loader, config, draw(space, Drawing(12, 0)), tmp_path)
    assert {job.fingerprint for job in found} <= {job.fingerprint for job in jobs}
