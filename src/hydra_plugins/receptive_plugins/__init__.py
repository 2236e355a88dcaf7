"""Hydra takes sweepers and launchers only from `hydra_plugins`, and imports what lies here at every start: a shim."""

from __future__ import annotations

import abc
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast, get_args

from annotated_types import Ge
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from receptive.config import Submit, register_resolvers
from receptive.errors import InputError

if TYPE_CHECKING:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    from receptive.sweeps.places import WorkerPlace
    from receptive.sweeps.sweep import Plan

register_resolvers()


class FolderSweeper(Sweeper):
    """Sweepers of ours freeze the points of a sweep into folders; see receptive.sweeps.sweep.

    Args:
        params: key -> values, as on the command line.
        claims: of a study; see receptive.report.claims.
        options: each sweeper's own.
    """

    def __init__(
        self, params: dict[str, Any] | None = None, claims: Sequence[dict[str, Any]] | None = None, **options: Any
    ) -> None:
        self.params = params or {}
        self.claims = OmegaConf.to_container(claims) if OmegaConf.is_config(claims) else claims or []
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher; raises InputError where a verb has no sweeps."""
        from hydra.core.plugins import Plugins

        if config.hydra.job.name == "summary":  # its config is that of train, with this sweeper
            raise InputError("summary shows one model: leave out -m")

        self.config, self._loader = config, cast("ConfigLoaderImpl", hydra_context.config_loader)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def plan(self, at_once: int | None = None) -> Plan:
        """What all points share.

        Args:
            at_once: how many jobs a launcher of others is given before they have ended; None: all.
        """
        from receptive.sweeps.launching import by_folders, by_overrides
        from receptive.sweeps.sweep import Plan

        assert self.config is not None and self.launcher is not None
        detach = detached(self.config)
        if detach and not isinstance(self.launcher, SlurmLauncher):
            raise InputError("submit=detach: these jobs end with the command; choose hydra/launcher=slurm")
        if isinstance(self.launcher, FolderLauncher):
            workers = self.launcher.processes or at_once
            launch = by_folders(functools.partial(self.launcher.run, at_once=at_once))
        else:
            workers, launch = at_once, by_overrides(self.launcher, at_once)
        here = isinstance(self.launcher, FolderLauncher) and self.launcher.HERE
        return Plan(self._loader, self.config, launch, self.claims, workers, detach, here)


class GridSweeper(FolderSweeper):
    """Grid times variants (name -> list of overrides), its own option."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all points of the grid."""
        from receptive.report.claims import check_variants
        from receptive.sweeps.expansion import expand
        from receptive.sweeps.sweep import sweep

        variants = self.options.get("variants")
        if others := [f"hydra.sweeper.{name}" for name in self.options if name != "variants"]:  # a search's
            listed = ", ".join(others)
            raise InputError(f"{listed}: a grid has no such option; add hydra/sweeper=random or optuna to the command")
        points = expand(self._loader, arguments, self.params, variants)
        check_variants(self.claims, dict.fromkeys(point.variant for point in points if point.variant))
        return sweep(self.plan(), points)


class RandomSweeper(FolderSweeper):
    """Points drawn at random, and with each of them all listed seeds; options: receptive.sweeps.space.Drawing."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all drawn points."""
        from receptive.signatures import options_of
        from receptive.sweeps.space import Drawing, draw, parse_space
        from receptive.sweeps.sweep import sweep

        drawing = options_of(Drawing, self.options, "hydra.sweeper")
        return sweep(self.plan(), draw(parse_space(self._loader, arguments, self.params), drawing))


class OptunaSweeper(FolderSweeper):
    """Points that Optuna asks for, with an eye to those before; options: receptive.sweeps.trials.SearchOptions."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run as many trials as the study still lacks."""
        from receptive.journal import require_optuna

        require_optuna()
        from receptive.signatures import options_of
        from receptive.sweeps.search import search
        from receptive.sweeps.space import parse_space
        from receptive.sweeps.trials import SearchOptions

        options = options_of(SearchOptions, self.options, "hydra.sweeper")
        return search(self.plan(options.parallel), parse_space(self._loader, arguments, self.params), options)


