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
from statistics import fmean

from rich.console import Console
from scipy import stats

from receptive.files import read_csv
from receptive.manifest import Manifest
from receptive.report.statistics import ALPHA, difference, holm, spread

STUDY = "cifar10_batch_norm"
_TABLES = ("layers.csv", "probe.csv", "correlation.csv", "batch_norm.csv")
Rows = list[dict[str, str]]
Tables = dict[str, Rows]


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
    """

    claim: str
    text: str
    reported: str
    what: str
    values: Sequence[float]
    rival: Sequence[float] | None = None
    above: float = -math.inf
    below: float = math.inf


def claims(output: Path, console: Console) -> list[tuple[str, ...]]:
    """A row a claim, of the columns of claims.csv; [] where the study was not run."""
    survey(Path("outputs/studies") / STUDY, output / "layers", console)
    nets = {net: _networks(output / "layers", net) for net in ("a", "b")}
    if not all(nets.values()):
        return []
    histories = {net: _histories(net) for net in nets}
    asked = [*_depths(nets), *_nets(nets["a"], nets["b"]), *_during(histories), *_moving_averages(nets["b"])]
    return list(_judged(asked))


def survey(study: Path, output: Path, console: Console) -> None:
    """Take the tables of all finished runs that have a checkpoint and were not looked at yet."""
    for entry in Manifest.read(study).entries.values():
        run, target = entry.run(study), output / entry.folder
        if target.is_dir() or run.state() != "done" or not (run.checkpoints / "best.ckpt").is_file():
            continue
        console.print(f"activations of {entry.folder}")
        words = [f"run={run.folder}", "probe=true", "correlation=true", "maps=[]", "average_maps=false"]
        normalized = ["batch_norm=true"] if entry.labels["variant"] == "b" else []
        command = [sys.executable, "-m", "receptive", "activations", *words, *normalized]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ})
        target.mkdir(parents=True)
        for name in _TABLES:
            if (path := run.folder / "activations" / "train" / name).is_file():
                shutil.copyfile(path, target / name)


def _networks(folder: Path, net: str) -> list[Tables]:
    """The tables of each run of a net."""
    paths = sorted(folder.glob(f"{net}-*"))
    return [{name: read_csv(path / name) for name in _TABLES if (path / name).is_file()} for path in paths]


def _histories(net: str) -> list[Rows]:
    """activations.csv of each run of a net."""
    paths = sorted((Path("results") / STUDY / "jobs").glob(f"{net}-*/activations.csv"))
    return [read_csv(path) for path in paths]


def _values(rows: Rows, key: str, kind: str = "ReLU") -> list[float]:
    return [float(row[key]) for row in rows if row["kind"] == kind and row[key]]


def _with_depth(values: Sequence[float]) -> float:
    """Rank correlation of a quantity with the layer's depth (Spearman)."""
    return float(stats.spearmanr(range(len(values)), values).statistic) if len(set(values)) > 1 else 0.0


def _depths(nets: Mapping[str, list[Tables]]) -> Iterator[Asked]:
    what = "rank correlation with depth"
    for net, networks in nets.items():
        name = f"Net {net.upper()}"
        for text, reported, key in (("zeros", "sparser", "zeros"), ("blank maps", "more abstract", "blank")):
            values = [_with_depth(_values(tables["layers.csv"], key)) for tables in networks]
            yield Asked("R0.6", f"{name}: deeper ReLUs have more {text}", reported, what, values, above=0)
        picture, classes = (
            [_with_depth([float(row[key]) for row in tables["probe.csv"]]) for tables in networks]
            for key in ("picture_r2", "class_accuracy")
        )
        text = f"{name}: probes of deeper layers tell less of the picture"
        yield Asked("R1.12", text, "less picture", what, picture, below=0)
        yield Asked("R1.12", f"{name}: and more of the class", "more class", what, classes, above=0)
        values = [fmean(_known(tables["correlation.csv"], "mean_absolute")) for tables in networks]
        text = f"{name}: the channels of a layer correlate by less than 0.3 (our reading)"
        yield Asked("R1.12", text, "fairly independent", "mean |correlation| of two channels", values, below=0.3)


def _nets(a: Sequence[Tables], b: Sequence[Tables]) -> Iterator[Asked]:
    for key, what in (("zeros", "exact zeros"), ("dark", "dark pixels")):
        first, second = ([fmean(_values(tables["layers.csv"], key)) for tables in networks] for networks in (a, b))
        what = f"share of {what} behind ReLUs"
        if key == "zeros":
            yield Asked("R0.6", "A's ReLUs are sparser than B's", "A sparser", what, first, second)
        else:
            yield Asked("R0.6", "B's ReLUs show more dark area than A's", "B darker", what, second, first)


def _during(histories: Mapping[str, list[Rows]]) -> Iterator[Asked]:
    moves = {
        net: [_drift(rows, kind) for rows in histories[net]] for net, kind in (("a", "ReLU"), ("b", "BatchNorm2d"))
    }
    text = "From the first epoch on what enters A's convolutions moves more than what enters B's"
    what = "change of mean and deviation an epoch, in deviations"
    yield Asked("R1.13", text, "stable with batch normalisation", what, moves["a"], moves["b"])


def _drift(rows: Rows, kind: str) -> float:
    """How far mean and deviation of a kind's outputs move in an epoch, in deviations; mean over layers."""
    moves = []
    for layer in dict.fromkeys(row["layer"] for row in rows if row["kind"] == kind):
        trained = [row for row in rows if row["layer"] == layer and int(row["epoch"])]  # 0: before the first step
        own = [(float(row["mean"]), float(row["std"])) for row in trained]
        pairs = itertools.pairwise(own)
        moves += [(abs(mean - before) + abs(std - width)) / width for (before, width), (mean, std) in pairs if width]
    return fmean(moves)


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


def _judged(asked: Sequence[Asked]) -> Iterator[tuple[str, ...]]:
    """Comparisons by Welch's test, corrected together (Holm); single nets by the 95 % interval of the mean."""
    gaps = {one.text: difference(one.values, one.rival) for one in asked if one.rival is not None}
    corrected = dict(zip(gaps, holm([gap.p for gap in gaps.values()]), strict=True))
    for one in asked:
        if one.rival is not None:
            ours = f"{_shown(one.values)} against {_shown(one.rival)}"
            p = corrected[one.text]
            sign = "holds" if gaps[one.text].value > 0 else "does not hold"
            verdict, why = (sign if p < ALPHA else "undecided"), f"{one.what}; p={p:.2g}"
        else:
            ours, known = _shown(one.values), spread(one.values)
            inside = one.above < known.low and known.high < one.below
            outside = known.high <= one.above or known.low >= one.below
            verdict = "holds" if inside else "does not hold" if outside else "undecided"
            why = f"{one.what}; 95 % interval of the mean {known.low:.3g} to {known.high:.3g}"
        yield one.claim, one.text, one.reported, ours, verdict, why


def _shown(values: Sequence[float]) -> str:
    known = spread(values)
    return f"{known.mean:.3g} ± {known.deviation:.2g} (n={known.n})"
