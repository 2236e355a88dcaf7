"""What the Weights & Biases back end of the tests remembers: runs, and the artifacts that they logged."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

HISTORY, EVENTS, SUMMARY, OUTPUT = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"


@dataclass
class Artifact:
    """One version of an artifact; what its manifest names and what was uploaded for it."""

    id: str
    name: str
    type: str
    digest: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    committed: bool = False


@dataclass
class BackendRun:
    """One run as the server knows it. What is read while a client writes is whole: a lock is held."""

    id: str
    project: str
    entity: str
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: list[str] = field(default_factory=list)
    exit_code: int | None = None
    complete: bool = False
    overwritten: int = 0  # rows that arrived once more at their offset, with another content
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    stored_config: dict[str, Any] = field(default_factory=dict)  # as sent: {"lr": {"value": 0.1}, "_wandb": ...}
    stored_summary: str | None = None  # JSON that came with the run, not with its stream
    streams: dict[str, dict[int, str]] = field(default_factory=dict)  # file name -> offset -> line
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history in the order of its offsets."""
        return [json.loads(line) for line in self.lines(HISTORY)]

    @property
    def steps(self) -> list[int]:
        """`_step` of every row."""
        return [row["_step"] for row in self.rows]

    @property
    def summary(self) -> dict[str, Any]:
        """The last summary that was sent."""
        lines = self.lines(SUMMARY)
        summary: dict[str, Any] = json.loads(lines[-1] if lines else self.stored_summary or "{}")
        return summary

    @property
    def config(self) -> dict[str, Any]:
        """The config without the client's own part and without its wrapping: {"lr": 0.1}."""
        with self.lock:
            return {key: item["value"] for key, item in self.stored_config.items() if key != "_wandb"}

    @property
    def state(self) -> str:
        """What the app shows, except that a run whose client is gone without a word stays "running"."""
        with self.lock:
            if not self.complete:
                return "running"
            return {0: "finished", 255: "killed"}.get(self.exit_code or 0, "failed")

    def lines(self, file: str) -> list[str]:
        """The lines of a streamed file in the order of their offsets."""
        with self.lock:
            return [line for _, line in sorted(self.streams.get(file, {}).items())]

    def take_stream(self, body: dict[str, Any]) -> None:
        """Store one request to the run's file stream."""
        with self.lock:
            for file, chunk in (body.get("files") or {}).items():
                stored = self.streams.setdefault(file, {})
                for offset, line in enumerate(chunk["content"], chunk["offset"]):
                    if file == HISTORY and stored.get(offset, line) != line:
                        self.overwritten += 1
                    stored[offset] = line
            if body.get("complete"):
                self.complete, self.exit_code = True, body.get("exitcode")

    def take_fields(self, variables: dict[str, Any]) -> None:
        """Store what the client says about the run; what it leaves out stays as it is."""
        with self.lock:
            self.complete, self.exit_code = False, None
            self.name = variables.get("displayName") or self.name
            self.group = variables.get("groupName") or self.group
            self.job_type = variables.get("jobType") or self.job_type
            self.notes = variables.get("notes") or self.notes
            self.stored_summary = variables.get("summaryMetrics") or self.stored_summary
            if variables.get("tags") is not None:
                self.tags = list(variables["tags"])
            if variables.get("config"):
                self.stored_config = json.loads(variables["config"])

    def resume_status(self) -> dict[str, Any]:
        """What a client that resumes the run has to know: how far each stream came, and its last line."""
        with self.lock:
            own = self.stored_config.get("_wandb", {}).get("value", {})
            return {
                "id": f"run-{self.id}",
                "name": self.id,
                "displayName": self.name or self.id,
                "summaryMetrics": json.dumps(self.summary),
                "config": json.dumps(self.stored_config),
                "tags": self.tags,
                "notes": self.notes,
                "wandbConfig": json.dumps({key: own[key] for key in ("t",) if key in own}),
                "logLineCount": len(self.lines(OUTPUT)),
                "historyLineCount": len(self.lines(HISTORY)),
                "eventsLineCount": len(self.lines(EVENTS)),
                "historyTail": json.dumps(self.lines(HISTORY)[-1:]),
                "eventsTail": json.dumps(self.lines(EVENTS)[-1:]),
            }
