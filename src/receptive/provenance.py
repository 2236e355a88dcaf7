"""Where a result comes from: code, versions, machine. Imports no torch."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from receptive.config import PACKAGE
from receptive.source_code import code_hash

_PACKAGES = (
    *("receptive", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy"),
    *("segmentation-models-pytorch", "timm", "scikit-learn", "scipy", "statsmodels"),
)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE.parents[1]), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def code(prefixes: Iterable[str] | None = None) -> dict[str, Any]:
    """Git commit and whether tracked files differ from it (None outside a checkout), and the hash of the code.

    Args:
        prefixes: the config's `target_prefixes`, whose code the hash is of too; commit and changes are of ours alone.
    """
    return _checkout() | {"hash": code_hash(prefixes)}


@functools.cache
def _checkout() -> dict[str, Any]:
    in_checkout = (PACKAGE.parents[1] / "pyproject.toml").is_file()
    commit = _git("rev-parse", "HEAD") if in_checkout else None
    changes = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": bool(changes) if changes is not None else None}


@functools.cache
def versions() -> dict[str, str]:
    """Version of Python and of the packages that decide about numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@functools.cache
def cpu_name() -> str:
    """The CPU's model name."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
