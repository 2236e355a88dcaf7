"""What of damaged and foreign checkpoints is told, and where a run goes on."""

from __future__ import annotations

import os
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts.chaos import differences

from receptive.checkpoints import FORMAT, HEADER, AtomicCheckpointIO, header, load_state, resumable
from receptive.errors import InputError
from receptive.runs import Run

ORIGIN = header("0123456789ab", "c0de")


def content(number: int, **other: Any) -> dict[str, Any]:
    """A checkpoint's, told apart by its number."""
    weights = torch.arange(40.0).reshape(8, 5) + number
    state: dict[str, Any] = {"state_dict": {"model.weight": weights, "model.count": torch.tensor(number)}}
    return state | {"epoch": number, HEADER: ORIGIN | {"epoch": number, "batch": 0} | other}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with two checkpoints: number 2, and number 1 before it."""
    run = Run(tmp_path)
    for number in (1, 2):
        AtomicCheckpointIO().save_checkpoint(content(number), run.checkpoints / "last.ckpt")
    return run


def test_a_checkpoint_is_read_as_plain_data(run: Run) -> None:
    assert differences(load_state(run.checkpoints / "last.ckpt"), content(2)) == []
    assert differences(load_state(run.checkpoints / "last.previous.ckpt"), content(1)) == []


def test_a_missing_checkpoint_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"best\.ckpt does not exist: the run has not saved it"):
        load_state(tmp_path / "best.ckpt")


def truncated(content: bytes) -> list[bytes]:
    return [content[:length] for length in (0, 1, 2, 4, 100, len(content) // 2, len(content) - 1)]


def test_a_damaged_checkpoint_is_one_message(run: Run) -> None:
    path = run.checkpoints / "last.ckpt"
    garbage = [b"garbage", b"\x80\x02", b"\x80\x02].", b"K\x01.", bytes(1000), b"PK\x03\x04" + bytes(300)]
    for damaged in [*truncated(path.read_bytes()), *garbage]:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"last\.ckpt cannot be read as a checkpoint \(.+\): restore it") as told:
            load_state(path)
        assert "\n" not in str(told.value), damaged[:20]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("code of the file was run",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Malicious()}, tmp_path / "best.ckpt")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_state(tmp_path / "best.ckpt")


@pytest.mark.parametrize("content", [{"epoch": 1}, [1], 3, None, torch.zeros(2), "state_dict"], ids=repr)
def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(InputError, match=r"best\.ckpt is no checkpoint of a run: it has no state_dict"):
        load_state(tmp_path / "best.ckpt")


def tensor_place(path: Path) -> int:
    """A byte within a tensor's data."""
    with zipfile.ZipFile(path) as archive:
        weights = next(entry for entry in archive.infolist() if entry.filename.endswith("data/0"))
        return path.read_bytes().index(archive.read(weights)) + 21


def flipped(path: Path, place: int, bit: int = 3) -> None:
    """Turn a bit of a file over; a place below 0 is counted from its end."""
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1 << bit
    path.write_bytes(damaged)


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(share * path.stat().st_size))


def foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "not a checkpoint")


def saved(**other: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content(9, **other), path)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated early": (lambda path: cut(path, 0.1), "cannot be read as a checkpoint"),
    "truncated in the middle": (lambda path: cut(path, 0.5), "cannot be read as a checkpoint"),
    "truncated late": (lambda path: cut(path, 0.99), "cannot be read as a checkpoint"),
    "empty": (lambda path: cut(path, 0), r"cannot be read as a checkpoint \(it is empty\)"),
    "a bit in a tensor": (lambda path: flipped(path, tensor_place(path)), "checksum|CRC"),
    "a bit in the directory": (lambda path: flipped(path, -22), "cannot be read as a checkpoint"),
    "random bytes": (lambda path: path.write_bytes(random.Random(0).randbytes(5000)), "cannot be read as a"),
    "a foreign zip": (foreign_zip, "cannot be read as a checkpoint"),
    "code": (lambda path: torch.save({"state_dict": Malicious()}, path), "cannot be read as a checkpoint"),
    "another run's": (saved(fingerprint="ba9876543210"), "is of another run: .* fingerprint ba9876543210"),
    "of a newer format": (saved(format=FORMAT + 1), f"has format {FORMAT + 1}, this version reads {FORMAT}"),
    "of changed code": (saved(code="01d"), r"the code that trains has changed since \(01d -> c0de\)"),
    "of another torch": (saved(torch="1.13"), r"torch has changed since \(1\.13 -> "),
    "without a header": (lambda path: torch.save({"state_dict": {}}, path), "was not saved for going on"),
    "with another header": (lambda path: torch.save({"state_dict": {}, HEADER: 3}, path), "was not saved for"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_checkpoint_is_told_and_the_one_before_is_gone_on_from(run: Run, kind: str) -> None:
    spoil, told = BAD[kind]
    spoil(run.checkpoints / "last.ckpt")
    path, [message] = resumable(run, ORIGIN)
    assert path == run.checkpoints / "last.previous.ckpt"
    assert message.startswith(str(run.checkpoints / "last.ckpt"))
    assert re.search(told, message), message
    assert "\n" not in message


@pytest.mark.parametrize("kind", BAD)
def test_without_a_good_one_the_run_starts_anew(run: Run, kind: str) -> None:
    spoil, told = BAD[kind]
    for name in ("last.ckpt", "last.previous.ckpt"):
        spoil(run.checkpoints / name)
    path, messages = resumable(run, ORIGIN)
    assert path is None
    assert [re.sub(str(run.checkpoints), "", message).split()[0].strip(":") for message in messages] == [
        "/last.ckpt", "/last.previous.ckpt"
    ]  # fmt: skip
    assert all(re.search(told, message) for message in messages)


def test_where_a_run_goes_on(run: Run) -> None:
    assert resumable(run, ORIGIN) == (run.checkpoints / "last.ckpt", [])
    (run.checkpoints / "last.ckpt").unlink()
    assert resumable(run, ORIGIN) == (run.checkpoints / "last.previous.ckpt", [])
    shutil.rmtree(run.checkpoints)
    assert resumable(run, ORIGIN) == (None, [])


def test_a_flipped_bit_is_an_error_or_changes_nothing(run: Run) -> None:
    """A bit each of the last 100 bytes and of 300 others: alignment and some of the zip's fields are read by nobody."""
    path, draw = run.checkpoints / "last.ckpt", random.Random(0)
    whole, size = path.read_bytes(), path.stat().st_size
    told = 0
    for place in {*draw.sample(range(size), 300), *range(size - 100, size)}:
        flipped(path, place, draw.randrange(8))
        try:
            state = load_state(path)
        except InputError as error:
            told += 1
            assert str(path) in str(error)
        else:
            assert differences(state, content(2)) == [], place
        path.write_bytes(whole)
    assert told > 40
