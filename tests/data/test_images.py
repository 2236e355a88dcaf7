"""Which files are images, and by which names they go."""

from pathlib import Path

import pytest

from receptive.data.images import image_files
from receptive.errors import InputError


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png", "sub/a.png", ".hidden.png", "text.txt", "out/masks/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = image_files(tmp_path, tmp_path / "out")
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        "a.jpg": "a.jpg", "a.png": "a.png", "b": "b.png", "sub/a": "sub/a.png",
    }  # fmt: skip


def test_a_name_that_ends_in_another_ones_suffix_hides_no_file(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.png.tif"):
        (tmp_path / name).touch()
    found = image_files(tmp_path, tmp_path / "out")
    assert {name: path.name for name, path in found.items()} == {
        "a.jpg": "a.jpg", "a.png": "a.png", "a.png.tif": "a.png.tif",
    }  # fmt: skip


def test_results_are_never_read_as_images(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/out/masks/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("in")
    for output in ("in/out", "in/../in/out", "link/out"):
        assert list(image_files(tmp_path / "in", tmp_path / output)) == ["a"]
    for output in ("in", "link", "."):
        with pytest.raises(InputError, match="choose another"):
            image_files(tmp_path / "in", tmp_path / output)
