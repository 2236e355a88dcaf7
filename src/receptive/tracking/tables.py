"""A sweep's own run in W&B: the tables and figures of its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb

from receptive.files import locked, read_csv, read_yaml
from receptive.manifest import Manifest
from receptive.tracking.contents import pictures
from receptive.tracking.identity import Identity, group_of, new_id, shortened
from receptive.tracking.mode import Mode
from receptive.tracking.options import WandbOptions, default_wandb_options, wandb_options
from receptive.tracking.page import Page
from receptive.tracking.record import Record, digest_of

TABLES = ("summary", "runs")  # CSV files of a report


def send_tables(root: Path, mode: Mode) -> bool:
    """Send the tables of a sweep's report, as one run of job type "sweep"; gives whether they were new.

    Args:
        root: the sweep's folder, with its report.
        mode: online or offline.

    Raises:
        InputError: a file of the folder is damaged.
        wandb.errors.Error: the client or the server refuses.
        Taken: another process sends them.
        TimeoutError: the server has not taken all.
    """
    name, options = group_of(root), _options(root)
    digest = digest_of(*(root / f"{table}.csv" for table in TABLES), name)
    (root / "wandb").mkdir(exist_ok=True)
    with locked(root / "wandb" / "id.lock"):  # two commands may end at once
        before = Record.read(root)
        if not before.id:
            before = Record(new_id(digest))
            before.write(root)
    if before.digest == digest and before.kind in ("online", mode.kind):
        return False
    identity = Identity(id=before.id, name=name, job_type="sweep", tags=shortened(options.tags), config={"sweep": name})
    page = Page(root, identity, options, mode).open()
    code = 1
    try:
        states = [row["state"] for row in read_csv(root / "runs.csv")]
        code = 0 if set(states) <= {"done", "pruned"} else 1
        page.log(page.last + 1, _contents(root))
        page.run.summary.update({f"jobs/{state}": states.count(state) for state in dict.fromkeys(states)})
        page.close(code, digest)
    except BaseException:
        page.drop(code)
        raise
    return True


def _options(root: Path) -> WandbOptions:
    """Those of the sweep's first job."""
    for entry in Manifest.read(root).entries.values():
        path = entry.run(root).config_path
        if path.is_file():
            return wandb_options(read_yaml(path)) or default_wandb_options()
    return default_wandb_options()


def _contents(root: Path) -> dict[str, Any]:
    tables = {name: _table(root / f"{name}.csv") for name in TABLES if (root / f"{name}.csv").is_file()}
    return tables | pictures(sorted((root / "figures").glob("*.png")))


def _table(path: Path) -> wandb.Table:
    """A CSV file: columns of numbers as such, all others as text."""
    rows = read_csv(path)
    columns = {key: _values([row[key] for row in rows]) for key in rows[0]} if rows else {}
    return wandb.Table(columns=list(columns), data=[list(row) for row in zip(*columns.values(), strict=True)])


def _values(texts: Sequence[str]) -> list[float | None] | list[str]:
    try:
        return [float(text) if text else None for text in texts]
    except ValueError:
        return list(texts)
