"""What must not cost a training anything: a mirror that dies, a signal while W&B is waited for, damaged rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.processes import alive, wait_for
from tests.resume.conftest import CLASSIFIER, QUIET, folder_of, run_to_the_end

from receptive.job import run_job
from receptive.signals import hold, listening
from receptive.sweeps.launchers import run_packed
from receptive.sweeps.places import WorkerPlace
from receptive.tracking.companion import Answer, Companion
from receptive.tracking.mirror import RunMirror
from receptive.tracking.mode import Mode


def companion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follower: str, hear: Callable[[Answer], None] = lambda answer: None
) -> Companion:
    """One whose process does what a script says."""
    script = tmp_path / "follower.sh"
    script.write_text(f"#!/bin/sh\n{follower}\n")
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(script))
        return Companion(tmp_path, hear)


def test_what_a_mirror_has_died_of_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = companion(tmp_path, monkeypatch, "echo Traceback >&2; echo 'ImportError: no libfoo' >&2; exit 1")
    mirror.ask("open", tmp_path, pid=1)
    assert mirror.dismiss() == [str(tmp_path)]
    assert mirror.fault == "the mirror has died (ImportError: no libfoo)"


def test_an_end_is_heard_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def hear(answer: Answer) -> None:
        time.sleep(0.2)
        heard.append(answer["event"])

    answer = json.dumps({"event": "closed", "folder": str(tmp_path)})
    mirror = companion(tmp_path, monkeypatch, f"read request; echo '{answer}'", hear)
    mirror.ask("send", tmp_path)
    assert mirror.wait_for(tmp_path, 30.0)
    assert heard == ["closed"]
    assert mirror.dismiss() == []


def test_a_signal_ends_the_waiting_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = companion(tmp_path, monkeypatch, "exec sleep 30")
    mirror.ask("open", tmp_path, pid=1)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    with listening(hold):
        timer.start()
        assert mirror.dismiss(30.0) == [str(tmp_path)]
    assert mirror.fault == "not waited for"
    timer.join()
    assert mirror.alive
    mirror.dismiss(0.0)
    assert not mirror.alive


def test_a_request_that_is_taken_in_part_ends_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = companion(tmp_path, monkeypatch, "exec sleep 30")
    mirror.ask("open", tmp_path, text="x" * 10_000_000)
    mirror.dismiss(5.0)
    assert "-9" in mirror.fault


def test_rows_of_a_run_that_starts_anew_may_be_damaged(tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER, "trainer.max_epochs=1")
    run.metrics_path.write_text("epoch,lr\n1,none\n")
    assert run_to_the_end(run, []) == 1
    assert len(run.metrics()) == 1


def test_a_row_that_is_being_written_waits(offline: Path, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER, "trainer.max_epochs=1")
    assert run_job(run, QUIET) == "done"
    status = run.status()
    status.wandb_id = "a-1"
    run.write_status(status)
    whole = run.metrics_path.read_text()
    head, row = whole.splitlines()
    mirror = RunMirror(run, Mode("offline"))
    for text, sent in ((head, 0), (f"{head}\n{row[:-2]}", 0), (whole, 1), (whole, 1)):
        run.metrics_path.write_text(text)
        mirror.look()
        assert mirror.sent == sent
    mirror.close("done")


def test_workers_leave_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may wait for a W&B server as long as it may; their waits do not add up. Here each waits for the others."""
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    others = " && ".join(f"[ -e {folder}/leaves ]" for folder in folders)
    lines = ("#!/bin/sh", "read folder; echo done; read end; touch $folder/leaves", "for second in $(seq 20); do")
    script = tmp_path / "worker.sh"
    script.write_text("\n".join((*lines, f"  {others} && touch $folder/left && exit", "  sleep 1", "done", "")))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    run_packed(iter(folders), len(folders), [WorkerPlace((min(os.sched_getaffinity(0)),))] * len(folders))
    assert all((folder / "left").exists() for folder in folders)


def test_a_mirror_whose_training_was_killed_does_not_stay(tmp_path: Path) -> None:
    """Not even where its stdin does not end, as where the client waits for ever and stdin is not read."""
    code = "from receptive.tracking import follower; follower._GRACE = 0.1; follower.main()"
    shell = f'{sys.executable} -c "{code}" $$ <&0 >/dev/null 2>&1 & echo $!'
    asks, answers = os.pipe()
    parent = subprocess.Popen(["sh", "-c", shell], stdin=asks, stdout=subprocess.PIPE)
    told, _ = parent.communicate(timeout=60)
    os.close(asks)
    try:
        wait_for(lambda: not alive(int(told)), what="it ends", seconds=60)
    finally:
        os.close(answers)
