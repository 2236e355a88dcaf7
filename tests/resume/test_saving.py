"""What a save that fails or is killed leaves behind."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.processes import started, wait_for

from receptive.checkpoints import AtomicCheckpointIO, load_state, remove_strays


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A checkpoint of before."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    return path


def assert_untouched(target: Path) -> None:
    assert torch.load(target, weights_only=True) == {"epoch": 1}
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Let no file of this process grow beyond `most` bytes: a disk that is full, root or not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_save_replaces_the_file(target: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 2, "weight": torch.arange(3.0)}, target)
    state = torch.load(target, weights_only=True)
    assert state["epoch"] == 2
    assert state["weight"].tolist() == [0.0, 1.0, 2.0]
    assert sorted(path.name for path in target.parent.iterdir()) == ["last.ckpt", "last.previous.ckpt"]
    assert torch.load(target.with_name("last.previous.ckpt"), weights_only=True) == {"epoch": 1}
    assert target.stat().st_mode & 0o777 == 0o644


def test_the_folder_of_checkpoints_is_made_but_no_run(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "checkpoints" / "last.ckpt")
    assert_untouched(tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(FileNotFoundError, match="vanished"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "vanished" / "checkpoints" / "last.ckpt")
    assert not (tmp_path / "vanished").exists()


@pytest.mark.parametrize("links", [True, False])
def test_the_file_before_is_kept_whatever_a_killed_process_left(
    target: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """In a container the next process has the same number."""
    os.link(target, target.with_name(f".last.previous.ckpt.{os.getpid()}"))
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    for epoch in (2, 3):
        AtomicCheckpointIO().save_checkpoint({"epoch": epoch}, target)
        assert torch.load(target, weights_only=True) == {"epoch": epoch}
        assert torch.load(target.with_name("last.previous.ckpt"), weights_only=True) == {"epoch": epoch - 1}
    assert len(list(target.parent.iterdir())) == 2


SAVER = """
import itertools, os, sys, torch
from pathlib import Path
from receptive.checkpoints import AtomicCheckpointIO, load_state
io, target = AtomicCheckpointIO(), Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    if os.fork():
        os.wait()
        print("dead", flush=True)
        continue
    first = load_state(target)["number"] + 1 if target.exists() else 0
    print(os.getpid(), flush=True)
    for number in itertools.count(first):
        io.save_checkpoint({"state_dict": {"weight": torch.full((50_000,), float(number))}, "number": number}, target)
"""


@pytest.mark.slow
def test_a_process_killed_200_times_while_it_saves_always_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """Temporary files lie elsewhere, on another file system, which a rename does not reach."""
    assert os.stat("/dev/shm").st_dev != tmp_path.stat().st_dev, "this proof wants two file systems"
    target, draw = tmp_path / "last.ckpt", random.Random(0)
    environment = os.environ | {"TMPDIR": "/dev/shm"}
    with started(sys.executable, "-c", SAVER, target, env=environment, stdin=subprocess.PIPE, stderr=None) as saver:
        assert saver.stdin is not None and saver.stdout is not None
        strays = number = 0
        assert saver.stdout.readline() == "ready\n"
        for _ in range(200):
            print("save", file=saver.stdin, flush=True)
            child = int(saver.stdout.readline())
            wait_for(target.exists, saver)
            time.sleep(draw.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
            assert saver.stdout.readline() == "dead\n"
            state = load_state(target)
            assert state["number"] >= number
            assert torch.equal(state["state_dict"]["weight"], torch.full((50_000,), float(state["number"])))
            if target.with_name("last.previous.ckpt").exists():
                before = load_state(target.with_name("last.previous.ckpt"))["number"]
                assert state["number"] - before in (0, 1)
            number = state["number"]
            strays += bool(list(tmp_path.glob(".*")))
            remove_strays(tmp_path)
            assert {path.name for path in tmp_path.iterdir()} <= {"last.ckpt", "last.previous.ckpt"}
        saver.communicate(timeout=60)
    assert (number > 50, strays > 20) == (True, True), (number, strays)  # it did save, and kills fell into it


def test_a_full_disk_leaves_the_old_file(target: Path) -> None:
    with small_files(50_000), pytest.raises(OSError, match="File too large"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2, "weights": torch.ones(100_000)}, target)
    assert_untouched(target)


@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("broken"), KeyboardInterrupt()])
def test_a_save_that_breaks_off_leaves_the_old_file(
    target: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def save(checkpoint: Any, file: Any) -> None:
        file.write(b"the first part")
        raise error

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(type(error)):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, target)
    monkeypatch.undo()
    assert_untouched(target)


def test_the_old_file_stays_until_the_new_one_is_on_disk(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        assert torch.load(target, weights_only=True) == {"epoch": 1}
        raise OSError("pulled out")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OSError, match="pulled out"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, target)
    assert_untouched(target)


def test_a_folder_that_is_a_file_is_an_oserror(target: Path) -> None:
    with pytest.raises(OSError, match=r"last\.ckpt"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, target / "last.ckpt")
    assert_untouched(target)


def test_a_target_that_is_a_folder_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(OSError, match=r"last\.ckpt"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
