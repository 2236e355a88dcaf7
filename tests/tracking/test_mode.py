"""Online or offline: decided without a question and without a wait."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import wandb
from tests.processes import read_until
from tests.tracking.backend import Backend
from tests.tracking.following import ROOT

from receptive.errors import InputError
from receptive.tracking.companion import _environment
from receptive.tracking.mode import Mode, choose_mode

KEY = "0123456789" * 4

pytestmark = pytest.mark.usefixtures("offline")


def mode(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, *, asked: bool = False) -> Mode:
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        wandb.teardown()
        return choose_mode(asked=asked)


def test_what_the_environment_says(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    server = {"WANDB_BASE_URL": backend.url}
    keyed = server | {"WANDB_API_KEY": KEY}
    assert mode(keyed, monkeypatch) == Mode("online")
    assert mode(keyed | {"WANDB_MODE": "online"}, monkeypatch) == Mode("online")
    asked = backend.requests
    for value in ("offline", "dryrun"):
        assert mode(keyed | {"WANDB_MODE": value}, monkeypatch) == Mode("offline", f"WANDB_MODE={value}")
        assert mode(keyed | {"WANDB_MODE": value}, monkeypatch, asked=True) == Mode("online")
    assert backend.requests == asked + 2, "asked of the server by those who want to send"
    for wrong, why in {
        "WANDB_MODE": "WANDB_MODE=a/b: Input should be 'online'",
        "WANDB_CONSOLE": "WANDB_CONSOLE=a/b: Input should be",
        "WANDB_BASE_URL": "WANDB_BASE_URL=a/b: Input should be a valid URL",
        "WANDB_PROJECT": "Invalid project name",
    }.items():
        with pytest.raises(InputError, match=re.escape(why)):
            mode(keyed | {wrong: "a/b"}, monkeypatch)
    found = mode(keyed | {"WANDB_API_KEY": "a/b"}, monkeypatch)
    assert found.kind == "offline" and "API key may only contain" in found.why
    assert mode(server, monkeypatch) == Mode("offline", "no API key (WANDB_API_KEY, or `wandb login`)")


def test_a_key_in_netrc(backend: Backend, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = {"WANDB_BASE_URL": backend.url}
    netrc, host = offline / ".netrc", backend.url.removeprefix("http://")
    for content, kind in (
        (f"machine {host}\n  login user\n  password {KEY}\n", "online"),
        (f"machine elsewhere\n  login user\n  password {KEY}\n", "offline"),
        (f"machine {host}\n  login user\n  password short\n", "offline"),
        ("machine\nlogin {", "offline"),
    ):
        netrc.write_text(content)
        netrc.chmod(0o600)
        found = mode(server, monkeypatch)
        assert (found.kind, bool(found.why)) == (kind, kind == "offline"), found


def test_what_the_mirror_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment: nothing of another run's, nothing below the home folder, and the user's own where he has one."""
    for name in ("RUN_ID", "NAME", "RESUME", "SERVICE"):
        monkeypatch.setenv(f"WANDB_{name}", "another's")
    monkeypatch.delenv("WANDB_DATA_DIR")
    known = _environment(tmp_path, asked=False, agent=False)
    assert not {"WANDB_RUN_ID", "WANDB_NAME", "WANDB_RESUME", "WANDB_SERVICE"} & set(known)
    assert known["WANDB_DATA_DIR"] == str(tmp_path / "wandb" / "data")
    assert known["WANDB_CACHE_DIR"] == os.environ["WANDB_CACHE_DIR"]

    monkeypatch.setenv("WANDB_MODE", "Offline")
    assert _environment(tmp_path, asked=False, agent=False)["WANDB_MODE"] == "offline"
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    known = _environment(tmp_path, asked=False, agent=True)
    assert (known["WANDB_RUN_ID"], "WANDB_SERVICE" in known) == ("another's", False)
    known = _environment(tmp_path, asked=True, agent=False)
    assert not {"WANDB_SWEEP_ID", "WANDB_RUN_ID"} & set(known), "what is sent later is not the agent's"


@pytest.mark.slow
def test_at_a_terminal_nobody_is_asked(backend: Backend, offline: Path, tmp_path: Path) -> None:
    """With a terminal on stdin, stdout and stderr, without a key: neither a training nor sync waits for an answer."""
    environment = dict(os.environ) | {"WANDB_BASE_URL": backend.url, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
    short = ("hydra.run.dir=run", "trainer.limit_train_batches=2", "trainer.max_epochs=1")
    for arguments, code, told in (
        (("train", "logger=wandb", *short), 0, "recorded offline: no API key"),
        (("wandb", "sync", "run"), 1, "nothing can be sent: no API key"),
    ):
        master, terminal = pty.openpty()
        command = [sys.executable, "-m", "receptive", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
        )
        os.close(terminal)
        try:
            said = read_until(master, None)
        finally:
            process.kill()  # where it asks, it waits for an answer
            os.close(master)
        assert (process.wait(120), told in said.decode()) == (code, True), said.decode()
        assert said.decode().count(told) == 1 and "Enter your choice" not in said.decode()
    assert backend.requests == 0
