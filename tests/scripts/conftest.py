"""Small tables of nets A and B, as results/ has them."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.edition import nets  # noqa: E402

from receptive.files import write_csv  # noqa: E402


def write_run(results: Path, net: str, seed: int, value: float) -> None:
    """Two convolutions with their ReLUs; behind the first ReLU `value`, behind the second ten times that."""
    name = f"{net}-seed_{seed}"
    job, folder = results / nets.STUDY / "jobs" / name, results / "checks" / "layers" / name
    job.mkdir(parents=True)
    folder.mkdir(parents=True)
    (job / "result.json").write_text('{"epochs": 2}')
    kinds = ("Conv2d", "ReLU", "Conv2d", "ReLU")
    layers = [
        {"layer": f"l{place}", "kind": kind, "images": 50, "mean_absolute": size, "zeros": size / 100}
        for place, (kind, size) in enumerate(zip(kinds, (7, value, 8, 10 * value), strict=True))
    ]
    write_csv(folder / "layers.csv", list(layers[0]), layers)
    probes = [
        {"layer": row["layer"], "class_accuracy": row["zeros"], "picture_r2": 1 - row["zeros"]}
        for row in reversed(layers)  # found by name
    ]
    write_csv(folder / "probe.csv", list(probes[0]), probes)
    norms = {0: ("", "", "", ""), 1: (value, "", 3 * value, ""), 2: (2 * value, 99, 4 * value, "")}
    rows = [
        {"epoch": epoch, "layer": f"l{place}", "kind": kinds[place], "gradient_norm": norm}
        for epoch, found in norms.items()
        for place, norm in enumerate(found)
    ]
    write_csv(job / "activations.csv", list(rows[0]), rows)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """results/ of a checkout with two runs of each net."""
    folder = tmp_path / "results"
    for net, values in {"a": (1.0, 3.0), "b": (2.0, 2.0)}.items():
        for seed, value in enumerate(values):
            write_run(folder, net, seed, value)
    return folder
