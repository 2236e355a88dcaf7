"""Getting a data set's files: downloaded whole or not at all, read with their checksums."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
import tempfile
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from receptive.errors import InputError

ANSWER_SECONDS = 15.0  # a server that has sent nothing by then counts as out of reach
SOCKET_SECONDS = 10.0  # longest silence in the middle of a download


def ensure_files(
    name: str,
    root: Path,
    files: Sequence[str],
    archives: str,
    download: Callable[[str], object] | None,
    present: Callable[[Path], bool] = Path.exists,
) -> None:
    """Download what is missing of a data set, each file or folder put in place in one step.

    Args:
        name: the data set's name in messages.
        root: folder of data sets.
        files: the files and folders that make the data set, relative to `root`.
        archives: the names of the published archives and what to do with them, for the message.
        download: writes `files` below the folder that it is given; None where downloading is switched off.
        present: tells whether one of `files` is there.

    Raises:
        InputError: something is missing and cannot be downloaded; the text says which files go where.
    """
    missing = [file for file in files if not present(root / file)]
    if not missing:
        return
    try:
        if download is None:
            raise OSError("data.source.download is false")
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root, ignore_cleanup_errors=True) as part:
            _run_download(download, Path(part))
            for file in missing:
                _move(Path(part) / file, root / file)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError for a wrong checksum
        reason = " ".join(str(error).split())
        expected = "\n".join(f"  {root / file}" for file in files)
        raise InputError(
            f"{name} is missing or incomplete in {root} and was not downloaded ({reason}).\n"
            f"Put its files there by hand ({archives}), or set paths.data_dir to the folder that has them:\n{expected}"
        ) from None


def _run_download(download: Callable[[str], object], folder: Path) -> None:
    """Run the download in a thread, so that neither a dead name server nor a silent host holds the run up."""
    failure: list[Exception] = []

    def run() -> None:
        try:
            download(str(folder))
        except Exception as error:
            failure.append(error)

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SOCKET_SECONDS)
    try:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(ANSWER_SECONDS)
        if thread.is_alive() and not any(path.is_file() for path in folder.rglob("*")):
            raise OSError(f"no answer within {ANSWER_SECONDS:.0f} s")
        thread.join()
    finally:
        socket.setdefaulttimeout(timeout)
    if failure:
        raise failure[0]


def _move(part: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(part, place)
    except OSError:
        if not place.exists():  # else another process was faster, with the same files
            raise
        shutil.rmtree(part, ignore_errors=True)


def read_checked(path: Path, md5: str) -> bytes:
    """The content of a file, or of `path`.gz unpacked where only that is there.

    Args:
        path: the file.
        md5: MD5 of the unpacked content.

    Raises:
        InputError: neither file is there, or the content is truncated or corrupt.
    """
    packed = path.with_name(path.name + ".gz")
    found = path if path.exists() or not packed.exists() else packed
    try:
        content = found.read_bytes()
        if found is packed:
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: put it there, or set paths.data_dir to where the data sets lie") from None
    except (OSError, EOFError, zlib.error) as error:
        raise _corrupt(found, str(error)) from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise _corrupt(found, f"{len(content)} bytes, wrong MD5")
    return content


def _corrupt(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is truncated or corrupt ({reason}): delete it and download it again")
