"""What the layers of nets A and B give, judged: on tables whose answer is plain."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from receptive.console import new_console

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.edition import layers, nets  # noqa: E402

from receptive.files import write_csv  # noqa: E402

DEPTH = 8
Verdicts = Callable[..., dict[str, str]]


@pytest.fixture
def verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verdicts:
    """Tables of three seeds of each net, deeper layers sparser, A sparser than B; gives text -> verdict."""
    monkeypatch.chdir(tmp_path)

    def judged(*, darker: float = 0.0, drift: float = 1.0, shift: float = 0.01) -> dict[str, str]:
        rng = np.random.default_rng(0)
        for net in "ab":
            for seed in range(3):
                noise = rng.normal(0, 0.005)
                _tables(Path("results/checks/layers") / f"{net}-seed_{seed}", net, noise, darker, shift)
                _history(Path("results") / nets.STUDY / "jobs" / f"{net}-seed_{seed}", net, drift, noise)
        rows = layers.claims(Path("results"), new_console(quiet=True))
        assert {len(row) for row in rows} == {6}
        return {row[1]: row[4] for row in rows}

    return judged


def _tables(folder: Path, net: str, noise: float, darker: float, shift: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    level = (0.6 if net == "a" else 0.4) + noise
    relus = [
        {
            "layer": f"layers.{place}",
            "kind": "ReLU",
            "zeros": level + 0.02 * place,
            "dark": level + (darker if net == "b" else 0),
            "blank": 0.01 * place,
        }
        for place in range(DEPTH)
    ]
    convolutions = [row | {"kind": "Conv2d", "zeros": "", "dark": 0, "blank": 0} for row in relus]
    write_csv(folder / "layers.csv", list(relus[0]), [*relus, *convolutions])
    probes = [
        {"layer": str(place), "picture_r2": 1 - 0.1 * place - noise, "class_accuracy": 0.3 + 0.05 * place + noise}
        for place in range(DEPTH)
    ]
    write_csv(folder / "probe.csv", list(probes[0]), probes)
    write_csv(folder / "correlation.csv", ["layer", "mean_absolute"], [{"layer": "0", "mean_absolute": 0.2 + noise}])
    if net == "b":
        moving = [{"mean_shift": sign * (shift + noise / 10), "variance_ratio": 0.95 + noise} for sign in (1, -1)]
        write_csv(folder / "batch_norm.csv", list(moving[0]), [*moving, {"mean_shift": "nan", "variance_ratio": "nan"}])


def _history(folder: Path, net: str, drift: float, noise: float) -> None:
    """Means that move by `drift` deviations an epoch behind A's ReLUs, by 0.1 behind B's batch normalisations."""
    folder.mkdir(parents=True, exist_ok=True)
    kind, step = ("ReLU", drift + noise) if net == "a" else ("BatchNorm2d", 0.1 + noise)
    rows = [
        {"epoch": epoch, "layer": name, "kind": own, "mean": epoch * move, "std": 1.0}
        for epoch in range(4)
        for name, own, move in (("1", kind, step), ("2", "Conv2d", 50.0))
    ]
    write_csv(folder / "activations.csv", list(rows[0]), rows)
    (folder / "result.json").write_text('{"epochs": 3}')


def test_what_plainly_holds(verdicts: Verdicts) -> None:
    found = verdicts(darker=0.5)
    assert set(found.values()) == {"holds"}
    assert len(found) == 2 * (2 + 2 + 1) + 2 + 2 + 2


def test_what_plainly_does_not(verdicts: Verdicts) -> None:
    found = verdicts(darker=0.0, drift=0.02, shift=0.5)
    wrong = {text for text, verdict in found.items() if verdict == "does not hold"}
    assert wrong == {
        "B's ReLUs show more dark area than A's",
        "From the first epoch on what enters A's convolutions moves more than what enters B's",
        "From the first epoch on what enters A's convolutions moves more than what enters B's, by the median",
        "Moving and exact means differ by less than 0.1 deviations (our reading)",
    }


def test_nothing_is_said_without_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert layers.claims(Path("results"), new_console(quiet=True)) == []
