"""What the layers of nets A and B give (R0.5, R0.6, R1.12, R1.13, R2.16, R2.18), from the runs of cifar10_batch_norm.

The tables of each run's `receptive activations` stand in results/checks/layers/RUN; where its checkpoint is not at
hand they say what the run gave.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from scipy import stats
from scripts.edition import nets
from scripts.edition.nets import STUDY, TABLES, Rows, Tables

from receptive.manifest import Manifest
from receptive.metrics import UNBOUNDED
from receptive.report.places import STUDIES
from receptive.report.statistics import ALPHA, difference, holm, spread

_CORRELATION = (-1, 1)


@dataclass(frozen=True)
class Asked:
    """A claim and what the runs say to it, a value each.

    Args:
        claim: its id.
        text: what is judged.
        reported: the report's words.
        what: the values are of.
        values: of one net, or of the one that is claimed to lie above.
        rival: of the other net; None: the values are held against `above` and `below`.
        above: the mean is claimed to be more.
        below: the mean is claimed to be less.
        nets: whose the values and the rival's are.
        bounds: from where to where a value can be; an interval ends there.
    """

    claim: str
    text: str
    reported: str
    what: str
    values: Sequence[float]
    rival: Sequence[float] | None = None
    above: float = -math.inf
    below: float = math.inf
    nets: tuple[str, str] = ("a", "b")
    bounds: tuple[float, float] = UNBOUNDED


def claims(results: Path, console: Console) -> list[tuple[str, ...]]:
    """A row a claim, of the columns of claims.csv; [] where the study was not run."""
    survey(STUDIES / STUDY, results / "checks" / "layers", console)
    known = {net: nets.tables(results, net) for net in nets.NETS}
    if not all(known.values()):
        return []
    histories = {net: nets.histories(results, net) for net in nets.NETS}
    asked = [*_depths(known), *_nets(known["a"], known["b"]), *_during(histories), *_moving_averages(known["b"])]
    return list(_judged(asked, nets.epochs(results)))


def survey(study: Path, output: Path, console: Console) -> None:
    """Take the tables of all finished runs that have a checkpoint, where none are there or older ones than it."""
    for entry in Manifest.read(study).entries.values():
        run, target = entry.run(study), output / entry.folder
        checkpoint = run.checkpoints / "best.ckpt"
        if run.state() != "done" or not checkpoint.is_file():
            continue
        if target.is_dir() and (target / TABLES[0]).stat().st_mtime > checkpoint.stat().st_mtime:
            continue
        console.print(f"activations of {entry.folder}")
        words = [f"run={run.folder}", "probe=true", "correlation=true", "maps=[]", "average_maps=false"]
        normalized = ["batch_norm=true"] if entry.labels["variant"] == "b" else []
        command = [sys.executable, "-m", "receptive", "activations", *words, *normalized]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ})
        new = output / f".{entry.folder}"  # whole, or not there
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for name in TABLES:
            if (path := run.folder / "activations" / "train" / name).is_file():
                shutil.copyfile(path, new / name)
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)


def _values(rows: Rows, key: str, kind: str = "ReLU") -> list[float]:
    return [float(row[key]) for row in rows if row["kind"] == kind and row[key]]


def _with_depth(values: Sequence[float]) -> float:
    """Rank correlation of a quantity with the layer's depth (Spearman)."""
    return float(stats.spearmanr(range(len(values)), values).statistic) if len(set(values)) > 1 else 0.0


def _depths(known: Mapping[str, list[Tables]]) -> Iterator[Asked]:
    what = "rank correlation with depth"
    for net, networks in known.items():
        name = f"Net {net.upper()}"
        for more, reported, key in (("zeros", "sparser", "zeros"), ("blank maps", "more abstract", "blank")):
            values = [_with_depth(_values(tables["layers.csv"], key)) for tables in networks]
            text = f"{name}: deeper ReLUs have more {more}"
            yield Asked("R0.6", text, reported, what, values, above=0, bounds=_CORRELATION)
        picture, classes = (
            [_with_depth([float(row[key]) for row in tables["probe.csv"]]) for tables in networks]
            for key in ("picture_r2", "class_accuracy")
        )
        text = f"{name}: probes of deeper layers tell less of the picture"
        yield Asked("R1.12", text, "less picture", what, picture, below=0, bounds=_CORRELATION)
        text = f"{name}: probes of deeper layers tell more of the class"
        yield Asked("R1.12", text, "more class", what, classes, above=0, bounds=_CORRELATION)
        values = [fmean(_known(tables["correlation.csv"], "mean_absolute")) for tables in networks]
        text = f"{name}: the channels of a layer correlate by less than 0.3, mean over layers (our reading)"
        yield Asked("R1.12", text, "fairly independent", "mean |correlation| of two channels", values, below=0.3)


