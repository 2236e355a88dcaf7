"""Runs whose checkpoints are damaged or of others, whose folder is full, moved or gone, and what they tell."""

from __future__ import annotations

import io
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from scripts.chaos import differences, everything
from tests.resume.conftest import CLASSIFIER, QUIET, Straight, folder_of, run_to_the_end
from tests.test_checkpoints import cut, flipped, tensor_place

from receptive.callbacks.interruption import Interruption
from receptive.checkpoints import HEADER, load_state
from receptive.console import new_console
from receptive.job import main, run_job
from receptive.runs import Run
from receptive.signals import Interrupted


@pytest.fixture
def half(stops: list[int], tmp_path: Path) -> Run:
    """A run that was stopped twice: in its first epoch and in its second."""
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    for step in (1, 4):
        stops.append(step)
        with pytest.raises(Interrupted):
            run_job(run, QUIET)
    return run


def resumed(run: Run) -> str:
    """Run a job to its end; gives what it says."""
    said = io.StringIO()
    assert run_job(run, new_console(file=said, width=1000)) == "done", run.status().error
    return said.getvalue()


def spoil_tensor(path: Path) -> None:
    flipped(path, tensor_place(path))


def spoil_header(path: Path) -> None:
    state = load_state(path)
    state[HEADER]["fingerprint"] = "another"
    torch.save(state, path)


@pytest.mark.parametrize("spoil", [spoil_tensor, spoil_header, lambda path: cut(path, 0.7), Path.unlink])
@pytest.mark.parametrize("files", [("last",), ("last", "last.previous")], ids=len)
def test_a_run_with_bad_checkpoints_ends_as_the_straight_one(
    half: Run, spoil: Callable[[Path], None], files: tuple[str, ...], straight: Straight, first_batches: list[int]
) -> None:
    for name in files:
        spoil(half.checkpoints / f"{name}.ckpt")
    said = resumed(half)
    assert first_batches == [0 if len(files) == 2 else 3]
    if spoil is not Path.unlink:
        assert all(f"{half.checkpoints / name}.ckpt" in said for name in files)
    assert ("the run starts anew" in said) == (len(files) == 2 and spoil is not Path.unlink)
    assert differences(straight(*CLASSIFIER), everything(half)) == []


@pytest.fixture
def first_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The step with which each later attempt begins."""
    found: list[int] = []
    kept = Interruption.on_train_start

    def note(self: Interruption, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        found.append(trainer.global_step)
        kept(self, trainer, module)

    monkeypatch.setattr(Interruption, "on_train_start", note)
    return found


@pytest.mark.parametrize("changed", ["code", "torch", "config"])
def test_a_run_of_other_code_starts_anew_and_says_so(
    half: Run, changed: str, monkeypatch: pytest.MonkeyPatch, first_batches: list[int]
) -> None:
    if changed == "code":
        monkeypatch.setattr("receptive.job.code_hash", lambda _: "new")
    elif changed == "torch":
        monkeypatch.setattr("torch.__version__", "9.9")
    else:
        half.config_path.write_text(half.config_path.read_text().replace("momentum: 0.9", "momentum: 0.8"))
    said = resumed(half)
    told = {"code": r"code that trains has changed since \(.* -> new\)", "torch": r"torch has .* -> 9\.9\)"}
    assert len(re.findall(told.get(changed, "is of another run"), said)) == 2
    assert "the run starts anew" in said
    assert first_batches == [0]
    assert [row["epoch"] for row in half.metrics()] == [1, 2, 3]


@contextmanager
def small_files(run: Run) -> Iterator[None]:
    """No file of this process may grow to the size of a checkpoint."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((run.checkpoints / "last.ckpt").stat().st_size // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_disk(run: Run) -> Iterator[None]:
    """The run lies on a file system of its own, which another file fills up to the size of half a checkpoint."""
    moved, size = run.folder.with_name("elsewhere"), (run.checkpoints / "last.ckpt").stat().st_size
    run.folder.rename(moved)
    run.folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(run.folder)]
    subprocess.run(mount, check=True)
    try:
        shutil.copytree(moved, run.folder, dirs_exist_ok=True)
        free = shutil.disk_usage(run.folder).free - size // 2
        (run.folder / "ballast").write_bytes(bytes(free))
        yield
    finally:
        (run.folder / "ballast").unlink(missing_ok=True)
        shutil.copytree(run.folder, moved, dirs_exist_ok=True)
        subprocess.run(["umount", str(run.folder)], check=True)
        run.folder.rmdir()
        moved.rename(run.folder)


