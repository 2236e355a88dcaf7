"""`receptive status`: what it shows of folders in every state, and that it costs little."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cli
from tests.processes import read_until

from receptive.console import new_console
from receptive.errors import InputError
from receptive.runs import Run
from receptive.slurm import scheduler
from receptive.slurm.scheduler import Task
from receptive.sweeps.observation import Observer
from receptive.sweeps.presence import driving, is_driven
from receptive.sweeps.snapshot import Progress, Snapshot
from receptive.sweeps.status import fitted, page, watch

CONFIG = "seed: 0\ntrainer:\n  _target_: x\n  lists:\n  - 1\n  max_epochs: 10\n  precision: auto\n"
NOW = time.time()
MakeJob = Callable[..., Run]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


@pytest.fixture
def job(root: Path) -> Iterator[MakeJob]:
    """Makes a job of the sweep in a state, after so many epochs of so many seconds."""
    entries: list[dict[str, Any]] = []
    with ExitStack() as stack:

        def make(
            seed: int, state: str, epochs: int = 0, seconds: float = 2.0, listed: bool = True, **status: Any
        ) -> Run:
            run = Run(root / f"seed_{seed}")
            run.folder.mkdir()
            run.config_path.write_text(CONFIG)
            run.status_path.write_text(json.dumps({"state": state, "started": NOW - 100} | status))
            rows = [f"{epoch},{seconds},0.{50 + epoch}" for epoch in range(1, epochs + 1)]
            run.metrics_path.write_text("\n".join(["epoch,seconds,val/accuracy", *rows, ""]))
            if state == "done":
                result = {"seconds": epochs * seconds + 1, "monitor": "val/accuracy", "metrics": {"val/accuracy": 0.75}}
                run.result_path.write_text(json.dumps(result))
            if state == "running":
                fcntl.flock(stack.enter_context(open(run.folder / "lock", "a")), fcntl.LOCK_EX)
            fingerprint = f"{seed:012x}"
            entries.append({"overrides": [f"seed={seed}"], "labels": {"seed": str(seed)}, "fingerprint": fingerprint,
                            "folder": run.folder.name, "trial": None})  # fmt: skip
            if listed:
                (root / "sweep.json").write_text(json.dumps({"name": "study", "claims": [], "jobs": entries}))
            return run

        yield make


def text(snapshot: Snapshot, rows: int = 40, width: int = 120) -> str:
    console = new_console(soft_wrap=False, width=width, record=True, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(page(snapshot, rows, width))
    return console.export_text()


def test_every_state_is_shown(cli: Cli, root: Path, job: MakeJob) -> None:
    job(0, "done", 10, ended=NOW)
    running = job(1, "running", 4)
    job(2, "failed", 1, error="the training loss is nan\nin epoch 2")
    job(3, "interrupted", 2)
    job(4, "waiting")
    os.utime(running.metrics_path, (NOW - 1, NOW - 1))  # half an epoch ago
    code, out, err = cli("status", "sweep")
    assert (code, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0].startswith("study: 1 done, 1 running, 1 failed, 1 interrupted, 1 waiting; about ")
    assert lines[3].split() == ["seed", "state", "epoch", "val/accuracy"]
    shown = [line.split(maxsplit=2) for line in lines[4:9]]
    assert [(seed, state) for seed, state, *_ in shown] == [
        ("1", "running"), ("2", "failed"), ("3", "interrupted"), ("0", "done"), ("4", "waiting"),
    ]  # fmt: skip
    assert "of 10" in shown[0][2] and "  54.00 %" in shown[0][2] and shown[0][2].endswith("s left")
    assert shown[1][2].endswith("the training loss is nan in epoch 2")
    assert shown[2][2].endswith("its process died")
    assert shown[3][2].split("  ")[0] == "10 of 10"
    assert re.search(r"  75\.00 % +took 21 s$", shown[3][2])


def test_a_job_that_ended_in_slurm_before_its_run_began_is_told(
    cli: Cli, root: Path, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a detached sweep nobody has recorded it. One that was cancelled while it waited has no log."""
    names = [job(seed, "waiting").folder.name for seed in range(4)]
    place = root / "slurm" / "array"
    place.mkdir(parents=True)
    (place / "folders.txt").write_text("".join(f"{name}\n" for name in names))
    (place / "job_id").write_text("5\n")
    for index in (0, 1):
        (place / f"{index}.log").touch()
    monkeypatch.setattr(scheduler, "queue", lambda: {Task(5, 0): "running", Task(5, 2): "pending"})
    _, out, _ = cli("status", "sweep")
    assert "4 waiting; 2 in Slurm's queue" in out
    assert out.splitlines()[-1].strip() == "1 ended in Slurm before the run began; see sweep/slurm/array/1.log"