class FolderLauncher(Launcher):
    """Launchers of ours take folders with frozen configs, not overrides."""

    HERE: ClassVar[bool] = True  # its jobs run on this machine

    @property
    def processes(self) -> int | None:
        """Jobs that run at a time; None: others decide."""
        return 1

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep nothing: the folders say all."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse: only our sweepers know folders."""
        raise NotImplementedError(
            "choose hydra/sweeper=grid, random or optuna: this launcher runs the job folders that it makes"
        )

    @abc.abstractmethod
    def run(self, folders: Iterable[Path], total: int, at_once: int | None = None) -> None:
        """Run the jobs of these folders; a job's failure is recorded in its folder and raises nothing.

        Args:
            folders: of the jobs; each is asked for when there is a place for it.
            total: how many are expected.
            at_once: places where the launcher has no number of its own; None: as many as jobs.
        """


class LocalLauncher(FolderLauncher):
    """One job after the other in this process."""

    def run(self, folders: Iterable[Path], total: int, at_once: int | None = None) -> None:
        """Run the jobs of these folders."""
        from receptive.sweeps.launchers import run_local

        run_local(folders, total)


class PackedLauncher(FolderLauncher):
    """Worker processes: one a core, or where GPUs are visible some a GPU; see receptive.sweeps.places.

    Args:
        workers: number of processes; None: one a core, with GPUs `jobs_per_device` a GPU.
        jobs_per_device: processes that share a GPU.
    """

    def __init__(
        self, workers: Annotated[int, Ge(1)] | None = None, jobs_per_device: Annotated[int, Ge(1)] = 1
    ) -> None:
        self.workers, self.jobs_per_device = workers, jobs_per_device

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep where the sweep computes."""
        self._accelerator = OmegaConf.select(config, "trainer.accelerator")
        self._devices = OmegaConf.select(config, "trainer.devices")

    @property
    def processes(self) -> int:
        """Jobs that run at a time; raises InputError for a number that is none."""
        return len(self._places())

    def _places(self) -> list[WorkerPlace]:
        from receptive.signatures import option_faults
        from receptive.sweeps.places import places, visible_gpus

        given = {"workers": self.workers, "jobs_per_device": self.jobs_per_device}
        if faults := option_faults(PackedLauncher, given):
            raise InputError("\n".join(f"hydra.launcher.{fault}" for fault in faults))
        gpus = visible_gpus() if self._accelerator in ("auto", "cuda") else []
        if gpus and self._devices not in (1, "auto"):
            raise InputError(
                f"trainer.devices={self._devices}: hydra/launcher=packed gives each job one GPU; "
                "leave it out, or choose hydra/launcher=local"
            )
        return places(self.workers, self.jobs_per_device, gpus)

    def run(self, folders: Iterable[Path], total: int, at_once: int | None = None) -> None:
        """Run the jobs of these folders."""
        from receptive.sweeps.launchers import run_packed

        run_packed(folders, total, self._places())


class SlurmLauncher(FolderLauncher):
    """Arrays of jobs in Slurm's queue.

    Args:
        options: receptive.slurm.options.SlurmOptions.
    """

    HERE = False

    def __init__(self, **options: Any) -> None:
        self._given = options
        self._wait = True

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take whether to wait, and check the options."""
        from receptive.signatures import options_of
        from receptive.slurm.options import SlurmOptions

        given = OmegaConf.to_container(OmegaConf.create(self._given))
        assert isinstance(given, dict)
        self._options, self._wait = options_of(SlurmOptions, given, "hydra.launcher"), not detached(config)  # type: ignore[arg-type]
        devices, nodes = config.trainer.get("devices", 1), config.trainer.get("num_nodes", 1)
        if self._options.tasks > 1 and devices != "auto" and self._options.tasks != devices * nodes:
            raise InputError(
                f"hydra.launcher.nodes={self._options.nodes} and ntasks_per_node={self._options.ntasks_per_node} start "
                f"{self._options.tasks} processes for each job, but trainer.devices={devices} and trainer.num_nodes="
                f"{nodes} ask for {devices * nodes}"
            )

    @property
    def processes(self) -> int | None:
        """Jobs that run at a time, where that was limited."""
        return self._options.array_parallelism

    def run(self, folders: Iterable[Path], total: int, at_once: int | None = None) -> None:
        """Have Slurm run the jobs of these folders."""
        from receptive.sweeps.slurm import run_slurm

        if at_once is not None:  # a search's, which the launcher's own limit goes before
            at_once = self.processes or at_once
        run_slurm(folders, total, self._options, at_once=at_once, wait=self._wait)


def detached(config: DictConfig) -> bool:
    """Whether the command is to return when the jobs are submitted; raises InputError for what is neither."""
    if (submit := config.get("submit", "wait")) not in get_args(Submit):
        raise InputError(f"submit={submit}: give {' or '.join(get_args(Submit))}")
    return bool(submit == "detach")
