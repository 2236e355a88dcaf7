"""A Weights & Biases server for one test, and the environment of clients with and without it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from tests.tracking.backend import Backend


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A server that records; the test fails where it did not understand its client."""
    with Backend() as server:
        yield server
    assert server.unknown == []


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process and its children without a key and without anybody's settings; gives their home folder.

    The client reads its settings once a process: they are forgotten before and after.
    """
    wandb.teardown()
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("WANDB_", "XDG_", "NETRC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    for kind in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(home / kind.lower()))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield home
    wandb.teardown()


@pytest.fixture
def online(offline: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """This process and its children as clients of `backend`."""
    for name, value in backend.environment(offline).items():
        monkeypatch.setenv(name, value)
    return backend
