"""Packed workers that end otherwise than their jobs."""

import os
import sys
from pathlib import Path

import pytest

from receptive.runs import Run, Status
from receptive.sweeps.launchers import run_packed
from receptive.sweeps.places import WorkerPlace


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("echo Traceback >&2; echo 'ImportError: no libfoo' >&2; exit 3", "ended with code 3 (ImportError: no libfoo)"),
        ("exit 3", "ended with code 3"),
        ("echo a warning >&2; kill -9 $$", "was killed by SIGKILL"),
    ],
)
def test_what_a_worker_has_died_of_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, error: str
) -> None:
    worker = tmp_path / "worker.sh"
    worker.write_text(f"#!/bin/sh\nread folder\n{end}\n")
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    run = Run(tmp_path / "job")
    run.folder.mkdir()
    run.write_status(Status(state="waiting"))
    run_packed([run.folder], 1, [WorkerPlace(tuple(os.sched_getaffinity(0)))])
    assert (run.state(), run.status().error) == ("failed", f"the worker {error}")
