"""The watch over processes that rank 0 has started, on processes that do nothing but end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from receptive.ranks import team
from receptive.ranks.team import RankLost, Team
from receptive.runs import Run
from receptive.signals import Interrupted, listening

KILLED = "import os; os.kill(os.getpid(), 9)"
WAITING = "import time; time.sleep(60)"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A team of processes that run the given lines; those that are abandoned are noted, and nobody is ended."""

    def begin(*lines: str) -> tuple[Team, list[RankLost], threading.Event]:
        def fake(rank: int, ranks: int, port: int, run: Run) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", lines[rank - 1]]
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        abandoned: list[RankLost] = []
        over = threading.Event()
        monkeypatch.setattr(team, "_start", fake)
        monkeypatch.setattr(team, "_GRACE", 0.5)
        monkeypatch.setattr(team.os, "_exit", lambda code: over.set())
        return Team(len(lines) + 1, 0, Run(tmp_path), abandoned.append), abandoned, over

    return begin


@pytest.mark.parametrize(
    ("line", "state", "cause"),
    [
        (KILLED, "interrupted", "rank 1 was killed by SIGKILL"),
        ("print('failed InputError: no'); raise SystemExit(1)", "failed", "rank 1: InputError: no"),
        ("raise SystemExit(143)", "interrupted", "rank 1 was stopped by SIGTERM"),
        ("raise SystemExit(7)", "failed", "rank 1 ended with code 7; see log.txt"),
    ],
)
def test_what_the_end_of_a_process_means(start: object, line: str, state: str, cause: str) -> None:
    found, abandoned, over = start(line)  # type: ignore[operator]
    for process in found._processes.values():
        process.wait(60)  # what is left of lost_soon's half a second is enough to notice it
    lost = found.lost_soon()
    assert (lost.state, str(lost)) == (state, cause)
    found.end("kill")
    assert not abandoned
    assert not over.is_set()


def test_where_rank_0_takes_no_notice_the_others_and_it_are_ended(start: object) -> None:
    found, abandoned, over = start(KILLED, WAITING)  # type: ignore[operator]
    assert over.wait(20)
    assert [str(lost) for lost in abandoned] == ["rank 1 was killed by SIGKILL"]
    found.end("kill")
    assert [process.returncode for process in found._processes.values()] == [-9, -9]


def test_those_that_come_to_their_end_are_waited_for(start: object) -> None:
    found, abandoned, _ = start("import time; time.sleep(0.3)", "")  # type: ignore[operator]
    assert found.lost_soon() is None
    found.end("wait")
    assert [process.returncode for process in found._processes.values()] == [0, 0]
    assert not abandoned


def test_a_signal_while_they_are_waited_for_ends_all_and_is_not_lost(
    start: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _, _ = start(WAITING, WAITING)  # type: ignore[operator]
    first, second = found._processes.values()
    wait = first.wait

    def struck(seconds: float | None = None) -> int:
        if seconds is not None:
            os.kill(os.getpid(), signal.SIGTERM)
        return int(wait(seconds))

    monkeypatch.setattr(first, "wait", struck)
    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM"), listening():
        found.end("wait")
    assert (first.returncode, second.returncode) == (-9, -9)
    assert time.monotonic() - began < team._PATIENCE / 2


def test_who_does_not_answer_is_killed(start: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_ASKED", 0.5)
    found, _, _ = start(f"import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); {WAITING}")  # type: ignore[operator]
    [process] = found._processes.values()
    assert process.stdout.readline() == "\n"  # it heeds nothing from here on
    found.end("ask")
    assert process.returncode == -9


def test_after_a_signal_they_are_asked(start: object) -> None:
    found, _, _ = start(WAITING)  # type: ignore[operator]
    found.end("ask")
    assert [process.returncode for process in found._processes.values()] == [-15]