def test_a_narrow_terminal_costs_titles_before_values() -> None:
    """Learning rates that lost their end would look alike."""
    keys = ("optimizer.lr", "data.batch_size", "optimizer", "model.upsampling", "model.activation")
    values = (("0.0001", "2", "adam", "transposed", "relu"), ("0.001", "4", "sgd", "bilinear", "elu"))
    state = {"epochs": 10, "seconds": (2.0,) * 4, "since": NOW, "metric": "val/f1_mean", "value": 0.8794}
    jobs = [Progress(str(n), dict(zip(keys, v, strict=True)), "running", **state) for n, v in enumerate(values)]
    failed = Progress("2", jobs[0].labels, "failed", "a cause that is much longer than what is left of the line")
    narrow = text(Snapshot("study", (*jobs, failed), True, NOW), width=80).splitlines()[3:7]
    assert all(len(line) <= 80 for line in narrow)
    assert narrow[1].split() == [*values[0], "running", "4.0", "of", "10", "0.8794", "12", "s", "left"]
    assert narrow[2].split() == [*values[1], "running", "4.0", "of", "10", "0.8794", "12", "s", "left"]
    assert re.search(r"failed .*a cause th…$", narrow[3]), narrow[3]
    assert fitted([2, 10, 6, 0], [5, 1, 7, 40], 2, 200) == [5, 10, 7, 40]
    assert fitted([2, 10, 6, 0], [5, 1, 7, 40], 2, 50) == [5, 10, 7, 22]
    assert fitted([2, 10, 6, 0], [5, 1, 7, 40], 2, 35) == [5, 6, 7, 11]


def test_metrics_that_are_not_the_same_are_named_in_each_row() -> None:
    jobs = [Progress(name, {}, "done", metric=name, value=0.5) for name in ("val/accuracy", "val/f1_mean")]
    lines = text(Snapshot("mixed", tuple(jobs), False, NOW)).splitlines()
    assert lines[3].split() == ["state", "epoch", "metric"]
    assert "val/accuracy 50.00 %" in lines[4] and "val/f1_mean 0.5000" in lines[5]


def test_the_time_that_is_left(root: Path, job: MakeJob) -> None:
    """By the epochs' own seconds: a run that was interrupted began long ago."""
    job(0, "done", 10, 2.0, ended=NOW)
    running = job(1, "running", 4, 2.0, started=NOW - 9e6)
    job(2, "waiting")
    os.utime(running.metrics_path, (NOW, NOW))
    with driving(root):
        seen = Observer(root).look()
    assert seen.driven
    seen = Snapshot(seen.title, seen.jobs, True, NOW + 1.0)
    assert seen.jobs[1].epoch(seen.now, 7.0) == pytest.approx(4.5, abs=0.01)
    assert seen.jobs[1].left(seen.now, 7.0) == pytest.approx(11.0, abs=0.01)
    assert seen.left == pytest.approx(11.0 + 10 * 2.0 + 1.0, abs=0.01)  # one at a time; a second beside the epochs
    assert seen.share == pytest.approx((1 + 0.45) / 3, abs=0.001)
    late = Snapshot(seen.title, seen.jobs, False, NOW + 50)
    assert late.jobs[1].epoch(late.now, None) == pytest.approx(4.99)
    assert late.left == pytest.approx((10 - 4.99) * 2.0)  # nobody will come to what waits


def test_the_first_epoch_is_guessed_by_other_jobs() -> None:
    fresh = Progress("a", {}, "running", epochs=5, since=NOW - 3)
    assert fresh.left(NOW, None) is None
    assert fresh.left(NOW, 6.0) == pytest.approx(4.5 * 6)
    assert Snapshot("x", (fresh,), True, NOW).left is None
    assert Snapshot("x", (), False, NOW).share == 0


def test_many_jobs_fit_the_height(root: Path, job: MakeJob) -> None:
    for seed in range(40):
        job(seed, "done" if seed < 30 else "waiting" if seed < 38 else "failed", 3, ended=NOW + seed)
    shown = text(Observer(root).look(), rows=6).splitlines()
    assert len(shown) == 4 + 5 + 1 + 1  # the remark takes a line of the jobs
    assert [line.split()[0] for line in shown[4:9]] == ["38", "39", "29", "28", "27"]  # the last done first
    assert shown[9].rstrip() == "... and 27 done, 8 waiting"
    assert shown[10].rstrip() == "nothing runs it any more: the same command goes on"


