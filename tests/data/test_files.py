"""Missing, half downloaded and corrupt files."""

import gzip
import hashlib
import socket
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from receptive.data import files
from receptive.data.cifar10 import CIFAR10
from receptive.data.files import ensure_files, read_checked
from receptive.data.gtsrb import GTSRB
from receptive.data.mnist import MNIST
from receptive.data.source import Source
from receptive.errors import InputError

WANTED = ("set/a", "set/folder")


def _write_all(folder: str) -> None:
    (Path(folder) / "set" / "folder").mkdir(parents=True)
    (Path(folder) / "set" / "a").write_text("a")
    (Path(folder) / "set" / "folder" / "b").write_text("b")
    (Path(folder) / "set.zip").write_text("archive")


def _ensure(root: Path, download: Callable[[str], object] | None) -> None:
    ensure_files("Things", root, WANTED, "set.zip, unpacked", download)


def test_a_download_is_put_in_place(tmp_path: Path) -> None:
    _ensure(tmp_path / "new" / "place", _write_all)
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["new/place/set/a", "new/place/set/folder/b"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_text("mine")
    _ensure(tmp_path, _write_all)
    assert (tmp_path / "set" / "a").read_text() == "mine"
    assert (tmp_path / "set" / "folder" / "b").read_text() == "b"
    _ensure(tmp_path, None)


def test_another_process_may_be_faster(tmp_path: Path) -> None:
    def overtaken(folder: str) -> None:
        _write_all(folder)
        _write_all(str(tmp_path))

    _ensure(tmp_path, overtaken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.zip"]


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no route"), RuntimeError("File not found or corrupted."), OSError("disk full")],
)
def test_a_failed_download_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    def fail_half_way(folder: str) -> None:
        (Path(folder) / "set").mkdir()
        (Path(folder) / "set" / "a").write_text("half of")
        raise error

    with pytest.raises(InputError) as caught:
        _ensure(tmp_path, fail_half_way)
    assert list(tmp_path.iterdir()) == []
    message = str(caught.value)
    assert message.startswith(f"Things is missing or incomplete in {tmp_path} and was not downloaded (")
    assert "set.zip, unpacked" in message and "paths.data_dir" in message
    for file in WANTED:
        assert f"\n  {tmp_path / file}" in message


def test_a_fault_of_the_program_is_not_the_users(tmp_path: Path) -> None:
    def fail(folder: str) -> None:
        raise TypeError(folder)

    with pytest.raises(TypeError):
        _ensure(tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_brings_too_little(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Things is missing or incomplete"):
        _ensure(tmp_path, lambda folder: (Path(folder) / "set").mkdir())
    assert not (tmp_path / "set" / "a").exists()


def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.1)
    released = threading.Event()
    with pytest.raises(InputError, match="no answer within"):
        _ensure(tmp_path, lambda folder: released.wait(30))
    released.set()
    assert list(tmp_path.iterdir()) == []


def test_a_slow_download_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ANSWER_SECONDS", 1.0)

    def slow(folder: str) -> None:
        (Path(folder) / "set.zip.part").write_text("first bytes")
        time.sleep(1.5)
        _write_all(folder)

    _ensure(tmp_path, slow)
    assert (tmp_path / "set" / "a").exists()


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="was not downloaded"):
        _ensure(tmp_path / "file" / "root", _write_all)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (MNIST, ["train-images-idx3-ubyte.gz", "MNIST/raw/t10k-labels-idx1-ubyte"]),
        (CIFAR10, ["cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_5"]),
        (GTSRB, ["GTSRB-Training_fixed.zip", "gtsrb/GTSRB/Training", "gtsrb/GT-final_test.csv"]),
    ],
)
@pytest.mark.parametrize("download", [True, False])
def test_without_a_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: Callable[..., Source],
    expected: list[str],
    download: bool,
) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    root = tmp_path / "data ü"
    root.mkdir()
    with pytest.raises(InputError) as caught:
        source(root=str(root), download=download).prepare()
    for part in expected:
        assert part in str(caught.value)
    assert ("Name or service not known" if download else "data.source.download is false") in str(caught.value)
    assert "http" not in str(caught.value).replace("https://ossci", "").replace("http://yann", "")
    assert list(root.iterdir()) == []
    assert socket.getdefaulttimeout() is None


class TestReadChecked:
    MD5 = hashlib.md5(b"content").hexdigest()

    def test_plain_and_packed(self, tmp_path: Path) -> None:
        (tmp_path / "plain").write_bytes(b"content")
        (tmp_path / "packed.gz").write_bytes(gzip.compress(b"content"))
        assert read_checked(tmp_path / "plain", self.MD5) == b"content"
        assert read_checked(tmp_path / "packed", self.MD5) == b"content"

    @pytest.mark.parametrize("content", [b"conten", b"", b"Content"])
    def test_wrong_content(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(InputError, match=r"/file is truncated or corrupt .*: delete it and download it again"):
            read_checked(tmp_path / "file", self.MD5)

    @pytest.mark.parametrize("damage", [lambda packed: packed[:-4], lambda packed: b"x" + packed, lambda packed: b""])
    def test_damaged_archive(self, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
        (tmp_path / "file.gz").write_bytes(damage(gzip.compress(b"content")))
        with pytest.raises(InputError, match=r"/file\.gz is truncated or corrupt"):
            read_checked(tmp_path / "file", self.MD5)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"/file is missing"):
            read_checked(tmp_path / "file", self.MD5)
