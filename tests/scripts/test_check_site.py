"""scripts/check_site.py on a small site."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "check_site.py"
    spec = importlib.util.spec_from_file_location("check_site", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a b.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1><a href="sub/">s</a><a href="sub/index.html#in">p</a><a href="#top">t</a>'
        '<img src="a%20b.png"><a href="https://elsewhere.org/x">e</a><a href="mailto:a@b">m</a>'
    )
    (tmp_path / "sub" / "index.html").write_text('<p id="in"></p><a href="../index.html">up</a>')
    return tmp_path


def test_a_sound_site(script: ModuleType, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(site)
    assert capsys.readouterr().out == f"{site}: 5 references within the site, 0 broken\n"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ('<a href="gone.html">', "gone.html: there is no such file"),
        ('<img src="gone.png">', "gone.png: there is no such file"),
        ('<a href="index.html#gone">', "index.html#gone: there is no such place"),
        ('<a href="#gone">', "#gone: there is no such place"),
    ],
)
def test_what_is_broken_is_told(
    script: ModuleType, site: Path, capsys: pytest.CaptureFixture[str], broken: str, told: str
) -> None:
    (site / "page.html").write_text(broken)
    with pytest.raises(SystemExit, match="1"):
        script.main(site)
    assert f"page.html: {told}\n" in capsys.readouterr().out


def test_an_empty_folder_is_no_site(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="1"):
        script.main(tmp_path)
