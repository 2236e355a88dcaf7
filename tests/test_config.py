"""Freezing, fingerprints, names; and what conf/ promises."""

import inspect
import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from receptive import config as configs
from receptive.signatures import GIVEN, TARGET_PREFIXES, locate

CONF = configs.conf_dir()


def composed(*overrides: str) -> Any:
    configs.register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


def targets() -> list[tuple[str, dict[str, Any]]]:
    """Every node of conf/ with a target of our own: (file and place, node)."""
    found: list[tuple[str, dict[str, Any]]] = []

    def walk(place: str, node: Any) -> None:
        if isinstance(node, dict):
            if str(node.get("_target_", "")).startswith("receptive."):
                found.append((place, node))
            for key, value in node.items():
                walk(f"{place}:{key}", value)

    for path in sorted(CONF.rglob("*.yaml")):
        if path.parent.name in ("data", "augment", "task", "model", "optimizer", "scheduler") or path.stem == "default":
            node = OmegaConf.to_container(OmegaConf.load(path))
            walk(str(path.relative_to(CONF)), node)
    return found


@pytest.mark.parametrize(("place", "node"), targets(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_argument_of_our_classes_stands_in_its_yaml_file(place: str, node: dict[str, Any]) -> None:
    target = locate(place, node["_target_"], TARGET_PREFIXES)
    group = place.partition("/")[0]
    given = GIVEN.get(group, set()) if ":" not in place else set()  # by the builder, to the group's own class
    assert set(node) - {"_target_", "defaults"} == set(inspect.signature(target).parameters) - given


def test_a_default_is_the_value_of_a_yaml_file() -> None:
    """Of one at least, where several files choose among a class's variants: code and command line begin alike."""
    values: dict[tuple[str, str], list[Any]] = {}
    defaults: dict[tuple[str, str], Any] = {}
    for _, node in targets():
        name = node["_target_"]
        for key, parameter in inspect.signature(locate(name, name, TARGET_PREFIXES)).parameters.items():
            if key in node and parameter.default is not parameter.empty:
                defaults[name, key] = parameter.default
                values.setdefault((name, key), []).append(node[key])
    plain = {place: json.loads(json.dumps(default)) for place, default in defaults.items()}  # tuples are lists there
    none = {place: ({} if place[1] == "arguments" and value is None else value) for place, value in plain.items()}
    assert {place: value for place, value in none.items() if value not in values[place]} == {}


def test_the_fingerprint_is_of_what_is_computed() -> None:
    base = configs.fingerprint(composed())
    assert configs.fingerprint(composed("optimizer.lr=0.5")) != base
    assert configs.fingerprint(composed("seed=1")) != base
    for where in (
        "paths.data_dir=/elsewhere",
        "trainer.threads=7",
        "trainer.accelerator=cpu",
        "trainer.log_gradient_norm=true",
        "rerun=all",
    ):
        assert configs.fingerprint(composed(where)) == base
    assert configs.fingerprint(composed("trainer.threads=7"), swept=["trainer.threads"]) != base


def test_devices_count_from_two_on() -> None:
    """They train with as many batches at a time; with one device runs are named as before there was a choice."""
    base, older = composed(), composed()
    del older.trainer.num_nodes, older.trainer.devices
    assert configs.fingerprint(older) == configs.fingerprint(base)
    assert configs.differences(older, base) == []
    prints = [composed("trainer=ddp"), composed("trainer.devices=3"), composed("trainer.num_nodes=2"), base]
    assert len({configs.fingerprint(config) for config in prints}) == 4
    assert configs.differences(base, composed("trainer=ddp")) == ["trainer.devices: 1 -> 2"]


def test_auto_stays_auto_in_the_fingerprint() -> None:
    assert configs.fingerprint(composed("trainer.precision=auto")) != configs.fingerprint(
        composed("trainer.precision=32-true")
    )


def test_freezing_makes_paths_absolute_and_keeps_their_interpolations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECEPTIVE_DATA_DIR", "there")
    frozen = configs.freeze(composed("data=mnist"))
    assert frozen.paths.data_dir == str(tmp_path / "there")
    assert OmegaConf.to_container(frozen)["data"]["source"]["root"] == "${paths.data_dir}"  # type: ignore[index,call-overload]
    assert "hydra" not in frozen


@pytest.mark.parametrize(("data", "key"), [("mnist", "data.source.root"), ("mnist_varres", "data.source.source.root")])
def test_a_root_of_ones_own_is_frozen_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    frozen = configs.freeze(composed(f"data={data}", f"{key}=my/files"))
    assert OmegaConf.select(frozen, key) == str(tmp_path / "my" / "files")


def test_differences_are_named() -> None:
    old, new = composed(), composed("optimizer.lr=0.5", "paths.data_dir=/x", "+optimizer.amsgrad=true")
    assert configs.differences(old, new) == [
        "optimizer.lr: 0.001 -> 0.5",
        "optimizer.amsgrad: (absent) -> True",
    ]


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=40), max_size=5),
    st.text(string.hexdigits, min_size=12, max_size=12),
)
def test_slugs_are_folder_names(labels: dict[str, str], fingerprint: str) -> None:
    slug = configs.slug(labels, fingerprint)
    assert set(slug) <= set(string.ascii_letters + string.digits + "._-")
    assert slug.endswith(fingerprint)
    assert not slug.startswith((".", "-"))
    assert len(slug) <= 100