@pytest.mark.parametrize(
    ("full", "reason"),
    [(small_files, "File too large"), pytest.param(full_disk, "No space left", marks=pytest.mark.root)],
)
def test_a_full_disk_fails_the_run_which_goes_on_when_there_is_space(
    half: Run, full: Any, reason: str, straight: Straight, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (half.checkpoints / "last.ckpt").read_bytes()
    answers = io.StringIO()
    with full(half):
        assert main([str(half.folder)], answers) == 1
        assert (half.checkpoints / "last.ckpt").read_bytes() == before
        assert not list(half.checkpoints.glob(".*"))
        assert half.status().state == "failed"
    assert answers.getvalue() == "failed\n"
    assert re.search(rf"checkpoints/\w+\.ckpt: {reason}", capsys.readouterr().err)
    assert main([str(half.folder)], answers) == 0
    assert differences(straight(*CLASSIFIER), everything(half)) == []


def test_a_folder_that_vanishes_is_told_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)

    def vanish(self: Interruption, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 4:
            shutil.rmtree(run.folder)

    monkeypatch.setattr(Interruption, "on_train_batch_start", vanish)
    answers = io.StringIO()
    assert main([str(run.folder)], answers) == 1
    assert answers.getvalue() == f"failed {run.folder}: the run's folder has vanished while it ran\n"
    assert "vanished" in capsys.readouterr().err
    assert not run.folder.exists()


@pytest.mark.parametrize("again", [True, False], ids=["two jobs", "one"])
def test_a_signal_stops_the_process_though_the_folder_has_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], again: bool
) -> None:
    runs = [folder_of(tmp_path / name, *CLASSIFIER) for name in ("run", "next")[: 1 + again]]

    def vanish(*_: Any) -> None:
        shutil.rmtree(runs[0].folder)
        raise Interrupted(15)

    monkeypatch.setattr(Interruption, "on_train_batch_start", vanish)
    answers = io.StringIO()
    assert main([str(run.folder) for run in runs], answers) == 143
    assert (answers.getvalue(), [run.state() for run in runs]) == ("", ["waiting"] * len(runs))
    assert f"{runs[0].folder}: the run's folder has vanished while it ran" in capsys.readouterr().err


def test_an_attempt_removes_what_killed_ones_left(half: Run) -> None:
    for name in (".last.ckpt.abcd1234", ".best.ckpt.x", ".last.previous.ckpt.77"):
        (half.checkpoints / name).write_bytes(b"a part")
    resumed(half)
    assert sorted(path.name for path in half.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt", "last.previous.ckpt"]


def test_seconds_add_up_attempts_are_counted_and_the_log_is_kept(half: Run) -> None:
    state, log = load_state(half.checkpoints / "last.ckpt"), half.log_path.read_text()
    state[HEADER]["seconds"] = 1000.0
    torch.save(state, half.checkpoints / "last.ckpt")
    started = time.perf_counter()
    resumed(half)
    assert 1000 < half.result()["seconds"] < 1000 + time.perf_counter() - started
    assert half.status().attempts == 3
    assert half.log_path.read_text().startswith(log)
    assert log.count("Interrupted: stopped by SIGTERM") == 2


def test_weights_that_a_run_began_with_are_not_asked_for_again(stops: list[int], tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", *CLASSIFIER)
    run_to_the_end(first, [])
    straight, run = (folder_of(tmp_path / name, *CLASSIFIER, f"init={first.folder}") for name in ("straight", "run"))
    run_to_the_end(straight, [])
    stops.append(4)
    with pytest.raises(Interrupted):
        run_job(run, QUIET)
    shutil.rmtree(first.folder)
    assert "init " not in resumed(run)
    assert differences(everything(straight), everything(run)) == []


def test_interrupted_while_it_is_tested_a_run_is_not_trained_again(
    tmp_path: Path, straight: Straight, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder_of(tmp_path / "run", *CLASSIFIER)
    with monkeypatch.context() as patched:
        patched.setattr("receptive.train.test_metrics", lambda *_: (_ for _ in ()).throw(Interrupted(15)))
        with pytest.raises(Interrupted):
            run_job(run, QUIET)
    assert run.state() == "interrupted"
    monkeypatch.setattr(Interruption, "on_train_batch_start", lambda *_: pytest.fail("it trains"), raising=False)
    resumed(run)
    assert differences(straight(*CLASSIFIER), everything(run)) == []
