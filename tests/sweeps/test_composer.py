"""The points of a sweep as the Composer gives them, against Hydra's own composing of each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from receptive import config as configs
from receptive.sweeps.assembly import Assembly
from receptive.sweeps.composer import Composer

EXPERIMENTS = sorted(path.stem for path in (configs.conf_dir() / "experiment").glob("*.yaml"))
POINTS = [
    *([f"experiment={name}", "seed=3", "trainer.max_epochs=2"] for name in EXPERIMENTS),
    *([f"experiment={name}", "model=resnet18", "data=digits", "optimizer=muon"] for name in EXPERIMENTS[::3]),
    # nothing, and values of every kind
    [],
    ["optimizer.lr=0.1"],
    ["optimizer.lr=1e-3", "optimizer.lr=0.5"],
    ["optimizer.betas=[0.8,0.99]"],
    ["optimizer={lr: 0.3}"],
    ["model={channels: [1,2,3], head: global_avg}"],
    ["trainer={max_epochs: 3}", "trainer=debug"],
    ["trainer=debug", "trainer={max_epochs: 3}"],
    ["data.mean=null", "init='a folder, with = and \"quotes\"'"],
    ["init=äöü", "paths.output_dir='with spaces'"],
    ["init=\\${paths.output_dir}", "paths.data_dir=${paths.output_dir}/below"],
    ["init=${paths.output_dir}/run", "paths.output_dir=elsewhere"],
    ["data.source={}"],
    ["seed=${oc.env:NO_SUCH_VARIABLE,7}"],
    ["seed=???"],
    ["test=true", "data.num_workers=2", "target_prefixes=[a,b]"],
    ["model.activation='relu'", "model.norm=\"batch\"", "model.head=' a b '"],
    ["optimizer.lr=int(3)", "seed=str(1)", "init=quote"],
    # additions, deletions, and their order
    ["+extra.deep.key=[1,{a: b}]", "extra.deep.key=2"],
    ["extra.deep.key=2", "+extra.deep.key=1"],
    ["+optimizer.amsgrad=true"],
    ["+optimizer.lr=0.2"],
    ["++optimizer.lr=0.2", "++new=1"],
    ["+model={width: 3}"],
    ["~optimizer.lr", "+optimizer.lr=0.7"],
    ["~test", "~data.source"],
    ["~seed=0"],
    ["~seed=1"],
    ["~nothing"],
    # groups
    ["model=net_a", "data=cifar10", "model.norm=batch"],
    ["model.norm=batch", "model=net_a"],
    ["model=net_a", "model=mnist_global_avg"],
    ["optimizer=sgd", "optimizer.nesterov=true", "scheduler=one_cycle", "scheduler.start_divisor=3"],
    ["augment=[rotation]", "augment.rotation.degrees=3"],
    ["augment=[rotation,cutout]", "~augment.cutout"],
    ["augment=[]"],
    ["augment=rotation"],
    ["~augment"],
    ["~optimizer"],
    ["~optimizer=adam"],
    ["~optimizer=sgd"],
    ["+augment@augment_too=cutout"],
    ["/optimizer=sgd"],
    ["optimizer@_global_=sgd"],
    # hydra's own
    ["hydra.job.num=3", "seed=1"],
    ["hydra.job.no_such_key=3", "seed=1"],
    ["hydra/launcher=packed", "hydra.launcher.workers=1", "seed=2"],
    ["+hydra.extra=1"],
    ["hydra={}"],
    # faults
    ["optimizer.lrr=0.1"],
    ["optimizer.momentum=0.9"],
    ["seed.deep=1"],
    ["data.mean.first=1"],
    ["optimizer.betas.0=0.7"],
    ["optimizer.betas.7=0.7"],
    ["modle=net_a"],
    ["model=resnet19", "seed=1"],
    ["model=3"],
    ["++model=net_a"],
    ["optimizer@nowhere=sgd"],
    ["nothing@nowhere=1"],
    ["augment=[rotation,nothing]"],
    ["experiment=nothing"],
    ["seed=1,2"],
    ["seed=range(3)"],
    ["model=[net_a"],
    ["seed"],
    ["optimizer.lr=${nowhere}", "paths.data_dir=${nowhere}"],
    ["paths=null"],
    ["paths.data_dir={}"],
]  # fmt: skip


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConfigLoaderImpl]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECEPTIVE_DATA_DIR", raising=False)
    configs.register_resolvers()
    with initialize_config_dir(str(configs.conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        yield loader


def master_of(loader: ConfigLoaderImpl, *overrides: str) -> DictConfig:
    return loader.load_configuration("train", list(overrides), RunMode.MULTIRUN)


def outcome(compose: Any, overrides: list[str]) -> tuple[str, ...]:
    """The config to the last detail, or the error."""
    try:
        config = compose(overrides)
    except Exception as error:
        return type(error).__name__, str(error), repr(error.__cause__)
    assert not OmegaConf.is_struct(config)
    return "config", repr(OmegaConf.to_container(config))


@pytest.mark.slow
def test_every_point_is_what_hydra_composes(loader: ConfigLoaderImpl) -> None:
    master = master_of(loader, "seed=5")
    composer = Composer(loader, master)
    for point in POINTS:
        expected = outcome(lambda lines: configs.freeze(loader.load_sweep_config(master, lines)), point)
        assert outcome(composer.compose, point) == expected, point
        assert outcome(composer.compose, point) == expected, point  # from what is kept


def test_the_master_s_own_choices_hold_for_the_points(loader: ConfigLoaderImpl, tmp_path: Path) -> None:
    """hydra.searchpath brings groups that nobody else knows."""
    (tmp_path / "mine" / "mygroup").mkdir(parents=True)
    (tmp_path / "mine" / "mygroup" / "a.yaml").write_text("value: 1\n")
    master = master_of(loader, f"hydra.searchpath=[file://{tmp_path}/mine]")
    composer = Composer(loader, master)
    for point in (["+mygroup=a"], ["+mygroup=a", "mygroup.value=2"], ["mygroup=b"], ["seed=4"]):
        expected = outcome(lambda lines: configs.freeze(loader.load_sweep_config(master, lines)), point)
        assert outcome(composer.compose, point) == expected
    assert composer.compose(["+mygroup=a", "mygroup.value=2"]).mygroup.value == 2


def test_points_share_nothing(loader: ConfigLoaderImpl) -> None:
    composer = Composer(loader, master_of(loader))
    first = composer.compose(["optimizer.betas=[1,2]"])
    first.optimizer.betas.append(3)
    first.model.channels.append(7)
    second = composer.compose(["optimizer.lr=1"])
    assert (second.optimizer.betas, second.model.channels) == ([0.9, 0.999], [16, 32, 64])


def test_hydra_composes_once_for_each_choice_of_groups(loader: ConfigLoaderImpl) -> None:
    composer = Composer(loader, master_of(loader))
    for model in ("net_a", "net_b", "no_such_net"):
        for lr in range(20):
            for line in ("test=false", "+optimizer.amsgrad=true", "~init"):
                outcome(composer.compose, [f"model={model}", f"optimizer.lr={lr}", line, f"seed={lr}"])
    assert composer.compositions == 3


def test_what_is_put_together_from_nodes_is_what_hydra_composes(loader: ConfigLoaderImpl) -> None:
    composer = Composer(loader, master_of(loader, "seed=5"))
    assembly = Assembly(composer)
    points = [*POINTS[::3], *REFERRING]
    resolved = 0
    for point in [*points, *REFERRING[::-1]]:
        expected = outcome(composer.compose, point)
        if expected[0] != "config":
            assert outcome(assembly.compose, point) == expected
            continue
        given, config = assembly.compose(point), composer.compose(point)
        assert json.dumps(given.literal) == json.dumps(configs.plain(config)), point
        if given.resolved is not None:
            resolved += 1
            assert json.dumps(given.resolved) == json.dumps(configs.plain(config, resolve=True)), point
    assert resolved > len(points) / 2


REFERRING = [
    ["optimizer.lr=${seed}", "seed=3"],
    ["optimizer.lr=${trainer.max_epochs}", "trainer.max_epochs=7"],
    ["optimizer.lr=${trainer.max_epochs}", "trainer.max_epochs=${seed}", "seed=9"],
    ["optimizer.lr=${.eps}", "optimizer.eps=0.5"],
    ["optimizer.lr=${..seed}", "seed=2"],
    ["optimizer.lr=${${init}}", "init=seed", "seed=2"],
    ["init=seed", "optimizer.lr=${oc.select:seed}", "seed=4"],
    ["data.source=${model}", "data.source.activation=elu"],
    ["data=mnist", "data.source.root=${paths.output_dir}", "paths.output_dir=there"],
    ["data=mnist", "paths.data_dir=${oc.env:NO_SUCH_VARIABLE,${paths.output_dir}}"],
    ["scheduler=${optimizer}", "optimizer.lr=3"],
    ["optimizer=sgd", "optimizer.lr=0.1", "optimizer.momentum=0.9", "model.channels=[1,2]"],
]


def test_a_node_is_composed_once(loader: ConfigLoaderImpl, monkeypatch: pytest.MonkeyPatch) -> None:
    composer = Composer(loader, master_of(loader))
    assembly, counted = Assembly(composer), []
    apply = composer.set_values
    monkeypatch.setattr(composer, "set_values", lambda values, config: (counted.append(values), apply(values, config)))
    for lr in range(10):
        for size in range(1, 11):
            assembly.compose([f"optimizer.lr={lr}", f"data.batch_size={size}", "data=mnist"])
    assert len(counted) == 20
