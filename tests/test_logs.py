"""Records and warnings go into the file, and nowhere else; afterwards all is as it was."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from receptive.logs import captured


@contextmanager
def unchanged() -> Iterator[None]:
    """What the block does to loggers and warnings ends with it; Lightning has a console handler here."""

    def state() -> list[object]:
        loggers = [logging.getLogger(name) for name in ("", "pytorch_lightning", "lightning_fabric")]
        return [(list(each.handlers), each.propagate, each.level) for each in loggers] + [warnings.showwarning]

    lightning = logging.getLogger("pytorch_lightning")
    propagate, handler = lightning.propagate, logging.StreamHandler()
    lightning.addHandler(handler)
    lightning.propagate = False
    before = state()
    try:
        yield
    finally:
        assert state() == before
        lightning.removeHandler(handler)
        lightning.propagate = propagate


def say_all() -> None:
    logging.getLogger("somebody").info("an ordinary record: Größe")
    logging.getLogger("somebody").debug("too detailed")
    logging.getLogger("pytorch_lightning.callbacks").info("Lightning's record")
    logging.getLogger("lightning_fabric").warning("Fabric's record")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a warning", stacklevel=1)


def test_all_goes_into_the_file_and_nothing_to_the_console(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.txt"
    with unchanged(), captured(path):
        say_all()
    text = path.read_text(encoding="utf-8")
    for line in (
        "INFO somebody: an ordinary record: Größe",
        "INFO pytorch_lightning.callbacks: Lightning's record",
        "WARNING lightning_fabric: Fabric's record",
        "UserWarning: a warning",
    ):
        assert text.count(line) == 1
    assert "too detailed" not in text
    assert capfd.readouterr() == ("", "")


def test_without_a_file_all_is_dropped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with unchanged(), captured(None):
        say_all()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_adds_to_the_file_and_only_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for number in (1, 2):
        with unchanged(), captured(path):
            logging.getLogger("somebody").info("run %d", number)
        logging.getLogger("somebody").warning("between the runs")
    assert [line.rpartition(": ")[2] for line in path.read_text().splitlines()] == ["run 1", "run 2"]


def test_a_filter_that_a_run_sets_ends_with_it(tmp_path: Path) -> None:
    with unchanged(), captured(tmp_path / "log.txt"):
        warnings.simplefilter("ignore")
    with pytest.raises(UserWarning, match="an error again"):  # as the suite has it
        warnings.warn("an error again", stacklevel=1)


def test_an_error_puts_all_back_and_lets_go_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), unchanged(), captured(tmp_path / "log.txt"):
        logging.getLogger("somebody").info("before")
        raise ValueError("wrong")
    assert "before" in (tmp_path / "log.txt").read_text()
    (tmp_path / "log.txt").unlink()


def test_inner_and_outer_block_each_get_their_own(tmp_path: Path) -> None:
    """An evaluation within a run: what comes after it belongs to the run again, warnings too."""
    with unchanged(), captured(tmp_path / "outer.txt"):
        with captured(tmp_path / "inner.txt"):
            say_all()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the outer warning", stacklevel=1)
        logging.getLogger("lightning_fabric").info("the outer record")
    inner, outer = ((tmp_path / f"{name}.txt").read_text() for name in ("inner", "outer"))
    assert "a warning" in inner and "the outer" not in inner
    assert "a warning" not in outer
    assert "the outer record" in outer
    assert "the outer warning" in outer


def test_a_file_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"), unchanged(), captured(tmp_path / "nowhere" / "log.txt"):
        pytest.fail("not reached")
