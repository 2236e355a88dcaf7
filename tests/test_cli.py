"""Verbs, quoting, completion, start-up."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from receptive import source_code
from receptive.arguments import HydraVerb, PlainVerb
from receptive.cli import main
from receptive.commands import VERBS
from receptive.errors import InputError
from receptive.runs import Run
from receptive.source_code import code_hash

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_verbs(cli: Cli, arguments: list[str]) -> None:
    code, out, _ = cli(*arguments)
    assert code == 0
    for word in ("train", "evaluate", "summary", "operators", "--cfg job"):
        assert word in out


def test_a_misspelt_verb_is_answered(cli: Cli) -> None:
    code, out, err = cli("trian")
    assert (code, out) == (2, "")
    assert "unknown verb 'trian', did you mean 'train'?" in err


def test_a_verbs_help_shows_its_groups(cli: Cli) -> None:
    code, out, _ = cli("train", "--help")
    assert code == 0
    assert "net_a" in out
    assert "mnist_baseline" in out


def test_the_composed_config_is_shown(cli: Cli) -> None:
    code, out, _ = cli("train", "--cfg", "job", "experiment=mnist_baseline", "optimizer.lr=0.25")
    assert code == 0
    assert "lr: 0.25" in out
    assert "MnistNet" in out
    assert "tags:\n- R3\n" in out


def complete(cli: Cli, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    code, out, _ = cli("-sc", "query=bash")
    assert code == 0
    return out.split()


def test_completion_of_verbs_groups_and_keys(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(cli, monkeypatch, "receptive tr") == ["train"]
    assert "model=net_a" in complete(cli, monkeypatch, "receptive train model=")
    assert complete(cli, monkeypatch, "receptive train optimizer.l") == ["optimizer.lr="]
    assert complete(cli, monkeypatch, "receptive evaluate spl") == ["split="]
    assert complete(cli, monkeypatch, "receptive evaluate ") == [
        *("run=", "split=", "checkpoint=", "device=", "images=", "paths.data_dir="),
    ]


def test_completion_of_ones_own_options_and_of_paths(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text("_target_: mine.Net\n")
    assert complete(cli, monkeypatch, "receptive train --config-dir own model=mi") == ["model=mine"]
    assert complete(cli, monkeypatch, "receptive train -m -cd own model=mi") == ["model=mine"]
    assert complete(cli, monkeypatch, "receptive train model=mi") == []
    assert complete(cli, monkeypatch, "receptive predict run=./ow") == ["run=./own"]


def test_completion_of_plain_verbs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(cli, monkeypatch, "receptive op") == ["operators"]
    assert complete(cli, monkeypatch, "receptive operators ") == ["shapes"]
    assert complete(cli, monkeypatch, "receptive operators sh") == ["shapes"]
    assert complete(cli, monkeypatch, "receptive operators shapes ") == []
    assert complete(cli, monkeypatch, "receptive operators --h") == ["--help"]


def test_completion_of_studies(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for study in ("width", "depth"):
        (tmp_path / "outputs" / "studies" / study).mkdir(parents=True)
    for verb in ("status", "cancel", "report", "status --once", "wandb sync", "wandb sync width", "wandb dashboard"):
        assert complete(cli, monkeypatch, f"receptive {verb} ") == ["depth", "width"], verb
        assert complete(cli, monkeypatch, f"receptive {verb} d") == ["depth"], verb
    assert complete(cli, monkeypatch, "receptive report width ") == []
    assert complete(cli, monkeypatch, "receptive wandb dashboard --project ") == []


def test_version_is_ours(cli: Cli) -> None:
    assert cli("--version") == (0, f"receptive {metadata.version('receptive')}\n", "")


def test_help_of_a_plain_verb(cli: Cli) -> None:
    code, out, err = cli("operators", "--help")
    assert (code, err) == (0, "")
    assert "usage: receptive operators [-h] [{shapes}]" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["shaps"], "'shaps' is none of shapes, did you mean 'shapes'?"),
        (["shapes", "more"], "unrecognized arguments: more"),
        (["seed=1"], "'seed=1' is none of shapes"),
        (["--quick"], "unrecognized arguments: --quick"),
    ],
)
def test_wrong_words_of_a_plain_verb(cli: Cli, words: list[str], told: str) -> None:
    code, out, err = cli("operators", *words)
    assert (code, out) == (2, "")
    assert err.startswith("receptive: ")
    assert told in err
    assert "usage: receptive operators" in err


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (InputError("no such run"), 1, "receptive: no such run\n"),
        (FileNotFoundError(2, "No such file", "a.csv"), 1, "receptive: a.csv: No such file\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_plain_verb_raises(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, told: str
) -> None:
    def broken(topic: str | None) -> int:
        raise raised

    operators = VERBS["operators"]
    assert isinstance(operators, PlainVerb)
    monkeypatch.setitem(VERBS, "operators", replace(operators, run=broken))
    assert cli("operators") == (code, "", told)


def test_python_dash_m_receptive(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "receptive"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert "receptive VERB" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["train", "--cfg", "job"], ["--help"], ["train", "--help"], ["operators", "--help"]]
)
def test_composing_imports_no_torch(arguments: list[str], tmp_path: Path) -> None:
    program = (
        "import sys; from receptive.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 10 * ('torch' in sys.modules) or 20 * ('pydantic' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0


def test_what_is_not_a_users_fault_says_where_to_look(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(VERBS, "summary", HydraVerb("", broken))
    code, _, err = cli("summary")
    assert code == 1
    assert "ZeroDivisionError: oops" in err
    assert "HYDRA_FULL_ERROR=1" in err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ZeroDivisionError):
        main(["summary"])
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_summary_shows_layers(cli: Cli) -> None:
    code, out, _ = cli("summary", "model=mnist_net", "data=digits")
    assert code == 0
    assert "Conv2d" in out
    assert "23,946" in out


def test_users_own_configs_and_classes(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config-dir brings YAML, the Python path brings classes, target_prefixes allows them."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "flat.yaml").write_text("_target_: mine.Flat\nwidth: 4\n")
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class Flat(nn.Sequential):\n"
        "    def __init__(self, *, in_channels: int, num_classes: int, width: int) -> None:\n"
        "        super().__init__(nn.Flatten(), nn.LazyLinear(width), nn.LazyLinear(num_classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    options = ["--config-dir", str(tmp_path / "conf"), "model=flat", "trainer=debug", "hydra.run.dir=run"]
    code, _, err = cli("train", *options)
    assert code == 1
    assert "target_prefixes" in err
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine.py").write_text(
        (tmp_path / "mine.py")
        .read_text()
        .replace("LazyLinear(width)", "Linear(64, width)")
        .replace("LazyLinear(num", "Linear(width, num")
    )
    source_code._hash.cache_clear()  # other tests may have had a `mine` too
    code, out, err = cli("train", *options, "target_prefixes=[mine]")
    assert (code, err) == (0, "")
    assert "Flat: 310 parameters" in out
    assert Run(tmp_path / "run").status().code == code_hash(["mine"]) != code_hash()
