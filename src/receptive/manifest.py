"""`sweep.json`: the jobs of a sweep's folder, and what its study claims; what runs a folder holds. No torch."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receptive.config import OF_ONE_COMMAND
from receptive.errors import InputError
from receptive.files import read_json, write_atomically
from receptive.runs import Run

NAME = "sweep.json"
_MOST_COMMANDS = 20  # runs whose commands are written out where no single one gives them all


@dataclass(frozen=True)
class Entry:
    """A job of a sweep.

    Args:
        overrides: all that tell its config from the sweep's.
        labels: what a table shows of them: the variant, and swept key -> value as typed.
        fingerprint: of its config.
        folder: its name below the sweep's folder.
        trial: its number in a search or among drawn points; None in a grid.
    """

    overrides: tuple[str, ...]
    labels: dict[str, str]
    fingerprint: str
    folder: str
    trial: int | None = None

    def run(self, root: Path) -> Run:
        """The job's run, in the sweep's folder `root`."""
        return Run(root / self.folder)


@dataclass(frozen=True)
class Manifest:
    """What `sweep.json` holds.

    Args:
        entries: the jobs, in the order in which they came, by fingerprint.
        name: of the study; "" of other sweeps.
        claims: of the study, as its file has them.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    name: str = ""
    claims: tuple[dict[str, Any], ...] = ()

    @staticmethod
    def read(root: Path) -> Manifest:
        """The manifest of a sweep's folder, empty where it has none.

        Raises:
            InputError: it is damaged.
        """
        path = root / NAME
        if not path.is_file():
            return Manifest()
        content = read_json(path)
        try:
            entries = {entry.fingerprint: entry for entry in map(_entry, content["jobs"])}
            if len({entry.folder for entry in entries.values()}) < len(content["jobs"]):
                raise TypeError("two jobs have one folder or fingerprint")
            if not isinstance(content["name"], str) or not isinstance(content["claims"], list):
                raise TypeError("name or claims")
            return Manifest(entries, content["name"], tuple(content["claims"]))
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path} is damaged ({reason}): restore it or delete it") from None

    def write(self, root: Path) -> None:
        """Replace the manifest of a sweep's folder; raises OSError."""
        jobs = [dataclasses.asdict(entry) for entry in self.entries.values()]
        content = {"name": self.name, "claims": list(self.claims), "jobs": jobs}
        write_atomically(root / NAME, json.dumps(content, indent=1) + "\n")


@dataclass(frozen=True)
class Content:
    """The runs of a folder.

    Args:
        manifest: what its `sweep.json` holds; empty where it has none, or a damaged one.
        runs: those of the manifest; where it lists none the run that the folder is, or those that lie in it.
        labels: of each run, as the manifest has them; {} of those that it does not list.
        note: why `sweep.json` was not read, a sentence; "" where it was.
    """

    manifest: Manifest
    runs: tuple[Run, ...]
    labels: tuple[dict[str, str], ...]
    note: str = ""


def runs_in(root: Path, read: Callable[[Path], Manifest] = Manifest.read) -> Content:
    """The runs of a folder, whatever state it is in; nothing is raised for what is damaged.

    Args:
        root: of a sweep, of a run, or of runs that each have a folder in it.
        read: gives the manifest of a folder; raises InputError or OSError.
    """
    manifest, note = Manifest(), ""
    try:
        manifest = read(root)
    except InputError as error:
        note = f"{error}. The runs were found by their folders instead"
    except OSError as error:
        note = f"{root / NAME} cannot be read ({error.strerror}). The runs were found by their folders instead"
    if manifest.entries:
        entries = manifest.entries.values()
        return Content(manifest, tuple(entry.run(root) for entry in entries), tuple(entry.labels for entry in entries))
    if (root / "config.yaml").is_file():
        return Content(manifest, (Run(root),), ({},), note)
    folders = {path.parent for name in ("config.yaml", "status.json") for path in root.glob(f"*/{name}")}
    return Content(manifest, tuple(Run(folder) for folder in sorted(folders)), ({},) * len(folders), note)


def commands_of(manifest: Manifest) -> tuple[str, ...]:
    """What computes the runs of a sweep again: one command where they are a study or a grid, else one a run."""
    entries = [
        dataclasses.replace(
            entry, overrides=tuple(line for line in entry.overrides if not line.startswith(OF_ONE_COMMAND))
        )
        for entry in manifest.entries.values()
    ]
    if not entries:
        return ()
    common = [line for line in entries[0].overrides if all(line in entry.overrides for entry in entries)]
    if manifest.name:
        given = [line for line in common if not line.startswith("study=")]
        return (shlex.join(["receptive", "train", f"study={manifest.name}", *given]),)
    if (lists := _lists(entries, common)) is not None:
        return (shlex.join(["receptive", "train", *(["-m"] if lists else []), *common, *lists]),)
    lines = [shlex.join(["receptive", "train", *entry.overrides]) for entry in entries[:_MOST_COMMANDS]]
    more = len(entries) - len(lines)
    return (*lines, *([f"# and {more} more"] if more else []))


def _lists(entries: Sequence[Entry], common: Sequence[str]) -> list[str] | None:
    """The lists whose product the runs are; None where they are none."""
    values: dict[str, dict[str, None]] = {}
    for entry in entries:
        own = [line.partition("=") for line in entry.overrides if line not in common]
        if "variant" in entry.labels or entry.trial is not None or not all(sign for _, sign, _ in own):
            return None
        for key, _, value in own:
            values.setdefault(key, {})[value] = None
    if math.prod(map(len, values.values())) != len({entry.overrides for entry in entries}):
        return None
    return [f"{key}={','.join(found)}" for key, found in values.items()]


def _entry(job: dict[str, Any]) -> Entry:
    for key in ("folder", "fingerprint"):
        if not isinstance(job[key], str):
            raise TypeError(f"{key}: no text")
    if job["folder"] in ("", ".", "..") or "/" in job["folder"]:
        raise TypeError(f"folder={job['folder']}: no name of a folder in this one")
    if not isinstance(job["overrides"], list) or not all(isinstance(line, str) for line in job["overrides"]):
        raise TypeError("overrides: no list of texts")
    texts = {key: str(value) for key, value in job["labels"].items()}
    return Entry(tuple(job["overrides"]), texts, job["fingerprint"], job["folder"], job["trial"])
