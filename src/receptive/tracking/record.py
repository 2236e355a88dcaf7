"""What is noted in a run's or sweep's folder of its page in W&B. Imports neither torch nor wandb."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from receptive.errors import InputError
from receptive.files import read_json, write_atomically
from receptive.runs import Run


@dataclass(frozen=True)
class Record:
    """What `wandb/mirror.json` holds.

    Args:
        id: in W&B; "" where none was ever opened.
        kind: "online" or "offline": where the last attempt wrote.
        url: of an online run's page.
        digest: of what it was given completely; "" of nothing.
        why: it is offline, or has not all.
    """

    id: str = ""
    kind: str = "offline"
    url: str = ""
    digest: str = ""
    why: str = ""

    @staticmethod
    def path(folder: Path) -> Path:
        """Where it lies."""
        return folder / "wandb" / "mirror.json"

    @staticmethod
    def read(folder: Path) -> Record:
        """That of a folder; an empty one where there is none that can be read."""
        path = Record.path(folder)
        try:
            return Record(**read_json(path)) if path.is_file() else Record()
        except (InputError, TypeError, OSError):
            return Record()

    def write(self, folder: Path) -> None:
        """Replace it; raises OSError."""
        self.path(folder).parent.mkdir(exist_ok=True)
        write_atomically(self.path(folder), json.dumps(asdict(self), indent=1) + "\n")

    def lost(self, why: str) -> Record:
        """The same of a page that has not all."""
        return replace(self, digest="", why=why)

    def has(self, digest: str) -> bool:
        """Whether W&B itself has what this digest stands for."""
        return self.kind == "online" and self.digest == digest


def digest_of(*parts: Path | str) -> str:
    """12 hexadecimal digits over the contents of files, those that there are, and texts."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        elif part.is_file():
            digest.update(part.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def digest_of_run(run: Run) -> str:
    """Over all that W&B is shown of a run; where it lies decides its group."""
    return digest_of(run.metrics_path, run.result_path, run.state(), run.folder.absolute().parent.name)
