"""Checkpoint files: replaced atomically, the one before kept, plain data alone, read with suspicion.

A run's checkpoints/ holds last.ckpt (where to go on), last.previous.ckpt (should that be damaged) and best.ckpt.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from receptive.errors import InputError
from receptive.files import replacing
from receptive.runs import Run

FORMAT = 1  # of what a run adds to Lightning's checkpoint; raised when an older reader would go wrong
HEADER = "receptive"  # the key of that
LAST, PREVIOUS, BEST = "last.ckpt", "last.previous.ckpt", "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Saves beside the target, syncs, replaces: whoever reads finds the old file or the new one, never a part."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`; an OSError leaves an old file as it was. Of last.ckpt the old one is kept."""
        target = Path(path)
        target.parent.mkdir(exist_ok=True)  # not its parents: a run's folder that has vanished is a fault
        content = io.BytesIO()  # torch's own writer hides why a file could not be written
        torch.save(checkpoint, content)
        with replacing(target, keep=target.with_name(PREVIOUS) if target.name == LAST else None) as file:
            file.write(content.getbuffer())
        _sync_folder(target.parent)

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint onto the CPU; see `load_state`."""
        return load_state(Path(path))


def remove_strays(folder: Path) -> None:
    """Remove the parts of checkpoints that killed processes have left in a folder; whoever calls holds the run."""
    for name in (LAST, PREVIOUS, BEST):
        for path in folder.glob(f".{name}.*"):
            path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_state(path: Path) -> dict[str, Any]:
    """A checkpoint as plain data, on the CPU.

    Raises:
        InputError: the file is missing, damaged or no checkpoint.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: the run has not saved it")
    try:
        if path.stat().st_size == 0:
            raise ValueError("it is empty")
        with zipfile.ZipFile(path) as archive:  # torch's reader leaves checksums unlooked at
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as a checkpoint ({reason}): restore it or train anew") from None
    if not isinstance(state, dict) or "state_dict" not in state:
        raise InputError(f"{path} is no checkpoint of a run: it has no state_dict")
    return cast("dict[str, Any]", state)


def header(fingerprint: str, code: str, ranks: int = 1) -> dict[str, Any]:
    """What a checkpoint says of where it comes from; of how many processes where they are several."""
    several = {"ranks": ranks} if ranks > 1 else {}
    return {"format": FORMAT, "fingerprint": fingerprint, "code": code, "torch": str(torch.__version__), **several}


def resumable(run: Run, expected: dict[str, Any]) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that the run can go on from, and a message for each newer one that it cannot.

    Args:
        run: whose folder is looked at.
        expected: `header` of the run that wants to go on.

    Returns:
        None and why, where the run has to start anew; None and no message, where there is no checkpoint yet.
    """
    messages = []
    for name in (LAST, PREVIOUS):
        path = run.checkpoints / name
        if not path.exists():
            continue
        try:
            _check_origin(path, load_state(path).get(HEADER), expected)
        except InputError as error:
            messages.append(str(error))
        else:
            return path, messages
    return None, messages


def _check_origin(path: Path, found: Any, expected: dict[str, Any]) -> None:
    """Raise InputError unless the run that a checkpoint is of is the one that wants to go on."""
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise InputError(f"{path} was not saved for going on: it says nothing of its run")
    if found["format"] != FORMAT:
        raise InputError(f"{path} has format {found['format']}, this version reads {FORMAT}")
    if found.get("ranks", 1) != expected.get("ranks", 1):
        were, are = found.get("ranks", 1), expected.get("ranks", 1)
        raise InputError(f"{path} is of a run on {were} devices, this is one on {are}")
    if found.get("fingerprint") != expected["fingerprint"]:
        raise InputError(f"{path} is of another run: its config has the fingerprint {found.get('fingerprint')}")
    for key, what in (("code", "the code that trains has"), ("torch", "torch has")):
        if found.get(key) != expected[key]:
            raise InputError(f"{path}: {what} changed since ({found.get(key)} -> {expected[key]})")
