"""Slurm's commands as scripts that answer what a test tells them."""

from collections.abc import Callable
from pathlib import Path

import pytest

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a command on the path: name, lines of bash -> the file in which its arguments stand, a line a call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def command(name: str, *lines: str) -> Path:
        calls = tmp_path / f"{name}.calls"
        file = folder / name
        file.write_text("\n".join(["#!/bin/bash", f'echo "$*" >>"{calls}"', *lines]) + "\n")
        file.chmod(0o755)
        return calls

    return command
