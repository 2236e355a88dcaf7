"""The commands of the guide and of the page on extending do what the pages say: they are run from their text.

Most are run in this process, in the pages' own order. Those that would take long, or need a data set, a cluster or a
key, are checked as far as that goes without.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tests.docs.pages import ROOT, Block, blocks

from receptive.arguments import VerbGroup
from receptive.commands import VERBS

Cli = Callable[..., tuple[int, str, str]]

ARGUMENTS_ALONE = ("wandb",)  # needs a key
COMPOSED_ALONE = ("activations", "export")  # take long; tests of their own run them


def run(command: str, cli: Cli) -> tuple[int, str, str]:
    """Run a command of a page; gives exit code, stdout, stderr."""
    words = shlex.split(command, comments=True)
    if words[0] == "python":
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr
    verb = words[1]
    if verb in ARGUMENTS_ALONE:
        group = VERBS[verb]
        assert isinstance(group, VerbGroup)
        assert group.actions[words[2]].parse(f"{verb} {words[2]}", words[3:])
        return 0, "", ""
    return cli(*words[1:], *(["--cfg", "job"] if verb in COMPOSED_ALONE else []))


def compared(text: str, folder: Path) -> list[str]:
    """Lines as far as they are the same on every machine: without decimals, padding and the folder's name."""
    text = re.sub(r"\d+\.\d+", "#", text.replace(str(folder), "$PWD"))
    return [" ".join(line.split()) for line in text.splitlines()]


def follow(page: list[Block], cli: Cli, folder: Path) -> int:
    """Run a page's commands and hold what they print against the blocks of text behind them; gives their number."""
    count, printed, code = 0, "", 0
    for block in page:
        if block.language == "text":
            wanted = [line for line in compared(block.text, folder) if line != "..."]
            missing = [line for line in wanted if line not in compared(printed, folder)]
            assert not missing, f"{missing} not in:\n{printed}"
            assert (code != 0) == wanted[0].startswith("receptive: "), printed
            code = 0
        if block.commands:
            printed = ""
        for command in block.commands:
            assert code == 0, printed  # of a command whose output is not shown
            code, out, err = run(command, cli)
            printed += out + err
            count += 1
    assert code == 0, printed
    return count


def draw(path: Path, rng: np.random.Generator, mask: bool = False) -> None:
    """Write a small picture, or a mask of two values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 2, (20, 24), dtype=np.uint8) * 255 if mask else rng.integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_the_guide(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 2)):
        for number in range(count):
            for name in ("cat", "dog"):
                draw(tmp_path / "photos" / split / name / f"{number}.png", rng)
            draw(tmp_path / "pairs" / split / "images" / f"{number}.png", rng)
            draw(tmp_path / "pairs" / split / "masks" / f"{number}.png", rng, mask=True)
    digit = Image.fromarray((load_digits().images[-1] * 255 / 16).astype(np.uint8))
    digit.resize((64, 64)).save(tmp_path / "digit.png")
    monkeypatch.setenv("COLUMNS", "120")
    assert follow(blocks(ROOT / "docs" / "guide.md"), cli, tmp_path) >= 30
    assert (tmp_path / "outputs" / "rates" / "report.html").is_file()
    assert (tmp_path / "outputs" / "predicted" / "predictions.csv").is_file()


def test_extending(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's files are written and its commands run, as a user's own folder."""
    page = blocks(ROOT / "docs" / "extending.md")
    files = {}
    for block in page:
        if block.language in ("python", "yaml"):
            named = re.search(r"^# ([\w/]+\.(?:py|yaml))$", block.text, re.MULTILINE)
            assert named, block.text
            files[named[1]] = block.text
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    tree = next(block.text for block in page if "mylab/textures.py" in block.text)
    assert set(re.findall(r"\S+\.(?:py|yaml)\b", tree)) == set(files)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    assert not [name for name in sys.modules if name.startswith("mylab")]
    try:
        assert follow(page, cli, tmp_path) == 9
    finally:
        for name in [name for name in sys.modules if name.startswith("mylab")]:
            del sys.modules[name]
