"""What figures show: groups in their order, bands, cells, lines."""

import math

import numpy as np
import pytest
from tests.report.conftest import RunFolders

from receptive.report.contents import chosen_records
from receptive.report.importance import importance
from receptive.report.series import Factor, best_record, factors, grid, lines, points, ranked
from receptive.report.tables import summary_lines

LR = "optimizer.lr"


def test_groups_stand_by_the_mean_of_the_monitored_metric(folders: RunFolders) -> None:
    for name, scores in (("bad", (0.1, 0.2)), ("good", (0.7, 0.9)), ("even", (0.5, 0.6))):
        for seed, score in enumerate(scores):
            folders.add({"variant": name}, seed=seed, score=score)
    folders.add({"variant": "open"}, state="running")
    collection = folders.collection()
    assert [group.name for group in ranked(collection)] == ["good", "even", "bad", "open"]
    best = best_record(collection, ranked(collection)[0])
    assert best is not None and best.metrics["val/accuracy"] == 0.9
    assert best_record(collection, ranked(collection)[-1]) is None


def test_of_a_loss_less_is_better(folders: RunFolders) -> None:
    for name, loss in (("bad", 3.0), ("good", 1.0)):
        folders.add({"variant": name}, metrics={"val/loss": loss}, result={"monitor": "val/loss"})
    collection = folders.collection()
    assert [group.name for group in ranked(collection)] == ["good", "bad"]


def test_less_is_better_where_the_runs_were_told_so(folders: RunFolders) -> None:
    minimized = {"trainer.monitor_mode": "min"}
    for act, error in (("relu", 0.3), ("elu", 0.1)):
        for lr, more in (("0.1", 0.0), ("0.01", 0.05)):
            for seed in range(2):
                score = error + more + 0.001 * seed
                folders.add({LR: lr, "act": act}, seed=seed, score=score, metric="error", config=minimized)
    collection = folders.collection()
    assert [collection.smaller(f"{part}/error") for part in ("train", "val", "test")] == [True] * 3
    assert not collection.smaller("val/accuracy")
    groups = ranked(collection)
    assert [group.labels["act"] for group in groups] == ["elu", "elu", "relu", "relu"]
    found = lines(collection, "test/error")
    assert found is not None and found.values[-1] == min(found.values)
    assert [line.group for line in summary_lines(collection) if math.isnan(line.p_against_best)] == groups[:1]
    assert chosen_records(collection, 1) == list(groups[0].records[:1])
    assert best_record(collection, groups[0]) == groups[0].records[0]


def test_a_factor_has_its_values_by_size_and_knows_orders_of_magnitude(folders: RunFolders) -> None:
    for lr, width, act in (("0.1", "8", "relu"), ("0.001", "12", "elu"), ("0.01", "10", "relu")):
        folders.add({LR: lr, "model.width": width, "model.act": act, "same": "1"})
    found = {factor.key: factor for factor in factors(folders.collection())}
    assert list(found) == [LR, "model.width", "model.act"]
    assert found[LR].values == ("0.001", "0.01", "0.1") and found[LR].logarithmic
    assert found[LR].place("0.01") == pytest.approx(0.5)
    assert found["model.width"].values == ("8", "10", "12") and not found["model.width"].logarithmic
    assert found["model.width"].place("10") == 0.5
    assert found["model.act"].numbers is None and found["model.act"].title == "act"


def test_values_that_are_no_numbers_are_left_out(folders: RunFolders) -> None:
    folders.add({"variant": "a"}, seed=0, score=math.nan)
    folders.add({"variant": "a"}, seed=1, score=0.5)
    [one] = points(folders.collection(), "val/accuracy")
    assert [value for _, value in one.runs] == [0.5]


def test_a_grid_needs_exactly_two_factors(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01"], "act": ["relu", "elu", "tanh"]}, seeds=2)
    folders.add({LR: "0.1", "act": "gelu"}, state="failed", error="no")
    found = grid(folders.collection(), "val/accuracy")
    assert found is not None and found.rows.values == ("0.01", "0.1")
    assert found.columns.values == ("relu", "elu", "tanh", "gelu")
    assert found.counts == ((2, 2, 2, 0), (2, 2, 2, 0))
    assert math.isnan(found.means[1][3]) and found.means[1][0] == pytest.approx(0.95, abs=0.03)
    folders.add({LR: "0.1", "act": "relu", "more": "1"})
    assert grid(folders.collection(), "val/accuracy") is None


@pytest.mark.parametrize(("scores", "digits"), [((0.90, 0.80), 1), ((0.90, 0.86), 2)])
def test_cells_have_so_many_decimals_as_tell_them_apart(
    folders: RunFolders, scores: tuple[float, float], digits: int
) -> None:
    for act, lr, score in zip(("relu", "elu"), ("0.1", "0.01"), scores, strict=True):
        folders.add({LR: lr, "act": act}, score=score)
    for metric, more in (("val/accuracy", 0), ("val/loss", 2)):
        found = grid(folders.collection(), metric)
        assert found is not None and found.digits(metric) == digits + more


@pytest.mark.parametrize(
    ("count", "step"), [(2, 1), (12, 1), (13, 2), (15, 2), (20, 2), (21, 2), (25, 3), (26, 5), (100, 9)]
)
def test_beside_an_axis_stand_all_values_or_evenly_spaced_ones(count: int, step: int) -> None:
    values = tuple(map(str, range(count)))
    shown = Factor("lr", "lr", values, tuple(map(float, values))).words
    assert shown == values[::step] and len(shown) <= 12
    assert Factor("act", "act", values, None).words == values


def test_runs_are_lines_the_best_last(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01"], "act": ["relu", "elu"]}, seeds=2)
    found = lines(folders.collection(), "val/accuracy")
    assert found is not None and len(found.values) == 8 and found.left_out == 0
    assert list(found.values) == sorted(found.values)
    assert found.names[-1].startswith("lr=0.1, act=relu, seed")
    assert len(set(found.places)) == 8  # runs of one group lie side by side
    assert lines(folders.collection(), "val/loss").values[-1] == min(  # type: ignore[union-attr]
        lines(folders.collection(), "val/loss").values  # type: ignore[union-attr]
    )


def test_the_important_parameter_comes_first(folders: RunFolders) -> None:
    for number in range(24):
        lr, act = ("0.1", "0.01", "0.001")[number % 3], ("relu", "elu")[number % 2]
        folders.add({LR: lr, "act": act}, seed=number // 6, score=0.3 + 0.3 * (number % 3) + 0.001 * number)
    found = importance(folders.collection(), "val/accuracy")
    assert found is not None and [factor.key for factor in found.factors] == [LR, "act"]
    assert found.means[0] > 10 * abs(found.means[1])
    assert found.explains and found.score > 0.9
    assert "24 runs" in found.caption and f"{found.score:.2f}" in found.caption


def test_of_noise_the_forest_explains_nothing(folders: RunFolders) -> None:
    for number, score in enumerate(np.random.default_rng(1).random(16)):
        folders.add({LR: ("0.1", "0.01")[number % 2], "act": ("a", "b")[number // 2 % 2]}, seed=number, score=score)
    found = importance(folders.collection(), "val/accuracy")
    assert found is not None and not found.explains


def test_few_runs_have_no_importance(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01"], "act": ["relu", "elu"]}, seeds=1)
    assert importance(folders.collection(), "val/accuracy") is None
