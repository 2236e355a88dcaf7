"""The programs of docs/export.md, run as they stand."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import Cli

import receptive
from receptive.data.digits import Digits
from receptive.runs import Run

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
HARNESS = """
import re, sys
sys.modules["receptive"] = None  # an import of it fails
for program in re.findall(r"```python\\n(.*?)```", open(sys.argv[1], encoding="utf-8").read(), re.DOTALL)[:3]:
    exec(program, {})
"""


@pytest.fixture
def page_folder(cli: Cli, digit_run: Run, tmp_path: Path) -> Path:
    """What the programs name: RUN with its exports, and digit.png."""
    for kind in ("onnx", "torch_export", "safetensors"):
        assert cli("export", "run=run", f"format={kind}")[0] == 0
    shutil.move(digit_run.folder, tmp_path / "RUN")
    pixels = Digits().load("test").images[5, 0].numpy()
    Image.fromarray(pixels).resize((31, 40)).save(tmp_path / "digit.png")
    return tmp_path


def test_the_page_s_programs_find_one_class(page_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", HARNESS, PAGE], cwd=page_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best = receptive.load(page_folder / "RUN").predict(page_folder / "digit.png")[0].best
    assert done.stdout.split() == [best] * 3

    *_, last = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(last, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "TrainedModel"
    assert (lines[-2].split()[0], lines[-1]) == (best, best)


def test_the_page_tells_every_key_of_the_specification(cli: Cli, digit_run: Run) -> None:
    assert cli("export", "run=run", "format=safetensors")[0] == 0
    told = json.loads((digit_run.folder / "export" / "model.safetensors.json").read_text())
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.read_text(encoding="utf-8").split("## The spec")[1], re.M)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == told.keys() - {"specification"}
