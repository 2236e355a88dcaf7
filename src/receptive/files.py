"""Reading and writing the files of runs and sweeps. Imports no torch."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from receptive.errors import InputError

_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times faster, where there is one

_END, _LINE = 10_000, 200  # bytes, and characters, that are looked at of what a process has said at its end


def absolute(path: str | Path) -> Path:
    """The absolute path that a user's path means; `~` is the home folder, links stay links."""
    return Path(path).expanduser().absolute()


@contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """A file open for writing that becomes `path`: readers and crashes see the old one or the new one, never a part.

    It lies beside `path` as .NAME.* until the block ends and all of it is on the disk; after an error it is removed.

    Args:
        path: of the file, which need not exist; its folder does.
        keep: beside it, the name that the old file, if there is one, gets then.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is then unchanged.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.is_file():
            _keep(path, keep)
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        # a full disk does not say of which file
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)
        raise


def _keep(path: Path, name: Path) -> None:
    """Give a file a second name without a moment in which that has no file."""
    spare = name.with_name(f".{name.name}.{os.getpid()}")
    spare.unlink(missing_ok=True)  # of a process that was killed here: in a container all have the same number
    try:
        os.link(path, spare)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, spare)
    os.replace(spare, name)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` by `replacing`; raises OSError."""
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file for this process, after whoever holds it now; the kernel lets go when the process dies."""
    with open(path, "a") as file:
        wait_for_lock(file.fileno())
        yield


def wait_for_lock(descriptor: int) -> None:
    """Get a lock on an open file, after whoever holds it now; where the file system refuses locks everybody gets it.

    So it is with some clusters' file systems, see `receptive.lease`.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Get a lock on an open file at once, if nobody holds it; where the file system refuses locks everybody gets it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of a run or sweep; InputError when it is not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): restore it or delete it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (no JSON object): restore it or delete it")
    return content


def last_line(file: IO[bytes]) -> str:
    """The last line of a file that is open for reading, its beginning; "" of an empty one."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
    lines = file.read().decode(errors="replace").splitlines()
    return lines[-1][:_LINE] if lines else ""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a table; raises OSError."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table; raises OSError."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def whole_lines(path: Path, errors: str = "strict") -> list[str]:
    """The lines of a text file that grows; a last one without its end is under way, or was cut off, and left out.

    Args:
        path: of the file.
        errors: what `bytes.decode` does with bytes that are no text.

    Raises:
        UnicodeDecodeError: there are such bytes.
        OSError: it cannot be read.
    """
    text = path.read_text(encoding="utf-8", errors=errors)
    return text[: text.rfind("\n") + 1].splitlines()


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file as plain containers, interpolations as they stand; many times faster than OmegaConf.

    Raises:
        InputError: it is damaged or holds no mapping.
        OSError: it cannot be read.
    """
    try:
        content = yaml.load(path.read_bytes(), _YAML_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({reason}): restore it or delete the folder") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} holds no config: restore it or delete the folder")
    return content
