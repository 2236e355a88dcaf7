"""Single images of a finished run; that its figures are repeated stands beside the trainings (test_train*.py)."""

from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import Cli

from receptive.data.digits import Digits
from receptive.runs import Run


def test_it_looks_at_single_images(cli: Cli, tmp_path: Path, phantom_run: Run) -> None:
    code, out, _ = cli("evaluate", "run=run", "images=[4,1]")
    assert code == 0
    scores = pd.read_csv(tmp_path / "run" / "test_images.csv")
    *rows, last = [line.split() for line in out.splitlines()[1:]]
    assert last == ["figures:", "run/figures/test_image_*.png"]
    assert [row[0] for row in rows] == ["4", "1"]
    for row in rows:
        assert float(row[-4]) == pytest.approx(scores["f1"][int(row[0])], abs=2e-3)
        assert (tmp_path / "run" / "figures" / f"test_image_{row[0]}.png").is_file()
    code, _, err = cli("evaluate", "run=run", "images=6")
    assert code == 1
    assert "the test set has 6, counted from 0" in err


def test_it_tells_the_class_of_single_images(cli: Cli, digit_run: Run) -> None:
    code, out, _ = cli("evaluate", "run=run", "images=[0,359]", "split=test")
    assert code == 0
    truth = Digits().load("test").targets
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["0", str(int(truth[0]))],
        ["359", str(int(truth[359]))],
    ]
    code, _, err = cli("evaluate", "run=run", "images=first")
    assert code == 1
    assert "images=first: give places" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["split=train"], "split=train: give test or val"),
        (["split=train", "images=0"], "split=train: give test or val"),
        (["images=true"], "images=True: give places"),
    ],
)
def test_what_would_be_misread_is_refused(cli: Cli, digit_run: Run, arguments: list[str], told: str) -> None:
    code, _, err = cli("evaluate", "run=run", *arguments)
    assert code == 1
    assert told in err
