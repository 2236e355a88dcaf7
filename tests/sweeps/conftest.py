"""A sweep as Hydra hands it to a sweeper, without running it."""

from collections.abc import Callable
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from receptive import config as configs
from receptive.sweeps.space import Space, parse_space

Master = Callable[..., tuple[ConfigLoaderImpl, DictConfig]]


def parse(*arguments: str, **params: Any) -> Space:
    return parse_space(None, arguments, {key.replace("__", "."): value for key, value in params.items()})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def tables_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and page take a third of a small sweep's time: they are made where a test asks for `illustrated`."""
    if "illustrated" not in request.fixturenames:
        monkeypatch.setattr("receptive.report.report._illustrate", lambda *_: None)


@pytest.fixture
def illustrated() -> None:
    """Sweeps of this test end in figures and page too."""


@pytest.fixture
def master() -> Master:
    """Overrides without sweeps -> Hydra's loader, and the config of a sweep."""

    def of(*overrides: str) -> tuple[ConfigLoaderImpl, DictConfig]:
        configs.register_resolvers()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(configs.conf_dir()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            assert isinstance(loader, ConfigLoaderImpl)
            return loader, loader.load_configuration("train", list(overrides), RunMode.MULTIRUN)

    return of
