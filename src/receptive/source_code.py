"""The code that decides what a run computes: ours, and that of the packages a config may name. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = Path(__file__).parent
# A change of it is a change of the experiment.
_OURS = (
    "build.py",
    "metrics.py",
    "train.py",
    "trainer.py",
    "ranks/strategy.py",
    "ranks/collectives.py",
    "data",
    "models",
    "tasks",
    "callbacks",
    "optimizers",
    "recording",
)


def code_hash(prefixes: Iterable[str] | None = None) -> str:
    """12 hexadecimal digits over the source of all that decides what a run computes.

    Args:
        prefixes: the config's `target_prefixes`: of each its module, or all modules of the package, as they lie on the
            Python path now; one that is not found counts as empty.
    """
    return _hash(tuple(sorted(set(prefixes or ()))))


@functools.cache  # a process has imported what it computes with once
def _hash(prefixes: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in _OURS:
        _add(digest, _PACKAGE / name, _PACKAGE)
    for prefix in prefixes:
        for place in _places(prefix):
            _add(digest, place, place.parent)
    return digest.hexdigest()[:12]


def _add(digest: hashlib._Hash, place: Path, root: Path) -> None:
    """A file, or all Python files of a folder, with their names; what cannot be read cannot be imported either."""
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    for file in (file for file in files if file.is_file() and not file.name.startswith(".")):
        with suppress(OSError):
            content = file.read_bytes()
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(content)


def _places(prefix: str) -> list[Path]:
    """The file or folders of a module or package; of a class within a module the module's. Imports none of them."""
    first, *rest = prefix.split(".")
    try:
        spec = find_spec(first)
    except ValueError:  # no name, or that of a module that is in the making
        return []
    for name in rest:
        inside = PathFinder.find_spec(name, spec.submodule_search_locations) if spec and _is_package(spec) else None
        spec = inside or spec
    if spec is None:
        return []
    if _is_package(spec):
        return [place for folder in spec.submodule_search_locations or () if (place := Path(folder)).is_dir()]
    return [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []


def _is_package(spec: ModuleSpec) -> bool:
    return spec.submodule_search_locations is not None
