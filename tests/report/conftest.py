"""Folders of runs in the real on-disk format, written in milliseconds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from receptive.files import write_csv
from receptive.manifest import Entry, Manifest
from receptive.report.collection import Collection, collect
from receptive.runs import Run, Status
from receptive.source_code import code_hash

CLASSES = ("cat", "dog", "owl")
STARTED = 1_790_000_000.0


class RunFolders:
    """Writes runs below a folder, and the sweep.json that names them.

    A run's labels are also its config.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: dict[str, Entry] = {}
        root.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        labels: Mapping[str, str] | None = None,
        *,
        seed: int | None = 0,
        score: float | None = 0.9,
        metric: str = "accuracy",
        metrics: Mapping[str, float] | None = None,
        state: str = "done",
        epochs: int = 3,
        config: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        pictures: Sequence[str] = (),
        error: str | None = None,
    ) -> Run:
        """Write a run whose val/METRIC is the score, whose test/METRIC is a little less, and whose loss is its rest.

        Args:
            labels: as in sweep.json, without the seed.
            seed: None: neither a label nor in the config.
            score: of its best epoch, the last; None: no metric at all.
            metric: the name of the score.
            metrics: beside these, or in their place.
            state: of the run; only a "done" one has a result.
            epochs: rows of metrics.csv.
            config: beside the labels, nested keys dotted.
            result: keys of result.json beside these, or in their place.
            pictures: names of PNGs in figures/.
            error: as in status.json.
        """
        labels = dict(labels or {})
        number = len(self.entries)
        run = Run(self.root / f"run-{number:04d}")
        run.folder.mkdir()
        values = {"model.width": 16, "trainer.max_epochs": epochs, **labels, **(config or {})}
        if seed is not None:
            labels["seed"] = str(seed)
            values["seed"] = seed
        OmegaConf.save(OmegaConf.create(_nested(values)), run.config_path)
        run.write_status(
            Status(state, f"{number:012d}", code_hash(), 1, STARTED + number, STARTED + number + 60, error=error)
        )
        _write_history(run, epochs, score, metric)
        if state == "done":
            run.write_result(_result(seed, epochs, score, metric, metrics or {}) | dict(result or {}))
        for place, name in enumerate(pictures):
            run.figures.mkdir(exist_ok=True)
            pixels = np.random.default_rng(place).integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(run.figures / f"{name}.png")
        entry = Entry(
            tuple(f"{key}={value}" for key, value in labels.items()), labels, f"{number:012d}", run.folder.name
        )
        self.entries[entry.fingerprint] = entry
        return run

    def add_grid(self, values: Mapping[str, Sequence[str]], seeds: int = 3, **options: Any) -> None:
        """Runs of every combination of values, whose score falls with the place of the values and scatters a little."""
        combinations: list[dict[str, str]] = [{}]
        for key, words in values.items():
            combinations = [{**one, key: word} for one in combinations for word in words]
        rng = np.random.default_rng(0)
        for place, labels in enumerate(combinations):
            for seed in range(seeds):
                self.add(labels, seed=seed, score=0.95 - 0.05 * place + 0.01 * rng.standard_normal(), **options)

    def manifest(self, name: str = "", claims: Sequence[dict[str, Any]] = ()) -> Path:
        """Write sweep.json; gives the folder."""
        Manifest(self.entries, name, tuple(claims)).write(self.root)
        return self.root

    def collection(self, name: str = "", claims: Sequence[dict[str, Any]] = ()) -> Collection:
        """The runs as a report sees them."""
        return collect(self.manifest(name, claims))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def _write_history(run: Run, epochs: int, score: float | None, metric: str) -> None:
    rows = []
    for epoch in range(1, epochs + 1):
        row: dict[str, Any] = {"epoch": epoch, "step": 10 * epoch, "seconds": 0.5}
        if score is not None:
            reached = score * (1 - math.exp(-2.0 * epoch / epochs)) / (1 - math.exp(-2.0))
            row |= {"train/loss": 1 - 0.9 * reached, "val/loss": 1 - reached, f"val/{metric}": reached}
        rows.append(row)
    if rows:
        write_csv(run.metrics_path, list(rows[0]), rows)


def _result(
    seed: int | None, epochs: int, score: float | None, metric: str, metrics: Mapping[str, float]
) -> dict[str, Any]:
    known: dict[str, float] = {}
    if score is not None:
        known = {
            "val/loss": 1 - score,
            f"val/{metric}": score,
            "test/loss": 1.02 - score,
            f"test/{metric}": score - 0.02,
        }
    return {
        "metrics": known | dict(metrics),
        "monitor": f"val/{metric}",
        "best_epoch": epochs,
        "epochs": epochs,
        "seed": seed,
        "seconds": 12.5,
        "precision": "32-true",
        "hardware": {"device": "a processor", "threads": 1},
        "data": {"checksums": {"train": "abc"}, "facts": {"class_names": list(CLASSES), "target": "label"}},
        "code": {"commit": "0123456789abcdef", "dirty": False, "hash": code_hash()},
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "details": {"confusion_matrix": [[8, 1, 1], [0, 9, 1], [2, 0, 8]]},
    }


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    """An empty folder for runs."""
    return RunFolders(tmp_path / "sweep")