def test_slugs_are_readable() -> None:
    labels = {"variant": "wide", "optimizer.lr": "0.01", "augment": "[rotation,cutout]"}
    assert configs.slug(labels, "0123456789ab") == "wide-lr_0.01-augment_rotation_cutout-0123456789ab"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0$"), max_size=30))
def test_quoted_values_survive_hydras_grammar(value: str) -> None:
    override = OverridesParser.create().parse_override(f"run={configs.quoted(value)}")
    assert override.value() == value


def test_the_same_overrides_name_the_same_sweep() -> None:
    assert configs.sweep_name(["a=1,2", "b=3"]) == configs.sweep_name(["b=3", "a=1,2"])
    assert configs.sweep_name(["a=1,2", "rerun=all"]) == configs.sweep_name(["a=1,2"])
    assert configs.sweep_name(["a=1,2", "logger=wandb", "logger.wandb.notes=x"]) == configs.sweep_name(["a=1,2"])
    assert configs.sweep_name(["a=1,2"]) != configs.sweep_name(["a=1,3"])


def test_a_sweep_has_the_name_that_earlier_versions_gave_it() -> None:
    """Its command finds the folder of days ago."""
    assert configs.sweep_name(["a=1,2"]) == "c2d71a0dee"


def test_of_hydras_own_overrides_the_sweepers_count_but_not_how_many_trials() -> None:
    plain = configs.sweep_name(["a=1,2"])
    for line in ("hydra.mode=MULTIRUN", "hydra/launcher=packed", "hydra/sweeper=grid", "hydra.sweeper.trials=9"):
        assert configs.sweep_name(["a=1,2"], [line]) == plain
    for line in ("hydra/sweeper=random", "hydra.sweeper.sampling_seed=1", "hydra.sweeper.params.b=1,2"):
        assert configs.sweep_name(["a=1,2"], [line]) != plain


EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_opens_with_source_command_expectation_and_minutes(name: str) -> None:
    head = (CONF / "experiment" / f"{name}.yaml").read_text()
    for word in (
        "# source:",
        f"# command:  receptive train experiment={name}\n",
        "# expected:",
        "# minutes:",
    ):
        assert word in head, word
    assert "MINUTES" not in head


@pytest.mark.parametrize("data", ["cifar10", "digits", "gtsrb", "image_folder", "mnist"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_with_every_data_set(name: str, data: str) -> None:
    config = composed(f"experiment={name}", f"data={data}")
    assert config.data["_target_"] == "receptive.data.module.ImageData"
    assert config.task["_target_"] == "receptive.tasks.classification.ClassificationTask"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_debug_and_smoke_hold_beside_an_experiment(name: str) -> None:
    debug = composed(f"experiment={name}", "trainer=debug").trainer
    assert (debug.max_epochs, debug.limit_train_batches, debug.limit_eval_batches) == (1, 1, 1)
    overfit = composed(f"experiment={name}", "trainer=overfit", "trainer.max_epochs=3").trainer
    assert (overfit.max_epochs, overfit.overfit_batches) == (3, 2)
    smoke = composed(f"experiment={name}", "scale=smoke").trainer
    assert (smoke.max_epochs, smoke.limit_train_batches, smoke.limit_eval_batches) == (1, 2, 2)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_tagged_with_the_report_that_its_header_names(name: str) -> None:
    source = (CONF / "experiment" / f"{name}.yaml").read_text().partition("# command:")[0]
    config = composed(f"experiment={name}")
    assert list(config.tags) == sorted(set(re.findall(r"\b(R\d|beyond)\.\w", source))) != []
    assert list(composed(f"experiment={name}", "tags=[mine]").tags) == ["mine"]
    assert configs.fingerprint(config) == configs.fingerprint(composed(f"experiment={name}", "tags=[mine]"))


def test_experiments_hold_what_the_reports_say() -> None:
    baseline = composed("experiment=mnist_baseline")
    assert (baseline.optimizer.lr, baseline.data.batch_size, baseline.trainer.max_epochs) == (0.001, 16, 5)
    assert baseline.data.validation == 10000
    augmented = composed("experiment=mnist_augmented")
    assert (augmented.data.mean, augmented.data.std) == ([0.1308], [0.3016])
    assert list(augmented.augment) == ["rotation", "affine"]
    tuned = composed("experiment=cifar10_a_tuned")
    assert (tuned.optimizer["_target_"], tuned.optimizer.lr, tuned.data.batch_size) == (
        "torch.optim.Adam",
        0.01,
        64,
    )
