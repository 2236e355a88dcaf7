"""Print the tested set: every distribution that receptive needs, with the version in this environment.

    python scripts/lock.py > requirements.txt      # what `make lock` does

Follows the requirements, extras and dependency groups of pyproject.toml through the metadata of what is
installed. Plain `name==version` lines: no registry, no hashes, nothing that receptive does not need.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def declared(pyproject: Path = PYPROJECT) -> Iterator[str]:
    """The requirement strings of pyproject.toml: required, every extra, every dependency group."""
    table = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    yield from table["project"]["dependencies"]
    for group in (*table["project"]["optional-dependencies"].values(), *table["dependency-groups"].values()):
        yield from group


def needed(requirements: Iterator[str]) -> dict[str, str]:
    """Name -> installed version of the requirements and of all that they require in turn.

    Raises SystemExit naming what is not installed.
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()  # (name, extra), "" for the distribution itself
    queue = [Requirement(text) for text in requirements]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{requirement} is not installed: run `make environment` first") from None
        versions[name] = found.version
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            further = (Requirement(text) for text in found.requires or ())
            queue += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return versions


if __name__ == "__main__":
    for name, version in sorted(needed(declared()).items()):
        print(f"{name}=={version}")
