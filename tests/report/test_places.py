"""A word of the command line and the folder that it means."""

from pathlib import Path

import pytest

from receptive.errors import InputError
from receptive.report.places import find_folder


def test_a_folder_or_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Path("outputs/studies/width")
    study.mkdir(parents=True)
    (study / "sweep.json").touch()
    (tmp_path / "sweep").mkdir()
    assert find_folder("sweep") == Path("sweep")
    assert find_folder(str(tmp_path / "sweep")) == tmp_path / "sweep"
    assert find_folder("width") == study
    (tmp_path / "width").mkdir()
    assert find_folder("width") == study  # nothing was run in the other
    for name in ("config.yaml", "sweep.json"):
        (tmp_path / "width" / name).touch()
        assert find_folder("width") == Path("width")
        (tmp_path / "width" / name).unlink()


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("outputs/studies/width").mkdir(parents=True)
    with pytest.raises(InputError, match=r"widht is no folder and no study, did you mean 'width'\?; the studies are"):
        find_folder("widht")
