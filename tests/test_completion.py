"""Completion in the shells themselves: bash, zsh and fish, each with the lines that docs/guide.md gives."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES = {  # typed -> what may follow, all or some of it
    "receptive tr": {"train"},
    "receptive train optimizer.l": {"optimizer.lr="},
    "receptive train model=net": {"model=net_a", "model=net_b"},
    "receptive operators sh": {"shapes"},
    "receptive predict ru": {"run="},
}


def installing(shell: str) -> str:
    """The line of the guide that switches completion on."""
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    found = re.search(rf"^(.*\S)\s+# {shell}: ", text, re.MULTILINE)
    assert found
    return found[1]


def require(shell: str) -> str:
    """The shell's program."""
    program = shutil.which(shell)
    assert program is not None, f"{shell} is not installed"
    return program


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With `receptive` on the path, as an installed command is."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "receptive"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m receptive "$@"\n')
    command.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    given = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path), "TERM": "dumb"}
    return os.environ | given


def test_bash(environment: dict[str, str], tmp_path: Path) -> None:
    bash = require("bash")
    asked = "".join(
        f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({line}) COMP_CWORD={line.count(' ')}\n"
        'hydra_bash_completion; echo "${COMPREPLY[@]}"\n'
        for line in LINES
    )
    script = f"{installing('bash')}\ncomplete -p receptive\n{asked}"
    done = subprocess.run([bash, "--norc", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    registered, *answers = done.stdout.splitlines()
    assert registered.endswith("-F hydra_bash_completion receptive")
    assert {line: set(answer.split()) for line, answer in zip(LINES, answers, strict=True)} == LINES, done.stderr


@pytest.mark.shells
def test_fish(environment: dict[str, str], tmp_path: Path) -> None:
    fish = require("fish")
    asked = "".join(f"complete -C '{line}'; echo .\n" for line in LINES)
    script = f"{installing('fish')}\n{asked}"
    done = subprocess.run([fish, "-N", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    answers = [set(answer.split()) for answer in done.stdout.split(".\n")]
    assert dict(zip(LINES, answers, strict=False)) == LINES, done.stderr


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.descriptor, end = pty.openpty()
        self.process = subprocess.Popen(
            words, env=environment, stdin=end, stdout=end, stderr=end, start_new_session=True
        )
        os.close(end)

    def type(self, text: str) -> None:
        """Type it."""
        os.write(self.descriptor, text.encode())

    def wait_for(self, pattern: str, seconds: float = 60) -> str:
        """What was printed until `pattern` came; fails when it does not."""
        printed, end = "", time.monotonic() + seconds
        while not re.search(pattern, printed):
            left = end - time.monotonic()
            assert left > 0, f"{pattern} not in {printed!r}"
            if select.select([self.descriptor], [], [], left)[0]:
                printed += os.read(self.descriptor, 65536).decode(errors="replace")
        return printed


@pytest.fixture
def zsh(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    program = require("zsh")
    monkeypatch.chdir(tmp_path)
    terminal = Terminal([program, "-f", "-i", "+m"], environment | {"PROMPT": "ready> "})
    yield terminal
    terminal.process.kill()
    terminal.process.wait()
    os.close(terminal.descriptor)


@pytest.mark.shells
def test_zsh(zsh: Terminal) -> None:
    zsh.wait_for("ready> ")
    zsh.type(installing("zsh").replace("compinit &&", "compinit -u &&", 1) + "; echo in''stalled\n")
    zsh.wait_for("installed\r")
    for line, completed in (("receptive tr", "train"), ("receptive operators sh", "operators shapes")):
        zsh.type(f"{line}\t")
        zsh.wait_for(f"receptive {completed}")
        zsh.type("\x15")
    zsh.type("receptive train model=net\t\t")
    zsh.wait_for("model=net_a +model=net_b")
