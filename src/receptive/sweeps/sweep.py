"""A sweep: compose its points, check them, freeze them into folders, run what is missing, write the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from receptive.report.claims import parse_claims
from receptive.report.report import write_report
from receptive.runs import ENDED_WELL
from receptive.signals import listening
from receptive.sweeps.expansion import Point
from receptive.sweeps.jobs import compose, settle
from receptive.sweeps.launching import Launch, run_missing


@dataclass(frozen=True)
class Plan:
    """What all points of a sweep share.

    Args:
        loader: Hydra's.
        master: the config that Hydra composed for the sweep.
        launch: runs jobs: `by_folders` or `by_overrides`.
        claims: of the study.
    """

    loader: Any
    master: DictConfig
    launch: Launch
    claims: Any = ()

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
    """Run all points that are not done yet.

    Raises:
        InputError: a point cannot run (none is started then), or the folder holds another sweep.
        SystemExit: with code 1 when a job is neither done nor pruned in the end.
        Interrupted: a signal came; the report is written all the same.
    """
    about, console = plan.about, Console(markup=False)
    jobs = settle(compose(plan.loader, plan.master, points, plan.root), plan.root, about)
    try:
        with listening():
            run_missing(jobs, plan.launch, plan.root, plan.master.get("rerun", "failed"), console)
    finally:
        write_report(plan.root, console)  # of jobs of earlier commands in this folder too
    if any(job.run.state() not in ENDED_WELL for job in jobs):
        raise SystemExit(1)
