"""The jobs of a sweep's points: what they are checked for on the machine that starts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # looks at is_available when it is first imported: before that is replaced below
from hydra._internal.callbacks import Callbacks
from hydra.types import HydraContext

from hydra_plugins.receptive_plugins import GridSweeper
from receptive.sweeps.expansion import Point
from receptive.sweeps.jobs import JobComposer


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize(("launcher", "here"), [("local", True), ("packed", True), ("slurm", False), ("basic", False)])
def test_a_device_is_asked_for_where_the_jobs_run(
    master: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, here: bool, kind: str
) -> None:
    """A cluster's login node often has none; a launcher of others may start jobs anywhere."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    loader, config = master(f"hydra/launcher={launcher}", "hydra.job.name=train")
    sweeper = GridSweeper()
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    sweeper.setup(hydra_context=context, task_function=lambda _: None, config=config)
    plan = sweeper.plan()
    device = f"trainer.accelerator={kind}"
    _job, faults = JobComposer(loader, config, tmp_path, here=plan.here).job(Point("", (device,), (), ()))
    assert faults == [f"{device}: this machine has no {kind.upper()} device; choose auto or cpu"] * here
