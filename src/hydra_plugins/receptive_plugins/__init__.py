"""Hydra takes sweepers and launchers only from `hydra_plugins`, and imports what lies here at every start: a shim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from receptive.config import register_resolvers

register_resolvers()


class GridSweeper(Sweeper):
    """Grid times variants; see receptive.sweeps.sweep."""

    def __init__(self, params: dict[str, Any] | None = None, variants: dict[str, list[str]] | None = None) -> None:
        self.params = params or {}
        self.variants = variants or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher."""
        from hydra.core.plugins import Plugins

        self.config, self._loader = config, hydra_context.config_loader
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run all points of the grid."""
        from receptive.sweeps.sweep import by_folders, by_overrides, sweep

        launcher = self.launcher
        assert self.config is not None and launcher is not None
        return sweep(
            self._loader,
            self.config,
            by_folders(launcher.run) if isinstance(launcher, FolderLauncher) else by_overrides(launcher),
            arguments,
            self.params,
            self.variants,
        )


class FolderLauncher(Launcher):
    """Launchers of ours take folders with frozen configs, not overrides."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep nothing: the folders say all."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse: only our sweepers know folders."""
        raise NotImplementedError("choose hydra/sweeper=grid: this launcher runs the job folders that it makes")

    def run(self, folders: list[Path]) -> None:
        """Run the jobs of these folders; a job's failure is recorded in its folder and raises nothing."""
        raise NotImplementedError


class LocalLauncher(FolderLauncher):
    """One job after the other in this process."""

    def run(self, folders: list[Path]) -> None:
        """Run the jobs of these folders."""
        from receptive.sweeps.launchers import run_local

        run_local(folders)


class PackedLauncher(FolderLauncher):
    """One worker process a core.

    Args:
        workers: number of processes; None: one a core.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def run(self, folders: list[Path]) -> None:
        """Run the jobs of these folders."""
        from receptive.sweeps.launchers import run_packed

        run_packed(folders, self.workers)
