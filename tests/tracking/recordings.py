"""Runs that the Weights & Biases client recorded offline, read back from their files."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

from wandb.util import get_core_path


def inspect(path: Path) -> list[dict[str, Any]]:
    """The records of an offline run's file (`run-ID.wandb`, or its folder), each {"type": kind, kind: content, ...}.

    Raises:
        FileNotFoundError: There is no such file, or the folder holds not exactly one.
        subprocess.CalledProcessError: It is no such file.
    """
    return [json.loads(line) for line in _read(path).splitlines()]


class Recording:
    """An offline run: its file, or the folder `offline-run-*` that holds the file.

    Attributes:
        records: What `inspect` returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = inspect(path)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The contents of all records of one kind."""
        return [record[kind] for record in self.records if record["type"] == kind]

    @property
    def run(self) -> dict[str, Any]:
        """What init said of the run: run_id, project, run_group, job_type, display_name, tags, ..."""
        run: dict[str, Any] = self.of("run")[0]
        return run

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history in order. What was nested has the parts of its key joined by dots."""
        return [item["item"] for item in self.of("history")]

    @property
    def steps(self) -> list[int]:
        """`_step` of every row."""
        return [item["step"]["num"] for item in self.of("history")]

    @property
    def exit_code(self) -> int | None:
        """None where the client did not come to its end."""
        exits = self.of("exit")
        return exits[-1].get("exit_code", 0) if exits else None

    @property
    def config(self) -> dict[str, Any]:
        """The config at the end, without the client's own part."""
        config: dict[str, Any] = self._end["config"]
        return {key: value for key, value in config.items() if key != "_wandb"}

    @property
    def summary(self) -> dict[str, Any]:
        """The summary at the end, nested as it was logged."""
        summary: dict[str, Any] = self._end["summary"]
        return summary

    @functools.cached_property
    def _end(self) -> dict[str, Any]:
        end: dict[str, Any] = json.loads(_read(self.path, "-summary"))
        return end


def _read(path: Path, *flags: str) -> str:
    """What `wandb leet inspect --json` prints; without Python's part of the command, which takes a second."""
    files = [*path.glob("run-*.wandb")] if path.is_dir() else [path]
    if len(files) != 1 or not files[0].exists():
        raise FileNotFoundError(f"{path}: {len(files)} files")
    command = [get_core_path(), "leet", "inspect", "-no-observability", "-json", *flags, "-run-file", str(files[0])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
