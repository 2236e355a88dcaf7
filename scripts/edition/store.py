"""The studies' committed results: finished runs without checkpoints and pictures, and what the report says of them.

results/STUDY/
jobs/             sweep.json, and a folder a finished run: config, status, result, curves; counts as done later
summary.csv       a row a group of seeds
claims.csv        a row a claim, with its verdict
figures/*.png     the report's figures of tables and curves; none shows an image of a data set
provenance.json   command, commits, code, data, versions, machine, minutes
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from receptive.console import counted
from receptive.errors import InputError
from receptive.files import read_json, read_yaml, write_atomically
from receptive.manifest import Manifest
from receptive.report.places import STUDIES
from receptive.report.report import write_report
from receptive.report.selections import NOTED
from receptive.runs import Run

RESULTS = Path("results")
_OF_A_JOB = ("config.yaml", "status.json", "result.json", "metrics.csv", "activations.csv", "test_images.csv")
_OF_A_STUDY = ("summary.csv", "claims.csv")
_PLACES = {"data_dir": "data", "output_dir": "outputs"}  # as they are where nobody says otherwise


def restore(study: str) -> int:
    """Put the committed runs of a study where `receptive train study=` looks for them; gives how many were not there.

    Runs that are there and done, or run now, are left alone.
    """
    source, target = RESULTS / study / "jobs", STUDIES / study
    if not source.is_dir():
        return 0
    target.mkdir(parents=True, exist_ok=True)
    committed, there = Manifest.read(source), Manifest.read(target)
    if set(committed.entries) - set(there.entries):
        kept = there if there.entries else committed
        replace(kept, entries=committed.entries | there.entries).write(target)
    if (source / NOTED).is_file() and not (target / NOTED).exists():
        shutil.copyfile(source / NOTED, target / NOTED)
    missing = [path for path in _jobs(source) if Run(target / path.name).state() not in ("done", "running")]
    for path in missing:
        shutil.rmtree(target / path.name, ignore_errors=True)
        shutil.copytree(path, target / path.name)
    return len(missing)


def collect(study: str, console: Console) -> int:
    """Take over what is done of a study, and what its report says; gives how many runs are there then.

    Args:
        study: its name; it was run in outputs/studies.
        console: gets the report.

    Raises:
        InputError: nothing was finished there, or runs that are committed are not there.
    """
    source, target = STUDIES / study, RESULTS / study
    manifest = Manifest.read(source)
    done = [run for entry in manifest.entries.values() if (run := entry.run(source)).state() == "done"]
    if not done:
        raise InputError(f"{source}: no run of it is done")
    names = {run.folder.name for run in done}
    if lost := sorted(path.name for path in _jobs(target / "jobs") if path.name not in names):
        raise InputError(
            f"{source} lacks {counted(len(lost), 'run')} of {target}, such as {lost[0]}: python scripts/results.py "
            f"restore {study} first; where the study has changed since, delete {target}"
        )
    write_report(source, console)
    for run in done:
        _take(run, target / "jobs" / run.folder.name)
    entries = {key: replace(entry, overrides=_portable(entry.overrides)) for key, entry in manifest.entries.items()}
    replace(manifest, entries=entries).write(target / "jobs")
    if (source / NOTED).is_file():
        shutil.copyfile(source / NOTED, target / "jobs" / NOTED)
    for name in _OF_A_STUDY:
        (target / name).unlink(missing_ok=True)
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    shutil.rmtree(target / "figures", ignore_errors=True)
    shutil.copytree(source / "figures", target / "figures")
    provenance = _provenance(study, done, len(manifest.entries))
    write_atomically(target / "provenance.json", json.dumps(provenance, indent=1) + "\n")
    return len(done)


def _portable(overrides: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for line in overrides if not line.startswith("paths."))


def _jobs(folder: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(folder.glob("*/config.yaml")))


def _take(run: Run, target: Path) -> None:
    """Copy a run without what tells of this machine alone."""
    target.mkdir(parents=True, exist_ok=True)
    for name in _OF_A_JOB:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, target / name)
    config = read_yaml(run.config_path)
    write_atomically(target / "config.yaml", yaml.safe_dump(config | {"paths": _PLACES}, sort_keys=False))
    Run(target).write_status(replace(run.status(), pid=None, host=None, slurm_job=None, wandb_id=None))


def _provenance(study: str, runs: Iterable[Run], jobs: int) -> dict[str, Any]:
    """Where a study's figures come from; what differs between its runs stands in a list."""
    results = [read_json(run.result_path) for run in runs]
    statuses = [asdict(run.status()) for run in runs]
    seeds = sorted({result["seed"] for result in results})
    return {
        "study": study,
        "command": command_of(study, seeds),
        "jobs": {"done": len(results), "of": jobs},
        "seeds": seeds,
        "epochs": sorted({result["epochs"] for result in results}),
        "minutes": round(sum(result["seconds"] for result in results) / 60, 1),
        "from": _day(min((status["started"] for status in statuses), default=None)),
        "to": _day(max((status["ended"] for status in statuses), default=None)),
        "commits": _distinct(result["code"]["commit"] for result in results),
        "code": _distinct(result["code"]["hash"] for result in results),
        "dirty": any(result["code"]["dirty"] for result in results),
        "data": _distinct(result["data"]["checksums"] for result in results),
        "versions": _distinct(result["versions"] for result in results),
        "hardware": _distinct(result["hardware"] for result in results),
        "precision": _distinct(result["precision"] for result in results),
    }


def command_of(study: str, seeds: list[int]) -> str:
    """What runs all of it: the study as its file has it, or what reproduce.sh makes of it."""
    name = study.removesuffix("_full")
    path = Path("conf/study") / f"{name}.yaml"
    known = read_yaml(path)["hydra"]["sweeper"]["params"]["seed"] if path.is_file() else ""
    its = re.fullmatch(r"range\((\d+)\)", known)
    more = f"SEEDS={len(seeds)} " if its and len(seeds) > int(its[1]) else ""
    if name == study and not more:
        return f"receptive train study={name} hydra/launcher=packed"
    return f"{more}{'FULL=1 ' if name != study else ''}scripts/reproduce.sh {name}"


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _day(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
