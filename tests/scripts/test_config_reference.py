"""docs/reference/ is what scripts/config_reference.py writes, and that says the truth."""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Lt
from pydantic import Field, PositiveInt
from torch import Tensor

from receptive.comments import Key, header, keys, shown
from receptive.config import conf_dir

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "config_reference.py"
    spec = importlib.util.spec_from_file_location("config_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(script: ModuleType) -> dict[str, str]:
    return script.pages()


def test_the_committed_pages_are_what_the_script_writes(pages: dict[str, str]) -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
    changed = [name for name in sorted(committed.keys() | pages.keys()) if committed.get(name) != pages.get(name)]
    assert changed == [], "make reference"


def test_every_file_of_conf_and_every_key_has_its_place(pages: dict[str, str]) -> None:
    for path in sorted(conf_dir().rglob("*.yaml")):
        group = str(path.parent.relative_to(conf_dir()))
        if group == "trainer/limits":  # told of where they are chosen
            continue
        title = f"receptive {path.stem}" if group == "." else f"{group}={path.stem}"
        page = pages["verbs.md" if group == "." else f"{group.removeprefix('hydra/')}.md"]
        section = page.partition(f"## `{title}`\n")[2].partition("\n## ")[0]
        assert section, title
        for key in keys(path) if group not in ("experiment", "study") else ():
            if not key.name.rpartition(".")[2].startswith("_"):
                assert re.search(rf"^\| `[\w.]*{re.escape(key.name)}` \| ", section, re.MULTILINE), key.name


def test_every_key_is_explained(pages: dict[str, str]) -> None:
    """Of a new option the docstring's Args, or a comment beside the key, says what it is."""
    silent = [line for text in pages.values() for line in text.splitlines() if line.endswith("|  |")]
    assert silent == []


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "whole number"),
        (PositiveInt, "whole number > 0"),
        (Annotated[float, Ge(0), Lt(1)], "number ≥ 0 and < 1"),
        (Annotated[float, Field(gt=0, le=2)] | None, "number > 0 and ≤ 2, or null"),
        (Literal["auto", "cpu"], "`auto`, `cpu`"),
        (list[str] | str | None, "text, or list: text, or null"),
        (Sequence[PositiveInt], "list: whole number > 0"),
        (tuple[float | Tensor, float | Tensor], "list of 2: number"),
        (dict[str, Any], "mapping"),
        (Any, ""),
    ],
)
def test_types_in_words(script: ModuleType, hint: Any, words: str) -> None:
    assert script.described(hint) == words


def test_what_a_file_says(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "# @package _global_\n# A net.\n# More.\n\ndefaults: [a]\n_target_: a.B # not of the header\n"
        "lr: 1.0e-3 # the rate\n   # in two lines\n# another's\nname: 'a # b'\nsource:\n  size: [3, 0.5] # pixels\n"
        "  root: ${x}/y\ndata: {validation: 0.2}\n"
    )
    assert header(tmp_path / "x.yaml") == ["A net.", "More."]
    assert keys(tmp_path / "x.yaml") == [
        Key("_target_", "a.B", "not of the header"),
        Key("lr", 0.001, "the rate in two lines"),
        Key("name", "a # b", ""),
        Key("source.size", [3, 0.5], "pixels"),
        Key("source.root", "${x}/y", ""),
        Key("data", {"validation": 0.2}, ""),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1e-8, "1e-08"),
        ("null", "'null'"),
        ("a b", "a b"),
        ([1, None], "[1, null]"),
        ({}, "{}"),
    ],
)
def test_values_are_shown_as_they_are_typed(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("comment", "told", "news"),
    [
        ("(grey)", "RGB, or L for grey.", ""),
        ("of width and height, both ways", "Largest shift as a fraction of width and height, both ways", ""),
        ("of the 50,000", "Number of training images held out", "of the 50,000"),
        ("null: the data set's own", "pixels in [0, 1]", "null: the data set's own"),
        ("workers that share a GPU; each may hold half", "processes that share a GPU", "each may hold half"),
        (
            "library's class: +model.arguments.a=b",
            "passed to the library's class",
            "library's class: +model.arguments.a=b",
        ),
        ("key: values, e.g. optimizer.lr: 0.1,0.01", "key -> values", "e.g. optimizer.lr: 0.1,0.01"),
        ("the rate", "", "the rate"),
    ],
)
def test_a_comment_adds_what_the_docstring_does_not_say(script: ModuleType, comment: str, told: str, news: str) -> None:
    assert script._news(comment, told) == news


def test_the_script_knows_a_fault(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed default changes the page."""
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "sgd.yaml").write_text("_target_: torch.optim.SGD\nlr: 7 # the rate\n")
    monkeypatch.setattr(script, "conf_dir", lambda: tmp_path)
    assert "| `optimizer.lr` | `7` | number | The rate. |" in script.group_page("optimizer")