def test_a_single_run(cli: Cli, tmp_path: Path, job: MakeJob) -> None:
    job(0, "running", 3)
    code, out, _ = cli("status", "sweep/seed_0")
    assert code == 0
    assert out.startswith("seed_0: 1 running; about ")
    assert out.splitlines()[3].split() == ["state", "epoch", "val/accuracy"]
    assert "  53.00 %  " in out


def test_a_row_under_way_is_not_read(root: Path, job: MakeJob) -> None:
    run = job(0, "running", 3)
    with open(run.metrics_path, "a") as file:
        file.write("4,2.0,0.9")
    assert Observer(root).look().jobs[0].value == pytest.approx(0.53)


def test_changes_are_seen(root: Path, job: MakeJob) -> None:
    run, other, observer = job(0, "waiting"), job(1, "done", 10), Observer(root)
    assert [seen.state for seen in observer.look().jobs] == ["waiting", "done"]
    run.status_path.write_text(json.dumps({"state": "failed", "error": "oops"}))
    other.status_path.write_text("{")
    seen = observer.look()
    assert [one.state for one in seen.jobs] == ["failed", "failed"]
    assert seen.jobs[0].error == "oops"
    assert "status.json is damaged" in seen.jobs[1].error
    job(2, "running")
    assert observer.look().jobs[2].state == "running"
    for path in sorted(root.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert observer.look().jobs == ()


def test_nothing_to_show(cli: Cli, root: Path) -> None:
    assert cli("status", "sweep") == (1, "", "receptive: sweep holds no run\n")
    assert cli("status", "nowhere")[2].startswith("receptive: nowhere is no folder and no study")
    assert cli("status")[0] == 2
    (root / "sweep.json").write_text("[")
    with pytest.raises(InputError, match=r"holds no run\n.*sweep.json is damaged"):
        watch(root, new_console(quiet=True))


def test_a_driver_is_noticed(root: Path) -> None:
    assert not is_driven(root)
    with driving(root):
        assert is_driven(root)
    assert not is_driven(root)
    assert Observer(root).look().driven is False


def test_a_thousand_jobs_are_read_within_a_second(root: Path, job: MakeJob) -> None:
    for seed in range(1000):
        state = "done" if seed < 700 else "running" if seed < 710 else "waiting"
        job(seed, state, 10 if seed < 710 else 0, listed=seed == 999)
    observer = Observer(root)
    observer.look()
    began = time.process_time()
    seen = observer.look()
    assert seen.left is not None
    text(seen)
    assert time.process_time() - began < 1.0
    assert seen.counts == {"done": 700, "running": 10, "waiting": 290}


def watching(root: Path, columns: int = 100) -> tuple[subprocess.Popen[bytes], int]:
    """`receptive status` on a terminal of its own."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "receptive", "status", str(root)],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "24"},
    )  # fmt: skip
    os.close(terminal)
    return process, screen


def test_on_a_terminal_it_follows_and_ends_by_itself(root: Path, job: MakeJob) -> None:
    run = job(0, "waiting")
    with driving(root):
        process, screen = watching(root)
        assert b"1 waiting" in read_until(screen, b"1 waiting")
        run.write_result({"seconds": 3.0, "monitor": "val/accuracy", "metrics": {"val/accuracy": 0.5}})
        run.status_path.write_text(json.dumps({"state": "done"}))
        assert b"took 3 s" in read_until(screen, b"took 3 s")
        assert process.poll() is None
    read_until(screen, None)
    os.close(screen)
    assert process.wait(timeout=30) == 0


def test_on_a_narrow_terminal_the_heading_is_broken_between_words(root: Path, job: MakeJob) -> None:
    for seed, state in enumerate(("done", "failed", "interrupted")):
        job(seed, state)
    process, screen = watching(root, columns=24)
    said = read_until(screen, None).decode()
    os.close(screen)
    assert process.wait(timeout=30) == 0
    assert "study: 1 done, 1 failed,\r\n1 interrupted\r\n" in said


def test_ctrl_c_ends_it_quietly(root: Path, job: MakeJob) -> None:
    job(0, "running")
    process, screen = watching(root)
    read_until(screen, b"1 running")
    process.send_signal(signal.SIGINT)
    said = read_until(screen, None)
    os.close(screen)
    assert process.wait(timeout=30) == 130
    assert b"Traceback" not in said


def test_it_needs_neither_torch_nor_hydra(root: Path, job: MakeJob) -> None:
    job(0, "done", 10)
    program = (
        "import sys; from receptive.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 10 * bool({'torch', 'hydra', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, "status", str(root)], capture_output=True)
    assert done.returncode == 0, done.stderr