def _nets(a: Sequence[Tables], b: Sequence[Tables]) -> Iterator[Asked]:
    for key, what in (("zeros", "exact zeros"), ("dark", "dark pixels")):
        first, second = ([fmean(_values(tables["layers.csv"], key)) for tables in networks] for networks in (a, b))
        what = f"share of {what} behind ReLUs"
        if key == "zeros":
            yield Asked("R0.6", "A's ReLUs are sparser than B's", "A sparser", what, first, second)
        else:
            text = "B's ReLUs show more dark area than A's"
            yield Asked("R0.6", text, "B darker", what, second, first, nets=("b", "a"))


def _during(histories: Mapping[str, list[Rows]]) -> Iterator[Asked]:
    moves = {
        net: [_moves(rows, kind) for rows in histories[net]] for net, kind in (("a", "ReLU"), ("b", "BatchNorm2d"))
    }
    text = "From the first epoch on what enters A's convolutions moves more than what enters B's"
    for average, name, words in ((fmean, "mean", ""), (median, "median", ", by the median")):
        what = f"change of mean and deviation an epoch, in deviations, {name} of epochs and layers"
        a, b = ([average(values) for values in moves[net]] for net in ("a", "b"))
        yield Asked("R1.13", text + words, "stable with batch normalisation", what, a, b)


def _moves(rows: Rows, kind: str) -> list[float]:
    """How far mean and deviation of a kind's outputs move in an epoch, in deviations, for each epoch and layer."""
    moves: list[float] = []
    for layer in dict.fromkeys(row["layer"] for row in rows if row["kind"] == kind):
        trained = [row for row in rows if row["layer"] == layer and int(row["epoch"])]  # 0: before the first step
        own = [(float(row["mean"]), float(row["std"])) for row in trained]
        pairs = itertools.pairwise(own)
        moves += [(abs(mean - before) + abs(std - width)) / width for (before, width), (mean, std) in pairs if width]
    return moves


def _moving_averages(networks: Sequence[Tables]) -> Iterator[Asked]:
    tables = [network["batch_norm.csv"] for network in networks]
    shifts = [fmean(abs(value) for value in _known(rows, "mean_shift")) for rows in tables]
    ratios = [fmean(abs(value - 1) for value in _known(rows, "variance_ratio")) for rows in tables]
    text = "Moving and exact means differ by less than 0.1 deviations (our reading)"
    yield Asked("R2.18", text, "they stand for them", "mean |difference| in deviations", shifts, below=0.1)
    text = "Moving and exact variances differ by less than 10 % (our reading)"
    yield Asked("R2.18", text, "they stand for them", "mean |ratio - 1|", ratios, below=0.1)


def _known(rows: Rows, key: str) -> list[float]:
    return [float(row[key]) for row in rows if row[key] not in ("", "nan")]


def _judged(asked: Sequence[Asked], epochs: str) -> Iterator[tuple[str, ...]]:
    """Comparisons by Welch's test, corrected together (Holm); single nets by the 95 % interval of the mean."""
    gaps = {one.text: difference(one.values, one.rival) for one in asked if one.rival is not None}
    corrected = dict(zip(gaps, holm([gap.p for gap in gaps.values()]), strict=True))
    for one in asked:
        what = f"{one.what}, after {epochs} epochs"
        if one.rival is not None:
            first, second = one.nets
            ours = f"{first}: {_shown(one.values)}; {second}: {_shown(one.rival)}"
            p = corrected[one.text]
            sign = "holds" if gaps[one.text].value > 0 else "does not hold"
            verdict, why = (sign if p < ALPHA else "undecided"), f"{what}; p={p:.2g}"
        else:
            ours, known = _shown(one.values), spread(one.values, one.bounds)
            inside = one.above < known.low and known.high < one.below
            outside = known.high <= one.above or known.low >= one.below
            verdict = "holds" if inside else "does not hold" if outside else "undecided"
            why = f"{what}; 95 % interval of the mean {known.low:.3g} to {known.high:.3g}"
        yield one.claim, one.text, one.reported, ours, verdict, why


def _shown(values: Sequence[float]) -> str:
    known = spread(values)
    return f"{known.mean:.3g} ± {known.deviation:.2g} (n={known.n})"
