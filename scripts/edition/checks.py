"""Claims that no study judges: operators, sizes, layer tables, computed on the spot; for what layers give see `layers`.

Writes results/checks/claims.csv with the columns of a study's, and provenance.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from scripts.edition import layers

from receptive import operators, provenance
from receptive.build import build_data, build_model
from receptive.config import conf_dir
from receptive.files import write_atomically, write_csv
from receptive.operators.cases import SPECIMENS, reports_cases
from receptive.operators.shapes import explanation
from receptive.operators.table import BOUNDS, compare, faults_of
from receptive.report.tables import CLAIM_TITLES
from receptive.summary import summary

OUTPUT = Path("results/checks")


def write(console: Console) -> None:
    """Judge all of them and write the verdicts."""
    source = {
        "command": "python scripts/results.py check",
        "day": datetime.now(UTC).strftime("%Y-%m-%d"),
        "code": provenance.code(),
        "versions": provenance.versions(),
        "device": provenance.cpu_name(),
    }
    rows = [*on_the_spot(), *layers.claims(OUTPUT.parent, console), *_PICTURES]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    write_csv(OUTPUT / "claims.csv", CLAIM_TITLES, (dict(zip(CLAIM_TITLES, row, strict=True)) for row in rows))
    write_atomically(OUTPUT / "provenance.json", json.dumps(source, indent=1) + "\n")
    for row in rows:
        console.print(f"{row[0]:<6} {row[4]:<13} {row[1]}")


def on_the_spot() -> Iterator[tuple[str, ...]]:
    """What is computed here and now."""
    yield from _operators()
    yield from _sizes()
    yield from _tables()


def _operators() -> Iterator[tuple[str, ...]]:
    """R1.1 to R1.11, R2.1 to R2.11, R3.1."""
    version = f"torch {torch.__version__.partition('+')[0]}, {provenance.cpu_name()}"
    bounds = ", ".join(f"{bound:.0e} ({str(dtype).removeprefix('torch.')})" for dtype, bound in BOUNDS.items())
    largest = f"{bounds.replace('e-0', 'e-')} of the largest value"
    rows = [compare(case) for case in reports_cases()]
    for row in rows:
        gaps = f"largest difference {row.differences[0]:.1g} (float32), {row.differences[1]:.1g} (float64)"
        bound = "0, nothing is computed" if row.case.exact else largest
        for claim in row.case.claims.split():
            text = f"{row.case.name} by hand is PyTorch's: {row.case.text}"
            yield claim, text, row.case.figure, gaps, _verdict(row.equal), f"allowed: {bound}; {version}"
    for specimen in SPECIMENS:
        row = next(row for row in rows if row.case.name == specimen.name)
        gap = faults_of(specimen, row.case)[0]
        text = f"The report's own {specimen.name} is PyTorch's"
        why = f"it {specimen.fault}"
        yield (
            specimen.claim,
            text,
            "printed values",
            f"rebuilt: largest difference {gap:.2g}",
            _verdict(gap <= BOUNDS[torch.float32]),
            why,
        )
    yield "R3.1", "The gradients of the autograd Function are right", "", *_gradients()


def _gradients() -> tuple[str, str, str]:
    generator = torch.Generator().manual_seed(0)
    right = 0
    cases = [(3, 1, 0, 1), (3, 1, 1, 1), (5, 2, 1, 1), (2, 3, 0, 2), ((3, 2), (2, 1), (1, 0), (1, 2))]
    for kernel, stride, padding, dilation in cases:
        height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        image = torch.randn(2, 3, 9, 10, generator=generator, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(4, 3, height, width, generator=generator, dtype=torch.float64, requires_grad=True)
        bias = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
        arguments: tuple[Any, ...] = (image, weight, bias, stride, padding, dilation)
        right += torch.autograd.gradcheck(operators.Conv2dFunction.apply, arguments, raise_exception=False)
    ours = f"gradcheck passes {right} of {len(cases)} kernels, strides, paddings and dilations"
    return ours, _verdict(right == len(cases)), "finite differences in float64 (torch.autograd.gradcheck)"


def _sizes() -> Iterator[tuple[str, ...]]:
    """R3.4, R4.6 and R3.10, from the lines of `receptive operators shapes`."""
    lines = list(explanation())
    parts = [("R3.4", "Pooling"), ("R4.6", "R3.10"), ("R3.10", "")]
    reported = {"R3.4": "511x383, 959x539", "R4.6": "24x24x64 ... 512", "R3.10": "(b, c, 1, 1), error"}
    for claim, until in parts:
        start = next(place for place, line in enumerate(lines) if claim in line.text)
        end = next(place for place, line in enumerate(lines) if place > start and until in line.text) if until else None
        own = [line.equal for line in lines[start:end] if line.equal is not None]
        assert own, claim
        text = {"R3.10": "Pooled shapes, single images and the refused channel count are PyTorch's"}
        ours = f"{sum(own)} of {len(own)} sizes{' and refusals' if claim == 'R3.10' else ''} equal"
        yield (
            *(claim, text.get(claim, "The output sizes are PyTorch's and the report's"), reported[claim], ours),
            *(_verdict(all(own)), "`receptive operators shapes` explains each with its numbers"),
        )


def _tables() -> Iterator[tuple[str, ...]]:
    """R2.12: parameters and memory of nets A and B."""
    for net, parameters, passes, memory in (("net_a", 294_810, "0.99", "2.13"), ("net_b", 295_770, "1.46", "2.60")):
        config = _config(f"model={net}", "data=cifar10")
        count = sum(p.numel() for p in build_model(config.model, build_data(config).facts).parameters())
        counted = dict(part.rsplit(" ", 1) for part in summary(config).rpartition(": ")[2].split(", "))
        wanted = {"forward/backward": passes, "parameters": "1.12", "total": memory}
        parts = f"forward/backward {passes}, parameters 1.12 of it"
        text = f"{net.replace('_', ' ').title()} has 294,810 parameters and takes {memory} MB, {parts}"
        ours = f"{count:,} parameters, {', '.join(f'{name} {counted[name]} MB' for name in wanted)}"
        why = "as the report counts; `receptive summary`"
        if net == "net_b":
            why = "the report's table counts no parameters for BatchNorm2d, nor their memory; the rest is right"
        equal = all(counted[name] == figure for name, figure in wanted.items())
        yield "R2.12", text, f"294,810; {memory} MB, {parts}", ours, _verdict(count == 294_810 and equal), why
        assert count == parameters


_NOT_JUDGED = ("pictures", "", "not judged")  # the report shows something, and claims nothing of it
_PICTURES = (
    (
        *("R0.5", "Means of each layer over the training images, pictures of every map", *_NOT_JUDGED),
        "means: docs/reports/r0.md; pictures: `receptive activations run=RUN` draws average_maps/ and maps/",
    ),
    (
        *("R2.16", "Feature maps of an image, with and without the absolute average", *_NOT_JUDGED),
        "`receptive activations run=RUN maps=[0]` draws them: maps/0, overview.png",
    ),
    (
        *("R4.11", "Segmented images, history of loss and F1, scores of single images", *_NOT_JUDGED),
        "every run draws them in its figures/ and test_images.csv; here are none: JSRT's terms forbid it",
    ),
)


def _config(*overrides: str) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", list(overrides))


def _verdict(holds: bool) -> str:
    return "holds" if holds else "does not hold"
