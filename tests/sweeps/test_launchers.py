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


def test_what_models_print_is_kept_of_one_job_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the disk in a long sweep; what is left is of the job in which the worker has died."""
    worker = tmp_path / "worker.sh"
    said = tmp_path / "said"
    worker.write_text(
        f"#!/bin/sh\nread folder; echo of the first >&2; echo done; read folder; cat /dev/fd/2 > {said}; "
        "printf 'of the second' >&2; exit 3\n"
    )
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    runs = [Run(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        run.folder.mkdir()
        run.write_status(Status(state="waiting"))
    run_packed([run.folder for run in runs], 2, [WorkerPlace(tuple(os.sched_getaffinity(0)))])
    assert runs[1].status().error == "the worker ended with code 3 (of the second)"
    assert said.read_text() == ""
