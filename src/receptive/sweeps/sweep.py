"""A sweep: compose its points, check them, freeze them into folders, run what is missing, write the report."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from receptive.console import new_console
from receptive.errors import InputError
from receptive.report.claims import parse_claims
from receptive.report.report import write_report
from receptive.runs import shown
from receptive.signals import listening
from receptive.sweeps.dry_run import tell_of_sweep
from receptive.sweeps.expansion import Point
from receptive.sweeps.jobs import compose, placed, settle
from receptive.sweeps.launching import Launch, finished, run_missing
from receptive.sweeps.presence import driving
from receptive.tracking.mirrors import MIRRORS
from receptive.tracking.options import wandb_options


@dataclass(frozen=True)
class Plan:
    """What all points of a sweep share.

    Args:
        loader: Hydra's.
        master: the config that Hydra composed for the sweep.
        launch: runs jobs: `by_folders` or `by_overrides`.
        claims: of the study.
        workers: jobs that the launcher runs at a time; None: its own affair.
        detach: the jobs are submitted, and the command does not wait for them.
        here: the jobs run on this machine; false: they may start on others, as those of Slurm.
    """

    loader: Any
    master: DictConfig
    launch: Launch
    claims: Any = ()
    workers: int | None = None
    detach: bool = False
    here: bool = True

    @property
    def root(self) -> Path:
        """The sweep's folder."""
        return Path(self.master.hydra.sweep.dir).absolute()

    @property
    def about(self) -> dict[str, Any]:
        """What `sweep.json` holds beside the jobs; raises InputError for a claim that says nothing."""
        parse_claims(self.claims)
        return {"name": self.master.hydra.runtime.choices.get("study") or "", "claims": tuple(self.claims)}


def sweep(plan: Plan, points: Iterable[Point]) -> None:
    """Run all points that are not done yet; with dry_run=true tell of them.

    Raises:
        InputError: a point cannot run (none is started then), or the folder holds another sweep.
        SystemExit: with code 1 when a job is neither done nor pruned in the end.
        Interrupted: a signal came; the report is written all the same.
    """
    about, console, points = plan.about, new_console(), list(points)
    if not points:
        raise InputError("this sweep has no job: hydra.sweeper.params or the command line must give each key a value")
    dry, rerun = plan.master.get("dry_run") is True, plan.master.get("rerun", "failed")
    jobs = compose(plan.loader, plan.master, points, plan.root, download=not dry, here=plan.here)
    if len(jobs) < len(points):
        console.print(f"{len(points) - len(jobs)} of {len(points)} points are duplicates of others")
    if dry:
        outputs = Path(plan.master.paths.output_dir)
        tell_of_sweep(placed(jobs, plan.root), plan.root, outputs, rerun, plan.workers, console)
        return
    jobs = settle(jobs, plan.root, about)
    if plan.detach:
        run_missing(jobs, plan.launch, plan.root, rerun, console, wait=False)
        folder = shlex.quote(shown(plan.root))
        for verb, what in (("status", "shows them"), ("report", "makes the tables"), ("cancel", "stops them")):
            console.print(f"receptive {verb} {folder}   {what}")
        return
    try:
        with driving(plan.root), listening():
            run_missing(jobs, plan.launch, plan.root, rerun, console)
    finally:
        write_report(plan.root, console)  # of jobs of earlier commands in this folder too
        MIRRORS.send_tables(plan.root, console, asked=wandb_options(plan.master) is not None)
    if not all(finished(job.run) for job in jobs):
        raise SystemExit(1)
