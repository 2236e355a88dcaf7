"""Where a result comes from, with git and without."""

import platform
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from receptive import provenance
from receptive.source_code import code_hash

Git = Callable[..., str]
HASH = "0123456789ab"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer from a test before, none for a test after."""
    monkeypatch.setattr(provenance, "code_hash", lambda _: HASH)
    cached = (provenance._checkout, provenance.versions, provenance.cpu_name)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package in a place of its own."""
    package = tmp_path / "src" / "receptive"
    package.mkdir(parents=True)
    (package / "train.py").write_text("pass\n")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    return package


@pytest.fixture
def git(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Git in the checkout around the package, with one commit."""
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "pyproject.toml").write_text("")
    run("init", "--quiet")
    run("add", ".")
    run("commit", "--quiet", "-m", "first")
    return run


def test_a_clean_checkout_is_its_commit(git: Git) -> None:
    assert provenance.code() == {"commit": git("rev-parse", "HEAD"), "dirty": False, "hash": HASH}


def test_changed_files_are_told_and_new_ones_are_not(git: Git, package: Path) -> None:
    (package / "new.py").write_text("")
    assert provenance.code()["dirty"] is False
    provenance._checkout.cache_clear()
    (package / "train.py").write_text("changed\n")
    assert provenance.code() == {"commit": git("rev-parse", "HEAD"), "dirty": True, "hash": HASH}


def test_outside_of_a_git_checkout_there_is_no_commit(package: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    assert provenance.code() == {"commit": None, "dirty": None, "hash": HASH}


def test_an_installed_package_in_somebody_elses_repository_has_no_commit(git: Git, tmp_path: Path) -> None:
    """A virtual environment may lie in another project's checkout."""
    (tmp_path / "pyproject.toml").unlink()
    assert provenance.code()["commit"] is None


def test_without_git_there_is_no_commit(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.code() == {"commit": None, "dirty": None, "hash": HASH}


def test_a_git_that_hangs_is_not_waited_for(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], *, timeout: float, **options: object) -> None:
        assert timeout <= 10
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    assert provenance.code() == {"commit": None, "dirty": None, "hash": HASH}


def test_this_checkouts_hash_is_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert provenance.code()["hash"] == code_hash()
    assert provenance.code(["tests"])["hash"] == code_hash(["tests"])


def test_versions_are_those_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    for name in ("torch", "pytorch-lightning", "numpy"):
        assert found[name] == metadata.version(name)
    provenance.versions.cache_clear()
    monkeypatch.setattr(provenance, "_PACKAGES", ("numpy", "no-such-package"))
    assert provenance.versions()["no-such-package"] == "not installed"


def test_the_cpu_has_a_name() -> None:
    name = provenance.cpu_name()
    assert name and name == name.strip() and "\n" not in name and ":" not in name
