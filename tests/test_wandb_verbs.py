"""`receptive wandb ACTION`: help, misspelt words, completion, what is handed on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cli
from tests.test_cli import complete


def test_help_on_each_level(cli: Cli) -> None:
    assert "wandb" in cli("--help")[1]
    code, out, err = cli("wandb", "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: receptive wandb [-h] {sync,dashboard,sweep} ...")
    for word in ("FOLDER_OR_STUDY", "OVERRIDE ...", "receptive train -m logger=wandb", "ACTION --help"):
        assert word in out
    for action, told in (("sync", "FOLDER_OR_STUDY"), ("dashboard", "--print"), ("sweep", "--method")):
        code, out, err = cli("wandb", action, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: receptive wandb {action} [-h] ")
        assert told in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say what to do: sync, dashboard, sweep"),
        (["snyc"], "'snyc' is none of sync, dashboard, sweep, did you mean 'sync'?"),
        (["sync"], "the following arguments are required: FOLDER_OR_STUDY"),
        (["dashboard"], "the following arguments are required: FOLDER_OR_STUDY"),
        (["dashboard", "a", "b"], "unrecognized arguments: b"),
        (["sweep"], "the following arguments are required: OVERRIDE"),
        (["sweep", "--method", "gird", "a=1"], "'gird' is none of grid, random, bayes, did you mean 'grid'?"),
        (["sweep", "--metrics", "x", "a=1"], "unrecognized arguments: --metrics"),
    ],
)
def test_wrong_words(cli: Cli, words: list[str], told: str) -> None:
    code, out, err = cli("wandb", *words)
    assert (code, out) == (2, "")
    assert err.startswith("receptive: ")
    assert told in err
    assert "usage: receptive wandb" in err


def test_completion(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def become(line: str) -> list[str]:
        return complete(cli, monkeypatch, line)

    assert become("receptive wa") == ["wandb"]
    assert become("receptive wandb ") == ["sync", "dashboard", "sweep"]
    assert become("receptive wandb s") == ["sync", "sweep"]
    assert become("receptive wandb --") == ["--help"]
    assert become("receptive wandb dashboard --p") == ["--project", "--print"]
    assert become("receptive wandb sweep --method ") == ["grid", "random", "bayes"]
    assert become("receptive wandb snyc --") == []
    assert "optimizer=adam" in become("receptive wandb sweep --method grid seed=0,1 optimizer=")


def test_options_may_stand_between_overrides(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def keep(path: Path, overrides: Sequence[str], console: object, **options: Any) -> None:
        given.update({"path": path, "overrides": overrides, **options})

    monkeypatch.setattr("receptive.sweeps.agent.write_sweep", keep)
    words = ["optimizer.lr=1,2", "--method", "random", "init=a, b", "--name", "x", "seed=0"]
    assert cli("wandb", "sweep", *words) == (0, "", "")
    assert given == {
        "path": Path("sweep.yaml"),
        "overrides": ["optimizer.lr=1,2", "init='a, b'", "seed=0"],
        "method": "random",
        "metric": None,
        "name": "x",
    }


@pytest.mark.parametrize("well", [True, False])
def test_sync_takes_folders_and_studies(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, well: bool) -> None:
    given: list[Path] = []

    def sync(folders: Sequence[Path], console: object) -> bool:
        given.extend(folders)
        return well

    monkeypatch.setattr("receptive.tracking.sync.sync", sync)
    (tmp_path / "outputs/studies/width").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    assert cli("wandb", "sync", "width", "run") == (0 if well else 1, "", "")
    assert given == [Path("outputs/studies/width"), Path("run")]
    code, _, err = cli("wandb", "sync", "widht")
    assert code == 1
    assert "did you mean 'width'?" in err
