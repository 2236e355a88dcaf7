"""The hash over the code that trains: ours, and a user's own."""

import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from receptive import source_code
from receptive.source_code import code_hash


@pytest.fixture(autouse=True)
def fresh() -> None:
    source_code._hash.cache_clear()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the Python path with a package `lab` and a module `alone`; importing either fails."""
    (tmp_path / "lab" / "nets").mkdir(parents=True)
    for name in ("alone.py", "lab/__init__.py", "lab/data.py", "lab/nets/__init__.py", "lab/nets/small.py"):
        (tmp_path / name).write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("prefix", "counts"),
    [
        ("alone", {"alone.py"}),
        ("alone.Net", {"alone.py"}),
        ("lab", {"lab/__init__.py", "lab/data.py", "lab/nets/__init__.py", "lab/nets/small.py"}),
        ("lab.nets", {"lab/nets/__init__.py", "lab/nets/small.py"}),
        ("lab.nets.small", {"lab/nets/small.py"}),
        ("lab.nets.small.Net", {"lab/nets/small.py"}),
        ("nowhere", set()),
        ("sys", set()),
    ],
)
def test_the_code_of_a_prefix_counts(own: Path, prefix: str, counts: set[str]) -> None:
    found = set()
    for file in sorted(own.rglob("*.py")):
        before = code_hash([prefix])
        file.write_text(file.read_text() + "# changed\n")
        source_code._hash.cache_clear()
        if code_hash([prefix]) != before:
            found.add(file.relative_to(own).as_posix())
    assert found == counts
    assert not {"alone", "lab"} & set(sys.modules)


def test_what_is_no_source_is_passed_over(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_hash(["lab"])
    (own / "lab" / ".#data.py").symlink_to("nobody@nowhere.1")  # the lock of an editor
    (own / "lab" / "gone.py").symlink_to("nowhere")
    (own / "lab" / "folder.py").mkdir()
    with zipfile.ZipFile(own / "packed.zip", "w") as archive:
        archive.writestr("packed/__init__.py", "")
    monkeypatch.syspath_prepend(str(own / "packed.zip"))
    source_code._hash.cache_clear()
    assert code_hash(["lab"]) == before
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    assert code_hash(["packed"]) == code_hash([""]) == code_hash(["made_up"]) == code_hash()


def test_without_prefixes_it_is_of_our_code_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_hash() == code_hash([]) == code_hash(["nowhere"])
    for name in source_code._OURS:
        place = tmp_path / name if name.endswith(".py") else tmp_path / name / "a.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    monkeypatch.setattr(source_code, "_PACKAGE", tmp_path)
    found = {code_hash()}
    for file in sorted(tmp_path.rglob("*.py")):
        source_code._hash.cache_clear()
        file.write_text("x = 1\n")
        found.add(code_hash())
    assert len(found) == 1 + len(source_code._OURS)


def test_the_order_of_prefixes_does_not_count(own: Path) -> None:
    assert code_hash(["lab", "alone"]) == code_hash(["alone", "lab", "lab"]) != code_hash(["lab"])
