"""Nets A and B of cifar10_batch_norm as results/ has them: the tables of their runs, and these by layer and by epoch.

results/cifar10_batch_norm/jobs/RUN/   a committed run; activations.csv is what its layers gave, epoch by epoch
results/checks/layers/RUN/             the tables of `receptive activations` of its best epoch
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from receptive.files import read_csv, read_json
from receptive.report.statistics import Spread, spread

STUDY = "cifar10_batch_norm"
NETS = ("a", "b")
TABLES = ("layers.csv", "probe.csv", "correlation.csv", "batch_norm.csv")
_OF_A_LAYER = {"mean_absolute": "layers.csv", "zeros": "layers.csv", "class_accuracy": "probe.csv",
               "picture_r2": "probe.csv"}  # fmt: skip
Rows = list[dict[str, str]]
Tables = dict[str, Rows]
Series = dict[int, Spread]  # number of a layer, or epoch -> over the runs


def jobs(results: Path, net: str) -> list[Path]:
    """The committed runs of a net."""
    return sorted(path.parent for path in (results / STUDY / "jobs").glob(f"{net}-*/result.json"))


def tables(results: Path, net: str) -> list[Tables]:
    """The tables of each run of a net that were taken."""
    folder = results / "checks" / "layers"
    paths = [folder / job.name for job in jobs(results, net) if (folder / job.name).is_dir()]
    return [{name: read_csv(path / name) for name in TABLES if (path / name).is_file()} for path in paths]


def histories(results: Path, net: str) -> list[Rows]:
    """activations.csv of each run of a net."""
    return [read_csv(job / "activations.csv") for job in jobs(results, net)]


def epochs(results: Path) -> str:
    """Of how many epochs the nets are: `30`."""
    known = {read_json(job / "result.json")["epochs"] for net in NETS for job in jobs(results, net)}
    return " or ".join(map(str, sorted(known)))


def by_depth(results: Path, net: str) -> dict[str, Series]:
    """What is behind each ReLU, from 1 on; {} where no tables were taken.

    Gives mean absolute activation ("mean_absolute") and share of exact zeros ("zeros"), both over the training images,
    and what a probe reads: accuracy of the class ("class_accuracy", 0 to 1), R² of the picture ("picture_r2").
    """
    networks = tables(results, net)
    return {key: _by_relu(networks, key, table) for key, table in _OF_A_LAYER.items()} if networks else {}


def _by_relu(networks: Sequence[Tables], key: str, table: str) -> Series:
    runs = []
    for network in networks:
        relus = [row["layer"] for row in network["layers.csv"] if row["kind"] == "ReLU"]
        known = {row["layer"]: float(row[key]) for row in network[table] if row["layer"] in relus}
        runs.append([known[layer] for layer in relus])
    return {number: spread(values) for number, values in enumerate(zip(*runs, strict=True), start=1)}


def gradients(results: Path, net: str) -> Series:
    """Of each epoch the gradient's L2 norm, the mean over the convolutions; {} where there is no run."""
    runs = [_gradients(rows) for rows in histories(results, net)]
    known = sorted({epoch for run in runs for epoch in run})
    return {epoch: spread([run[epoch] for run in runs if epoch in run]) for epoch in known}


def _gradients(rows: Rows) -> dict[int, float]:
    norms: dict[int, list[float]] = {}
    for row in rows:
        if row["kind"] == "Conv2d" and row["gradient_norm"]:  # none before the first step
            norms.setdefault(int(row["epoch"]), []).append(float(row["gradient_norm"]))
    return {epoch: fmean(values) for epoch, values in norms.items()}


def overall(series: Series) -> Spread:
    """Over the runs: each run's mean of all layers."""
    return spread([fmean(values) for values in zip(*(one.values for one in series.values()), strict=True)])
