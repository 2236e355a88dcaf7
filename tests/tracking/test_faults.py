"""W&B may refuse, hang, die or lose its folder: the training is none the worse, and sync sends what was lost."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import wandb
from tests.conftest import Cli
from tests.processes import alive, descendants, wait_for
from tests.report.conftest import RunFolders
from tests.tracking.backend import Backend
from tests.tracking.following import Held, assert_complete, named, send, stored
from tests.tracking.recordings import Recording
from tests.tracking.stored import BackendRun

from receptive.tracking.companion import Companion
from receptive.tracking.record import Record

BOUND = 20.0  # seconds that W&B may cost at the end of a process
SLACK = 5.0  # for a busy machine, on which several trainings end at once


pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    return RunFolders(tmp_path / "sweep")


@pytest.mark.parametrize("fault", ["500", pytest.param("hang", marks=pytest.mark.slow), "refused"])
def test_a_server_that_is_of_no_use_from_the_start(
    fault: str, folders: RunFolders, offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once, for a few seconds; what there is is recorded."""
    run = named(folders.add(), "one")
    with Backend() as server:
        for name, value in server.environment(offline).items():
            monkeypatch.setenv(name, value)
        if fault == "refused":
            server.close()
        else:
            server.fault = fault
        [answer] = send(tmp_path, run)
        assert (answer["event"], answer["kind"]) == ("closed", "offline")
        assert server.requests <= 1
    [folder] = (run.folder / "wandb").glob("offline-run-*")
    assert Recording(folder).steps == [1, 2, 3, 4] and Recording(folder).exit_code == 0
    assert server.url in Record.read(run.folder).why


def test_a_mirror_that_does_not_end_is_ended_with_the_clients_process(
    folders: RunFolders, online: Backend, tmp_path: Path
) -> None:
    run = named(folders.add(), "one")
    answers: list[str] = []
    opened = threading.Event()

    def hear(answer: object) -> None:
        answers.append(str(answer))
        opened.set()

    companion = Companion(tmp_path, hear)
    companion.ask("open", run.folder, pid=os.getpid())
    assert opened.wait(60) and "'kind': 'online'" in answers[0]
    own = descendants(companion._process.pid)
    assert len(own) == 1
    online.fault = "hang"
    companion.ask("close", run.folder, state="failed")
    began = time.monotonic()
    assert companion.dismiss(3.0) == [str(run.folder)]
    assert time.monotonic() - began < 10 and companion.fault == "no end within 3 s"
    wait_for(lambda: not alive(own[0]), what="the client's process ends, which would try for longer", seconds=8)
    assert not companion.alive


@pytest.mark.slow
def test_files_that_did_not_come_with_their_row(folders: RunFolders, online: Backend, tmp_path: Path) -> None:
    """The server has the row that names pictures and tables, but its storage took none of them."""
    run = named(folders.add(pictures=["history"]), "one")
    send(tmp_path, run)
    page = page_of(online)
    page.files.clear()
    Record.read(run.folder).lost("Timed out finishing run.").write(run.folder)
    for _ in range(2):
        [answer] = send(tmp_path, run)
        assert (answer["event"], answer["sent"], page.steps) == ("closed", 0, [1, 2, 3, 4, 5])
        assert all(value["path"] in page.files for value in page.rows[-1].values() if isinstance(value, dict))
    assert page.overwritten == 0 and page.summary["figures/history"]["path"] in page.files


@dataclass
class Trouble:
    """What befalls a training in its middle, and what W&B has then.

    Args:
        strike: is given the training and its server.
        told: what is said of it at the end; "" nothing.
        whole: whether W&B has all without sync.
    """

    strike: Callable[[Held, Backend], None]
    told: str = ""
    whole: bool = False


def broken(fault: str) -> Callable[[Held, Backend], None]:
    return lambda held, server: setattr(server, "fault", fault)


def kill(word: str, number: int) -> Callable[[Held, Backend], None]:
    return lambda held, server: held.kill(word, number)


def occupy(held: Held, server: Backend) -> None:
    (held.run.folder / "wandb").rename(held.folder / "moved")
    (held.run.folder / "wandb").write_text("a file where the folder should be")


SERVER = {
    "500": Trouble(broken("500"), "; receptive wandb sync"),
    "hang": Trouble(broken("hang"), "; receptive wandb sync"),
}
PROCESSES = {
    "mirror killed": Trouble(kill("tracking.follower", signal.SIGKILL), "the mirror has died (code -9)"),
    "client killed": Trouble(kill("wandb-core", signal.SIGKILL), "; receptive wandb sync"),
    "client ended": Trouble(kill("wandb-core", signal.SIGTERM), "; receptive wandb sync"),
    "folder vanishes": Trouble(lambda held, server: shutil.rmtree(held.run.folder / "wandb"), whole=True),
    "folder is a file": Trouble(occupy, "; receptive wandb sync"),
}


