"""conf/study: every study opens with what it claims, its claims speak of points that it has, and it runs in small."""

import functools
import re
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from tests.conftest import Cli

from receptive.config import conf_dir, register_resolvers
from receptive.report.claims import parse_claims
from receptive.report.selections import matches
from receptive.sweeps.expansion import Point, expand

STUDIES = sorted(path.stem for path in (conf_dir() / "study").glob("*.yaml"))
SEARCHES = [name for name in STUDIES if name.startswith("search_")]  # candidates: nothing is claimed
QUICK = ("mnist_augmentation",)  # the others are slow ones
CLAIMED = (  # what the reports claim and a study can judge
    "R0.1 R0.2 R0.3 R0.4 R1.14 R2.13 R2.14 R2.15 R2.17 R3.2 R3.3 R3.5 R3.6 R3.7 R3.8 R3.9 R3.11 "
    "R4.1 R4.2 R4.3 R4.4 R4.5 R4.7 R4.8 R4.9 R4.10"
)


def composed(name: str) -> tuple[list[Point], DictConfig, ConfigLoaderImpl]:
    """The points of a study, its config, and what composes them."""
    register_resolvers()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
    config = loader.load_configuration("train", [f"study={name}"], run_mode=RunMode.MULTIRUN)
    sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    return expand(loader, [f"study={name}"], sweeper["params"], sweeper["variants"]), config, loader


@functools.cache
def points_of(name: str) -> tuple[list[Point], list[dict]]:
    """The points of a study and its claims, without composing any."""
    points, config, _ = composed(name)
    return points, list(OmegaConf.to_container(config.hydra.sweeper, resolve=False)["claims"] or [])


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_opens_with_what_it_is(name: str) -> None:
    text = (conf_dir() / "study" / f"{name}.yaml").read_text()
    for word in ("claims: ", "command: ", "seeds: ", "minutes: "):
        assert re.search(rf"^# {word}", text, re.MULTILINE), word
    assert f"receptive train study={name} " in text
    head = text.partition("\ndefaults:")[0]
    for claim in points_of(name)[1]:
        assert re.search(rf"\b{re.escape(claim['id'])}\b", head), claim["id"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_point_of_a_study_is_tagged_with_the_reports_that_it_judges(name: str) -> None:
    points, claims = points_of(name)
    wanted = ["beyond"] if name in SEARCHES else sorted({claim["id"].partition(".")[0] for claim in claims})
    chosen = {tuple(line for line in point.overrides if line.startswith("experiment=")) for point in points}
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for experiment in chosen:
            assert list(compose("train", [f"study={name}", *experiment]).tags) == wanted


@pytest.mark.parametrize("name", STUDIES)
def test_the_claims_speak_of_points_that_there_are(name: str) -> None:
    points, claims = points_of(name)
    groups = {tuple((key, value) for key, value in point.labels.items() if key != "seed") for point in points}
    seeds = {point.labels["seed"] for point in points}
    assert len(seeds) == (1 if name in SEARCHES else 3 if name.startswith(("cifar10", "jsrt", "best")) else 5)
    for claim in parse_claims(claims):
        for selection in claim.selections:
            wanted = {"variant": selection} if isinstance(selection, str) else selection
            found = [group for group in groups if matches(dict(group), wanted)]
            many = selection in (claim.among, claim.flatter, claim.than if claim.flatter else None)
            assert len(found) > 1 if many else len(found) == 1, (claim.id, selection, found)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_candidate_is_sound(
    cli: Cli, mnist_root: Path, cifar10_root: Path, gtsrb_root: Path, jsrt_root: Path, name: str
) -> None:
    code, out, err = cli("train", f"study={name}", "scale=smoke", "dry_run=true", f"paths.data_dir={mnist_root}")
    assert (code, err) == (0, ""), err
    assert f"{2 * len({point.labels['variant'] for point in points_of(name)[0]})} jobs" in out


def test_every_claim_has_a_study() -> None:
    assert {claim["id"] for name in STUDIES for claim in points_of(name)[1]} >= set(CLAIMED.split())


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in STUDIES if name not in SEARCHES],
)
def test_a_study_runs_in_small(
    cli: Cli,
    tmp_path: Path,
    mnist_root: Path,
    cifar10_root: Path,
    gtsrb_root: Path,
    jsrt_root: Path,
    name: str,
) -> None:
    """On tiny data in the real formats, all points with two seeds each."""
    code, out, err = cli("train", f"study={name}", "scale=smoke", f"paths.data_dir={mnist_root}")
    assert (code, err) == (0, ""), err
    folder = tmp_path / "outputs" / "smoke" / "studies" / name
    runs = pd.read_csv(folder / "runs.csv")
    assert set(runs["state"]) == {"done"}
    assert set(runs["seed"]) == {0, 1}
    assert "no verdict means anything" in out
    claims = points_of(name)[1]
    assert len(re.findall(r"^  (holds|does not hold|undecided): ", out, re.MULTILINE)) == len(claims)
    assert not (tmp_path / "outputs" / "studies").exists()
