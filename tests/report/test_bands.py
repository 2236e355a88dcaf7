"""Lines with a band: learning curves, a metric over a parameter, and how their axis is cut out."""

import math

import pytest
from tests.report.conftest import RunFolders

from receptive.report.bands import Band, Frame, curve_metrics, curves, frame, numeric_factors, over
from receptive.report.collection import Group
from receptive.report.series import factors

LR = "optimizer.lr"


def band(*mean: float, low: tuple[float, ...] = (), high: tuple[float, ...] = ()) -> Band:
    places = tuple(map(float, range(1, len(mean) + 1)))
    return Band(Group({}, ()), "all", 2, places, mean, low or mean, high or mean)


def test_a_band_goes_from_the_smallest_to_the_largest_of_the_runs_that_came_so_far(folders: RunFolders) -> None:
    folders.add(seed=0, score=0.6, epochs=2)
    folders.add(seed=1, score=0.8, epochs=4)
    folders.add(seed=2, score=0.9, epochs=4, state="interrupted")
    # trainer.max_epochs is a part of the config: as one group only where it is the same
    for run in folders.root.glob("run-*/config.yaml"):
        run.write_text("seed: 0\n")
    collection = folders.collection()
    assert curve_metrics(collection)[:2] == ["val/accuracy", "val/loss"]
    [band] = curves(collection, "val/accuracy")
    assert band.runs == 2 and band.places == (1.0, 2.0, 3.0, 4.0)
    assert band.low[1] < band.mean[1] < band.high[1] == pytest.approx(0.6)
    assert band.low[3] == band.mean[3] == band.high[3] == pytest.approx(0.8)


def test_a_group_without_a_done_run_says_so(folders: RunFolders) -> None:
    folders.add({"variant": "a"}, state="running")
    [band] = curves(folders.collection(), "val/accuracy")
    assert band.name == "a (not done)"


def test_a_curve_leaves_out_what_is_no_number(folders: RunFolders) -> None:
    folders.add({"variant": "a"}, seed=0, score=math.nan)
    folders.add({"variant": "a"}, seed=1, score=0.5)
    [found] = curves(folders.collection(), "val/accuracy")
    assert found.runs == 1 and found.mean[-1] == pytest.approx(0.5)


def test_over_a_number_each_variant_has_a_line(folders: RunFolders) -> None:
    for variant, base in (("a", 0.5), ("b", 0.8)):
        for lr, more in (("0.01", 0.1), ("0.1", 0.0), ("0.001", 0.05)):
            for seed in range(2):
                folders.add({"variant": variant, LR: lr}, seed=seed, score=base + more + 0.02 * seed)
    folders.add({"variant": "b", LR: "1"}, state="failed")
    collection = folders.collection()
    [factor] = numeric_factors(collection)
    found = over(collection, factor, "val/accuracy")
    assert [(one.name, one.runs) for one in found] == [("b", 2), ("a", 2)]
    assert found[0].places == (0.001, 0.01, 0.1)
    assert found[0].mean == pytest.approx((0.86, 0.91, 0.81))
    assert found[0].low == pytest.approx((0.85, 0.90, 0.80)) and found[0].high == pytest.approx((0.87, 0.92, 0.82))
    assert found[0].group.labels == {"variant": "b", LR: "0.01"}  # its best


def test_a_line_needs_three_values_and_nothing_else_that_differs(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01"], "act": ["relu", "elu", "tanh"]}, seeds=1)
    assert numeric_factors(folders.collection()) == []
    for number in range(6):  # a search: no two points share what the others are
        folders.add({LR: f"0.{number + 3}", "act": "gelu", "model.width": str(number)})
    collection = folders.collection()
    assert [factor.key for factor in numeric_factors(collection)] == []
    assert all(over(collection, factor, "val/accuracy") == [] for factor in factors(collection))


@pytest.mark.parametrize(
    ("metric", "bands", "logarithmic"),
    [
        ("val/loss", [band(2.0, 0.2)], True),
        ("val/loss", [band(2.0, 0.21)], False),
        ("val/loss", [band(0.3, 0.2), band(60.0, 50.0)], True),  # one far above the others
        ("val/loss", [band(2.0, 0.1, low=(1.0, 0.0))], False),
        ("val/accuracy", [band(0.01, 0.9)], False),
        ("val/loss", [], False),
    ],
)
def test_a_loss_that_spans_a_factor_of_ten_is_logarithmic(metric: str, bands: list[Band], logarithmic: bool) -> None:
    assert frame(metric, bands) == Frame(logarithmic)


def test_a_single_dip_is_cut_off() -> None:
    steady = (0.70, 0.90, 0.91, 0.92, 0.93, 0.94, 0.95)
    low = (0.70, 0.90, 0.91, 0.08, 0.93, 0.94, 0.95)
    found = frame("val/f1_mean", [band(*steady, low=low)])
    assert found.ends == pytest.approx((0.6875, 0.9625))
    assert frame("val/f1_mean", [band(*steady)]).ends is None
    small = (0.70, 0.90, 0.91, 0.65, 0.93, 0.94, 0.95)
    assert frame("val/f1_mean", [band(*steady, low=small)]).ends is None


def test_start_and_end_are_never_cut_off() -> None:
    assert frame("val/accuracy", [band(0.1, 0.9, 0.91, 0.92), band(0.9, 0.91, 0.92, 0.2)]).ends is None
    assert frame("val/accuracy", [band(0.5), band(0.1, 0.9)]).ends is None
    assert frame("val/accuracy", [band(0.5, 0.9, 0.5)]).ends is None  # nothing steady to cut out