@pytest.mark.slow
@pytest.mark.parametrize("troubles", [SERVER, PROCESSES], ids=["server", "processes"])
def test_trouble_in_the_middle(
    troubles: dict[str, Trouble], offline: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them side by side: the client sends rows every 15 s only."""
    servers = {name: Backend() for name in troubles}
    trainings: dict[str, Held] = {}
    try:
        for name, server in servers.items():
            (tmp_path / name).mkdir()
            trainings[name] = Held(tmp_path / name, server.environment(offline))
        for name, server in servers.items():
            wait_for(  # the third epoch waits for the gate: the second one does not wait for it
                lambda server=server: server.runs and page_of(server).steps == [1, 2],  # type: ignore[misc]
                what=f"both epochs of {name}",
            )
            troubles[name].strike(trainings[name], server)
        for held in trainings.values():
            held.gate.touch()
        for name, held in trainings.items():
            code, said, cost = held.end()
            assert (code, held.run.state(), len(held.run.metrics())) == (0, "done", 4), f"{name}: {said}"
            assert cost < BOUND + SLACK, f"{name}: {cost:.1f} s"
            print(f"{name}: {cost:.1f} s")
            assert troubles[name].told in said and bool(troubles[name].told) == ("wandb sync" in said), (
                f"{name}: {said}"
            )
            wait_for(lambda held=held: not held.children(), what=f"nothing of {name} is left", seconds=30)  # type: ignore[misc]
        for name, server in servers.items():
            server.fault = None
            if name == "folder is a file":
                (trainings[name].run.folder / "wandb").unlink()
            mend(trainings[name], server, cli, monkeypatch, troubles[name].whole)
            if server is servers.get("500"):
                assert_nothing_twice(trainings[name], server, cli)
            assert server.unknown == []
    finally:
        for held in trainings.values():
            held.close()
        for server in servers.values():
            server.close()


def page_of(server: Backend) -> BackendRun:
    [page] = server.runs.values()
    return page


def mend(held: Held, server: Backend, cli: Cli, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """Sync brings all, once."""
    wandb.teardown()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    code, out, err = cli("wandb", "sync", str(held.run.folder))
    assert (code, err) == (0, "") and ("up to date" in out) == whole, out
    page = page_of(server)
    assert page.id == held.run.status().wandb_id
    assert_complete(page, held.run)
    if whole:
        return
    before = stored(page)
    code, out, _ = cli("wandb", "sync", str(held.run.folder))
    assert code == 0 and "up to date" in out
    assert stored(page) == before


def assert_nothing_twice(held: Held, server: Backend, cli: Cli) -> None:
    """Where nothing is noted of what W&B has, it is asked."""
    page = page_of(server)
    before = stored(page)
    Record.path(held.run.folder).unlink()
    code, out, _ = cli("wandb", "sync", str(held.run.folder))
    assert code == 0 and "sent, 0 new epochs" in out
    assert stored(page) == before
    assert_complete(page, held.run)


@pytest.mark.slow
def test_a_training_that_is_killed_and_goes_on(offline: Path, tmp_path: Path) -> None:
    """kill -9: its mirror ends the page, or itself where the server hangs; SIGTERM: told. The page goes on."""
    servers = {name: Backend() for name in ("killed", "killed while it hangs", "told to stop")}
    trainings: dict[str, Held] = {}
    try:
        for name, server in servers.items():
            (tmp_path / name).mkdir()
            options = ("trainer.checkpoint_steps=1",)
            trainings[name] = Held(tmp_path / name, server.environment(offline), *options)
        for server in servers.values():
            wait_for(lambda server=server: server.runs and page_of(server).rows, what="rows")  # type: ignore[misc]
        servers["killed while it hangs"].fault = "hang"
        for name, held in trainings.items():
            held.process.send_signal(signal.SIGTERM if name == "told to stop" else signal.SIGKILL)
        trainings["told to stop"].gate.touch()
        for held in trainings.values():
            held.wait()
            wait_for(lambda held=held: not held.children(), what="nothing is left")  # type: ignore[misc]
        servers["killed while it hangs"].fault = None
        states = {name: page_of(server).state for name, server in servers.items()}
        assert states == {"killed": "killed", "killed while it hangs": "running", "told to stop": "killed"}
        for held in trainings.values():
            assert held.run.state() == "interrupted"
            held.start()
        for name, held in trainings.items():
            code, said, _ = held.end()
            assert (code, held.run.status().attempts) == (0, 2), f"{name}: {said}"
            assert_complete(page_of(servers[name]), held.run)
    finally:
        for held in trainings.values():
            held.close()
        for server in servers.values():
            server.close()
