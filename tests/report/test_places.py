"""A word of the command line and the folder that it means."""

from pathlib import Path

import pytest

from receptive.errors import InputError
from receptive.report.places import place_of


def test_a_folder_or_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Path("outputs/studies/width")
    study.mkdir(parents=True)
    (tmp_path / "sweep").mkdir()
    assert place_of("sweep") == Path("sweep")
    assert place_of(str(tmp_path / "sweep")) == tmp_path / "sweep"
    assert place_of("width") == study
    (tmp_path / "width").mkdir()
    assert place_of("width") == study  # nothing was run there
    for name in ("config.yaml", "sweep.json"):
        (tmp_path / "width" / name).touch()
        assert place_of("width") == Path("width")
        (tmp_path / "width" / name).unlink()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "width").mkdir()
    with pytest.raises(InputError, match=r"widht: there is no such folder.*did you mean 'width'\? \(there are width\)"):
        place_of("widht", tmp_path)
    with pytest.raises(InputError, match=r"nor a study .*nowhere/x$"):
        place_of("x", tmp_path / "nowhere")
