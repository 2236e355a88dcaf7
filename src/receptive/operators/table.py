"""The table of `receptive operators`: each of the reports' cases against PyTorch, in values and time."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from receptive.console import print_unfolded
from receptive.operators.cases import SEED, SPECIMENS, Case, Operator, Specimen, reports_cases

# Relative to the largest value; what computes nothing (pooling's maximum, flatten, unfold) has to be equal.
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}
_SECONDS, _ROUNDS = 0.25, 50  # of measuring a case: at most


@dataclass(frozen=True)
class Row:
    """A case's outcome.

    Args:
        case: what was computed.
        differences: the largest absolute difference from PyTorch in float32 and float64, over both forms.
        equal: whether both are within their bound.
    """

    case: Case
    differences: tuple[float, float]
    equal: bool


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest absolute difference; infinite where shape or dtype differ, or one is not a number."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    gap = (ours - theirs).abs().max().item()
    return gap if gap == gap else float("inf")


def compare(case: Case) -> Row:
    """Compute a case in both dtypes and forms."""
    gaps, equal = [], True
    for dtype, bound in BOUNDS.items():
        arguments = case.arguments(dtype)
        theirs = case.theirs(*arguments, **case.options)
        gap = max(difference(form(*arguments, **case.options), theirs) for form in _forms(case))
        allowed = 0.0 if case.exact else bound * theirs.abs().max().item()
        gaps.append(gap)
        equal = equal and gap <= allowed
    return Row(case, (gaps[0], gaps[1]), equal)


def timing(case: Case) -> list[float]:
    """The times of the vectorised form, and of the loop form where there is one, over PyTorch's: medians, float32."""
    theirs, *ours = _medians(case, _forms(case))
    return [seconds / theirs for seconds in ours]


def _forms(case: Case) -> list[Operator]:
    return [form for form in (case.ours, case.loops) if form is not None]


def _medians(case: Case, forms: list[Operator]) -> list[float]:
    """Median seconds of PyTorch's and our forms in float32, in turn, without gradients; a slow form runs once."""
    arguments = case.arguments(torch.float32)
    taken: list[list[float]] = [[] for _ in range(1 + len(forms))]
    with torch.no_grad():
        for times, operator in zip(taken, (case.theirs, *forms), strict=True):
            once = _seconds(operator, arguments, case.options)  # a warm-up, unless it is slow
            if once > _SECONDS:
                times.append(once)
        started = time.perf_counter()
        for _ in range(_ROUNDS):
            for times, operator in zip(taken, (case.theirs, *forms), strict=True):
                if not times or times[0] < _SECONDS:
                    times.append(_seconds(operator, arguments, case.options))
            if time.perf_counter() - started > _SECONDS:
                break
    return [statistics.median(times) for times in taken]


def _seconds(operator: Operator, arguments: list[Tensor], options: dict[str, Any]) -> float:
    started = time.perf_counter()
    operator(*arguments, **options)
    return time.perf_counter() - started


def faults_of(specimen: Specimen, case: Case) -> list[float]:
    """How far a report's wrong operator is from PyTorch's: the largest absolute differences, float32 and float64."""
    operands = [case.arguments(dtype) for dtype in BOUNDS]
    forms = specimen.operator, case.theirs
    return [difference(*(form(*arguments, **case.options) for form in forms)) for arguments in operands]


def print_table(console: Console) -> bool:
    """Print a row a case; gives whether all are equal to PyTorch."""
    cases = reports_cases()
    rows = [compare(case) for case in cases]
    console.print(
        f"Against PyTorch {torch.__version__}: largest absolute difference in float32 and float64; time in multiples "
        f"of PyTorch's (float32, CPU, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}, medians "
        f"of interleaved runs). Inputs: standard normal, seed {SEED}. The reports' figures are sums of differences.",
        soft_wrap=not console.is_terminal,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("claims", "operator", "case"):
        table.add_column(title, no_wrap=title != "case")
    for title in ("float32", "float64", "vectorised", "loops"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("report", "verdict"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        case, verdict = row.case, Text("equal", "green") if row.equal else Text("differs", "red")
        slower, loops_slower = [*(_multiple(ratio) for ratio in timing(case)), ""][:2]
        gaps = [_gap(gap) for gap in row.differences]
        table.add_row(case.claims, case.name, case.text, *gaps, slower, loops_slower, case.figure, verdict)
    for specimen in SPECIMENS:
        gaps = [_gap(gap) for gap in faults_of(specimen, next(case for case in cases if case.name == specimen.name))]
        table.add_row(
            specimen.claim, specimen.name, "the report's fault, rebuilt", *gaps, "", "", "", Text("wrong", "red")
        )
    print_unfolded(table, console)
    for specimen in SPECIMENS:
        text = f"{specimen.claim}: the report's {specimen.name} {specimen.fault}."
        console.print(text, soft_wrap=not console.is_terminal)
    return all(row.equal for row in rows)


def _gap(gap: float) -> str:
    return "0" if gap == 0 else f"{gap:.0e}" if gap < 0.1 else f"{gap:.2g}"


def _multiple(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"
