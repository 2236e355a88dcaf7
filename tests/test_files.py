"""Files are replaced whole, and what is damaged is told with its name."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from receptive.errors import InputError
from receptive.files import (
    absolute,
    read_csv,
    read_json,
    read_yaml,
    replacing,
    try_lock,
    wait_for_lock,
    write_atomically,
    write_csv,
)
from receptive.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_users_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("data")
    assert absolute("~/data") == Path.home() / "data"
    assert absolute("link") == tmp_path / "link"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.folder / "file"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        write_atomically(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(run.folder) == ["file"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_what_is_replaced_has_the_permissions_of_other_new_files(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", "text")
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode == (tmp_path / "other").stat().st_mode & 0o777


def test_the_old_file_stays_until_the_block_ends_and_may_be_kept(tmp_path: Path) -> None:
    path, kept = tmp_path / "file", tmp_path / "kept"
    for content in (b"one", b"two", b"three"):
        before = path.read_bytes() if path.exists() else None
        with replacing(path, keep=kept) as file:
            file.write(content)
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
        assert (kept.read_bytes() if kept.exists() else None) == before
    assert sorted(os.listdir(tmp_path)) == ["file", "kept"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken", "elsewhere"), ValueError("no"), KeyboardInterrupt()])
def test_an_error_of_the_block_is_raised_as_it_is(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(type(error)) as caught, replacing(path, keep=tmp_path / "kept") as file:
        file.write(b"a part")
        raise error
    assert caught.value is error
    assert getattr(error, "filename", "elsewhere") == "elsewhere"
    assert (os.listdir(tmp_path), path.read_text()) == (["file"], "old")


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", ["name", "value"], [{"name": "a,b", "value": 1.5}, {"name": 'with "quotes"'}])
    assert read_csv(tmp_path / "table.csv") == [{"name": "a,b", "value": "1.5"}, {"name": 'with "quotes"', "value": ""}]


def test_yaml_is_read_as_omegaconf_reads_it(tmp_path: Path) -> None:
    config = {"lr": 1e-05, "eps": 1e-8, "none": None, "yes": True, "text": "1e-5", "list": [1, "${seed}"], "seed": 0}
    path = tmp_path / "config.yaml"
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    assert read_yaml(path) == OmegaConf.to_container(OmegaConf.load(path)) == config


@pytest.mark.parametrize("content", ["", "a: [1", "- a list", "text", "a: \x00"])
def test_a_damaged_config_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"config\.yaml"):
        read_yaml(path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_damaged_json_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "status.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"status\.json is damaged"):
        read_json(path)


def test_where_the_file_system_refuses_locks_everybody_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "lock", "a") as mine, open(tmp_path / "lock", "a") as theirs:
        assert try_lock(mine.fileno())
        assert not try_lock(theirs.fileno())

        def refuse(descriptor: int, kind: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
        assert try_lock(theirs.fileno())
        wait_for_lock(theirs.fileno())
