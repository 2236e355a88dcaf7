"""A grid composed and checked, as a sweep does it before its first job."""

from __future__ import annotations

import time
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from receptive.config import conf_dir, register_resolvers
from receptive.sweeps.expansion import expand
from receptive.sweeps.jobs import compose


def composed_and_checked(points: int) -> float:
    """Return the seconds of a grid of `points` points over model, optimizer, learning rate and batch size.

    Raises:
        RuntimeError: the grid has another number of points.
    """
    register_resolvers()
    side = round((points / 4) ** 0.5)
    rates = ",".join(str(0.0001 * (number + 1)) for number in range(side))
    sizes = ",".join(str(number + 1) for number in range(side))
    lines = ["model=mnist_net,net_b", "optimizer=adam,sgd", f"optimizer.lr={rates}", f"data.batch_size={sizes}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        master = loader.load_configuration("train", [], RunMode.MULTIRUN)
        began = time.perf_counter()
        jobs = compose(loader, master, expand(loader, lines, {}, None), Path("nowhere"))
        seconds = time.perf_counter() - began
    if len(jobs) != points:
        raise RuntimeError(f"{len(jobs)} points instead of {points}")
    return seconds
