"""Statistics over seeds against statsmodels, numpy and figures worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from receptive.metrics import bounds
from receptive.report.statistics import difference, holm, spread, spread_ratio

SAMPLES = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=8)


@given(SAMPLES)
def test_spread_is_statsmodels(values: list[float]) -> None:
    known = spread(values)
    oracle = DescrStatsW(np.array(values))
    assert known.mean == pytest.approx(oracle.mean, abs=1e-9)
    assert known.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    low, high = oracle.tconfint_mean(0.05)
    assert (known.low, known.high) == (pytest.approx(low, abs=1e-7), pytest.approx(high, abs=1e-7))
    assert known.n == len(values)
    assert (known.best(), known.best(smaller=True)) == (max(values), min(values))


def test_an_interval_ends_where_the_metric_does() -> None:
    """Two of three runs that learn nothing: Student's interval of the mean goes below zero."""
    values = [0.105, 0.105, 0.43]
    assert spread(values).low < 0
    known = spread(values, bounds("val/accuracy"))
    assert (known.low, known.high) == (0.0, spread(values).high)
    assert (known.mean, known.deviation) == (spread(values).mean, spread(values).deviation)
    beyond = spread([3.0, 5.0], (0.0, 1.0))  # a metric of that name in other units
    assert beyond.low <= beyond.mean <= beyond.high


def test_spread_of_one_and_of_none() -> None:
    one, none = spread([0.5]), spread([])
    assert (one.n, one.mean) == (1, 0.5)
    assert math.isnan(one.deviation) and math.isnan(one.low) and math.isnan(one.high)
    assert none.n == 0 and math.isnan(none.mean) and math.isnan(none.best())


@pytest.mark.parametrize("strange", [math.nan, math.inf])
def test_spread_and_difference_of_what_is_no_number(strange: float) -> None:
    found = spread([strange, 1.0, 2.0])
    assert found.n == 3 and math.isnan(found.deviation) and math.isnan(found.low)
    assert (found.best(), found.best(smaller=True)) == (2.0, 1.0)
    assert math.isnan(spread([strange]).best())
    assert math.isnan(difference([strange, 1.0], [1.0, 2.0]).p)


@given(SAMPLES, SAMPLES)
def test_difference_is_welchs_test(first: list[float], second: list[float]) -> None:
    found = difference(first, second)
    assert found.value == pytest.approx(np.mean(first) - np.mean(second), abs=1e-9)
    if np.std(first) + np.std(second) < 1e-3:  # the oracle divides by the scatter
        return
    oracle = CompareMeans(DescrStatsW(np.array(first)), DescrStatsW(np.array(second)))
    assert found.p == pytest.approx(oracle.ttest_ind(usevar="unequal")[1], abs=1e-7)
    low, high = oracle.tconfint_diff(usevar="unequal")
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-6, abs=1e-6), pytest.approx(high, rel=1e-6, abs=1e-6))


def test_difference_without_scatter_and_without_runs() -> None:
    assert difference([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert math.isnan(difference([2.0, 2.0], [1.0, 1.0]).p)
    assert math.isnan(difference([1.0], [2.0, 3.0]).p)
    assert difference([1.0], [2.0, 4.0]).value == -2.0
    assert math.isnan(difference([], [2.0, 3.0]).value)


def test_nearly_the_same_values_raise_no_warning() -> None:
    assert 0 <= difference([0.1, 0.1 + 1e-17, 0.1], [0.1, 0.1, 0.1 + 1e-16]).p <= 1


def test_holm_by_hand() -> None:
    """Holm 1979: sorted p times (n, n-1, ...), never falling, at most 1; NaN does not count."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    found = holm([0.02, math.nan, 0.9, 0.5])
    assert found[0] == pytest.approx(0.06) and math.isnan(found[1]) and found[2:] == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_by_its_definition(p_values: list[float]) -> None:
    """The k-th smallest p is rejected at a level when it and all smaller ones pass level / (n - k)."""
    corrected = holm(p_values)
    places = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(places):
        needed = max((len(p_values) - earlier) * p_values[places[earlier]] for earlier in range(rank + 1))
        assert corrected[place] == pytest.approx(min(1.0, needed), abs=1e-12)


def test_spread_ratio_finds_what_scatters_more() -> None:
    rng = np.random.default_rng(0)
    ratio, p = spread_ratio(rng.normal(0, 1, 40).tolist(), rng.normal(0, 5, 40).tolist())
    assert ratio < 0.4 and p < 0.001
    assert math.isnan(spread_ratio([1.0, 2.0], [1.0, 5.0])[1])
    assert math.isnan(spread_ratio([1.0] * 3, [1.0] * 3)[1])
    assert spread_ratio([1.0, 2.0, 4.0], [1.0] * 3)[0] == math.inf
