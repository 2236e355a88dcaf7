"""How long a run will take, by the runs that are most like it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from receptive.runs import Run
from receptive.sweeps.estimate import Estimate, Estimator, Sample, duration, likeness, makespan, sample, samples_below

CONFIG: dict[str, Any] = {
    "seed": 0,
    "test": True,
    "data": {"source": {"_target_": "Digits"}, "batch_size": 32},
    "model": {"_target_": "Net", "width": 4},
    "optimizer": {"lr": 0.1},
    "trainer": {"max_epochs": 10, "limit_train_batches": None, "progress": "auto", "precision": "32"},
}


def changed(**groups: Any) -> dict[str, Any]:
    return CONFIG | {name: CONFIG[name] | node if isinstance(node, dict) else node for name, node in groups.items()}


def took(config: dict[str, Any], epoch: float, rest: float = 0.0) -> Sample:
    return Sample(likeness(config), epoch, rest)


def test_the_nearest_runs_count_by_their_median() -> None:
    sources = [
        took(changed(seed=3), 1.0, 5.0),
        took(changed(seed=4, trainer={"max_epochs": 99}), 2.0, 5.0),
        took(changed(seed=5, trainer={"progress": "none"}), 9.0, 5.0),
        took(changed(optimizer={"lr": 0.2}), 100.0),
    ]
    estimator = Estimator(sources)
    assert estimator.estimate(CONFIG, 10) == Estimate(25.0, 0)
    assert estimator.estimate(CONFIG, 3) == Estimate(11.0, 0)
    assert estimator.estimate(changed(optimizer={"lr": 0.7}), 1) == Estimate((7.0 + 14.0) / 2, 1)


@pytest.mark.parametrize(
    ("config", "level"),
    [
        (changed(seed=9), 0),
        (CONFIG | {"record": {"layers": 1}}, 1),
        (changed(trainer={"precision": "16"}), 1),
        (CONFIG | {"augment": {"flip": {}}}, 2),
        (changed(data={"batch_size": 64}), 3),
        (changed(model={"width": 8}), None),
        (changed(data={"source": {"_target_": "Mnist"}}), None),
        (changed(trainer={"limit_train_batches": 2}), None),
    ],
)
def test_how_near_a_run_is(config: dict[str, Any], level: int | None) -> None:
    found = Estimator([took(CONFIG, 1.0)]).estimate(config, 10)
    assert (found and found.likeness) == level


def test_a_nearer_run_elsewhere_comes_before_a_farther_one_here() -> None:
    here, elsewhere = [took(changed(data={"batch_size": 64}), 1.0)], [took(CONFIG, 2.0)]
    assert Estimator(here, elsewhere).estimate(CONFIG, 1) == Estimate(2.0, 0)
    assert Estimator([took(CONFIG, 3.0)], elsewhere).estimate(CONFIG, 1) == Estimate(3.0, 0)


def test_a_source_is_read_only_when_it_is_needed() -> None:
    def never() -> Iterator[Sample]:
        pytest.fail("it was read")
        yield

    assert Estimator([took(CONFIG, 1.0)], never()).estimate(changed(seed=8), 2) == Estimate(2.0, 0)


def test_nothing_to_go_by() -> None:
    assert Estimator([], []).estimate(CONFIG, 10) is None
    assert Estimator().estimate({}, 10) is None


def finished(folder: Path, config: Any, **result: Any) -> Run:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    (folder / "result.json").write_text(json.dumps({"seconds": 12.0, "epochs": 5, "seconds_per_epoch": 2.0} | result))
    return Run(folder)


def test_samples_are_read_from_runs_sweeps_and_studies(tmp_path: Path) -> None:
    for place in ("runs/a", "sweeps/b/c", "studies/d/e"):
        finished(tmp_path / place, CONFIG)
    (tmp_path / "runs" / "waiting").mkdir()
    assert list(samples_below(tmp_path)) == [took(CONFIG, 2.0, 2.0)] * 3
    assert list(samples_below(tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    ("config", "result"),
    [
        (CONFIG, {"seconds": "long"}),
        (CONFIG, {"epochs": None}),
        ("model: [", {}),
        ("- 1\n", {}),
        ("", {}),
    ],
)
def test_what_is_damaged_is_no_sample(tmp_path: Path, config: Any, result: dict[str, Any]) -> None:
    assert sample(finished(tmp_path / "run", config, **result)) is None


def test_a_sample_needs_no_config_file(tmp_path: Path) -> None:
    assert sample(finished(tmp_path / "run", ""), CONFIG) == took(CONFIG, 2.0, 2.0)


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [([3, 1, 1, 1], 2, 3), ([1, 1, 1, 3], 2, 4), ([2, 2], 5, 2), ([], 2, 0), ([1, 2, 3], 1, 6), ([1], 0, 1)],
)
def test_workers_take_the_next_job_when_they_are_free(seconds: list[float], workers: int, expected: float) -> None:
    assert makespan(seconds, workers) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (89, "89 s"), (100, "1.7 min"), (1200, "20 min"), (7200, "2.0 h"), (200_000, "2.3 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
