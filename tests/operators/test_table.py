"""`receptive operators`: the table, R2's faults, and what makes it fail."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_pool

from receptive import operators
from receptive.console import new_console
from receptive.operators import cases, reported, table

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One measurement of each."""
    monkeypatch.setattr(table, "_ROUNDS", 1)
    small = [case for case in cases.reports_cases() if "R3.1" not in case.claims or case.name == "Conv2dFunction"]
    monkeypatch.setattr(table, "reports_cases", lambda: small)


def test_every_row_is_equal(cli: Cli) -> None:
    code, out, err = cli("operators")
    assert (code, err) == (0, "")
    rows = re.findall(r"^(R\S+(?: R\S+)?) +(\w+) .* (equal|wrong)\s*$", out, re.MULTILINE)
    assert [row[0] for row in rows] == [f"R1.{n} R2.{n}" for n in range(1, 12)] + ["R3.1", "R2.8", "R2.9"]
    assert [row[2] for row in rows] == ["equal"] * 12 + ["wrong"] * 2
    assert "sqrt(var - eps)" in out


@pytest.mark.parametrize("name", ["max_pool2d", "flatten", "roi_pool"])
def test_what_computes_nothing_differs_by_nothing(name: str) -> None:
    (case,) = (case for case in cases.reports_cases() if case.name == name)
    assert case.exact
    row = table.compare(case)
    assert row.differences == (0, 0)
    assert row.equal


def test_a_row_that_differs_is_told_and_fails(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(input: Tensor) -> Tensor:
        return operators.sigmoid(input) + 1e-4

    wrong = [replace(case, ours=off) if case.name == "sigmoid" else case for case in table.reports_cases()]
    monkeypatch.setattr(table, "reports_cases", lambda: wrong)
    code, out, _ = cli("operators")
    assert code == 1
    assert re.search(r"^R1.7 R2.7 +sigmoid .* 1e-04 +1e-04 .* differs\s*$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("ours", "gap"), [([1.0, 2.5], 0.5), ([1.0, float("nan")], float("inf")), ([1.0], float("inf"))]
)
def test_difference(ours: list[float], gap: float) -> None:
    assert table.difference(torch.tensor(ours), torch.tensor([1.0, 2.0])) == gap


def test_the_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = new_console(width=120, force_terminal=True, color_system=None, record=True)
    assert table.print_table(console)
    text = console.export_text()
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "…" not in text
    assert re.search(r"1.9804, 2.0003 +equal", text)


def test_r2_8_bins_do_not_overlap() -> None:
    """Of 8 pixels in 3 bins the right ones are [0, 3), [2, 6), [5, 8): the specimen misses what lies in two."""
    assert reported.disjoint_bins(8, 3) == [(0, 2), (2, 5), (5, 8)]
    image = torch.arange(8.0).repeat(8, 1)[None, None]
    boxes = torch.tensor([[0, 0, 0, 6.5, 6.5]])
    assert roi_pool(image, boxes, 3)[0, 0, 0].tolist() == [2, 5, 7]
    assert operators.roi_pool(image, boxes, 3)[0, 0, 0].tolist() == [2, 5, 7]
    assert reported.roi_pool(image, boxes, (3, 3))[0, 0, 0].tolist() == [1, 4, 7]


def test_r2_9_takes_eps_away_and_fills_one_sample() -> None:
    images = torch.full((2, 1, 1, 1), 3.0, dtype=torch.float64)
    mean, var = torch.tensor([1.0]).double(), torch.tensor([0.25]).double()
    assert operators.batch_norm(images, mean, var, eps=0.09).flatten().tolist() == pytest.approx([2 / 0.34**0.5] * 2)
    assert reported.batch_norm(images, mean, var, eps=0.09).flatten().tolist() == [2 / 0.4, 0]
