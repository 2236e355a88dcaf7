"""Runs as if trained: a composed config, weights that are no initial ones, a checkpoint and a result."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from receptive.build import build_data, build_task, build_trainer_options
from receptive.config import conf_dir, fingerprint, freeze, register_resolvers
from receptive.runs import Run, Status

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Options of `receptive train` -> a run's folder; no image is read."""

    def make(*overrides: str, name: str = "run") -> Run:
        run = Run(tmp_path / name)
        run.checkpoints.mkdir(parents=True)
        register_resolvers()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = freeze(compose("train", [*overrides, f"paths.data_dir={tmp_path / 'no data'}"]))
        OmegaConf.save(config, run.config_path)
        facts = build_data(config).facts
        task = build_task(config, facts, build_trainer_options(config))
        draws = torch.Generator().manual_seed(5)
        for tensor in task.model.state_dict().values():
            if tensor.is_floating_point():  # batch normalisation's averages too
                factor, shift = torch.rand((2, *tensor.shape), generator=draws) - 0.5
                tensor.mul_(1 + 0.2 * factor).add_(0.02 * shift)
        for kind in ("best", "last"):
            torch.save({"state_dict": task.state_dict(), "epoch": 0}, run.checkpoints / f"{kind}.ckpt")
        run.write_status(Status(state="done", fingerprint=fingerprint(config)))
        run.write_result({"metrics": {"test/accuracy": 0.5}, "data": {"facts": facts.plain()}})
        return run

    return make
