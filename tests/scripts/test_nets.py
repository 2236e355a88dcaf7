"""Nets A and B by layer and by epoch: on small tables, and what the pages say of the committed ones."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.edition import nets, pages  # noqa: E402

from receptive.files import read_csv  # noqa: E402

RESULTS = ROOT / "results"


def test_what_is_behind_each_relu(results: Path) -> None:
    found = nets.by_depth(results, "a")
    assert {number: one.values for number, one in found["mean_absolute"].items()} == {1: (1, 3), 2: (10, 30)}
    assert {number: one.mean for number, one in found["zeros"].items()} == {1: 0.02, 2: 0.2}
    assert {number: one.values for number, one in found["class_accuracy"].items()} == {1: (0.01, 0.03), 2: (0.1, 0.3)}
    assert {number: one.values for number, one in found["picture_r2"].items()} == {1: (0.99, 0.97), 2: (0.9, 0.7)}
    assert nets.overall(found["mean_absolute"]).values == (5.5, 16.5)
    assert nets.epochs(results) == "2"


def test_gradients_are_means_of_the_convolutions_from_the_first_step_on(results: Path) -> None:
    assert {epoch: one.values for epoch, one in nets.gradients(results, "a").items()} == {1: (2, 6), 2: (3, 9)}


def test_nothing_without_runs(tmp_path: Path) -> None:
    assert (nets.by_depth(tmp_path, "a"), nets.gradients(tmp_path, "a")) == ({}, {})


def test_the_table_is_that_of_both_nets(results: Path) -> None:
    catalogue = results.parent / pages.CATALOGUE
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text("R0.5: {}")
    page = catalogue.parent / "r0.md"
    page.write_text("<!-- results: layers -->\n<!-- /results -->\n")
    text = pages.Pages(results.parent).filled(page)
    assert "over 50 training images, best epoch of 2 (`cifar10_batch_norm`, n=2 each)" in text
    assert "| ReLU 2 | 20.000 ± 14.142 | 20.000 ± 0.000 | 0.200 ± 0.141 | 0.200 ± 0.000 |" in text
    assert "| mean of all | 11.000 ± 7.778 | 11.000 ± 0.000 | 0.110 ± 0.078 | 0.110 ± 0.000 |" in text


def test_the_tables_mean_is_the_one_that_is_judged() -> None:
    [row] = [row for row in read_csv(RESULTS / "checks" / "claims.csv") if row["what it says"].startswith("A's ReLUs")]
    zeros = {net: nets.overall(nets.by_depth(RESULTS, net)["zeros"]) for net in nets.NETS}
    shown = "; ".join(f"{net}: {one.mean:.3g} ± {one.deviation:.2g} (n={one.n})" for net, one in zeros.items())
    assert row["ours"] == shown


def above(first: nets.Series, second: nets.Series) -> set[int]:
    """Where every run of one net lies above every run of the other."""
    return {place for place, one in first.items() if min(one.values) > max(second[place].values)}


def test_what_the_pages_say_of_layers_is_so() -> None:
    """R0, Layer by layer, and R1, Probes and Gradients: after a change of results/ read their sentences again."""
    a, b = (nets.by_depth(RESULTS, net) for net in nets.NETS)
    largest = [
        max(series, key=lambda number: series[number].mean) for series in (a["mean_absolute"], b["mean_absolute"])
    ]
    assert largest == [5, 2]
    assert min(b["mean_absolute"], key=lambda number: b["mean_absolute"][number].mean) == 8
    wider = {n for n, one in a["mean_absolute"].items() if one.deviation > b["mean_absolute"][n].deviation}
    assert {3, 4, 5, 6, 7} <= wider
    assert above(a["zeros"], b["zeros"]) == {1, 2, 3, 4, 6}
    assert above(b["zeros"], a["zeros"]) == {7}
    for key, sign in (("class_accuracy", 1), ("picture_r2", -1)):
        assert above(b[key], a[key]) >= set(range(2, 9))
        for series in (a[key], b[key]):
            for run in zip(*(one.values for one in series.values()), strict=True):
                assert sorted(run, key=lambda value: sign * value) == list(run)
    norms = [nets.gradients(RESULTS, net) for net in nets.NETS]
    assert above(norms[1], norms[0]) == set(range(1, 10))
    assert above(norms[0], norms[1]) == set(range(11, 31))
    near_zero = {
        sum(value < 0.03 for value in run) for run in zip(*(one.values for one in norms[0].values()), strict=True)
    }
    assert near_zero == {4, 6}
    page = (ROOT / "docs/reports/r1.md").read_text(encoding="utf-8")
    assert re.search(r"From epoch 11 on\s+A's are larger, with every seed", page)
