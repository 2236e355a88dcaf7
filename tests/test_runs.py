"""The run folder: files, states, lock."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from receptive.errors import InputError
from receptive.runs import Busy, Run, Status, open_run, shown

HOLD = """
import sys, time
from pathlib import Path
from receptive.runs import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def hold(run: Run) -> subprocess.Popen[str]:
    """A process that holds the run's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_without_status_is_waiting(run: Run) -> None:
    assert run.state() == "waiting"
    assert run.status() == Status()
    assert run.result() == {}
    assert run.metrics() == []


def test_running_is_believed_only_while_the_lock_is_held(run: Run) -> None:
    run.write_status(Status(state="running"))
    assert run.state() == "interrupted"
    process = hold(run)
    try:
        assert run.state() == "running"
        with pytest.raises(Busy, match="another process"), run.lock():
            pass
    finally:
        process.kill()
        process.communicate()
    assert run.state() == "interrupted"  # kill -9 leaves no lock behind
    with run.lock():
        pass


def test_looking_at_the_state_does_not_keep_a_job_from_starting(run: Run) -> None:
    run.write_status(Status(state="running"))
    with run.lock():
        assert run.locked()
    assert not run.locked()


def test_what_runs_elsewhere_does_not_start_over(run: Run) -> None:
    """Two commands with rerun=all: the second comes when a job of the first has begun."""
    run.write_status(Status(state="running", attempts=2))
    run.write_result({"metrics": {}})
    run.activations.mkdir()
    holder = hold(run)
    run.start_over()
    assert (run.state(), run.result_path.is_file(), run.activations.exists()) == ("running", True, True)
    holder.kill()
    holder.communicate()
    run.start_over()
    assert (run.state(), run.status().attempts, run.result_path.is_file()) == ("waiting", 2, False)
    assert not run.activations.exists()


def test_status_of_a_newer_version_is_read(run: Run) -> None:
    run.status_path.write_text(json.dumps({"state": "done", "attempts": 2, "colour": "green"}))
    assert run.status() == Status(state="done", attempts=2)


def test_damaged_files_are_named(run: Run) -> None:
    run.status_path.write_text('{"state": "do')
    assert run.state() == "failed"
    assert "status.json is damaged" in str(run.status().error)
    run.config_path.write_text("a: [")
    with pytest.raises(InputError, match=r"config\.yaml cannot be read"):
        run.config()
    run.result_path.write_text("[]")
    with pytest.raises(InputError, match=r"result\.json is damaged"):
        run.result()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"metrics": null}', "no metrics"),
        ('{"metrics": {"val/accuracy": "x"}}', "metrics.val/accuracy='x'"),
        ('{"metrics": {"val/accuracy": null}}', "metrics.val/accuracy=None"),
        ('{"metrics": {}, "monitor": ["val/loss"]}', "monitor=['val/loss']"),
        ('{"metrics": {}, "seconds": "2"}', "seconds='2'"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_result_that_no_reader_could_use_is_damaged(run: Run, text: str, said: str) -> None:
    run.result_path.write_text(text)
    with pytest.raises(InputError, match=rf"result\.json is damaged \(.*{re.escape(said)}.*restore it or delete it"):
        run.result()


@pytest.mark.parametrize("moment", ["NaN", "Infinity", "-1", "1e300"])
def test_times_that_no_calendar_has_are_damage(run: Run, moment: str) -> None:
    run.status_path.write_text(f'{{"state": "done", "ended": {moment}}}')
    assert run.state() == "failed"
    assert "status.json is damaged (ended=" in str(run.status().error)


def test_done_without_a_result_is_interrupted(run: Run) -> None:
    run.write_status(Status(state="done"))
    assert run.state() == "interrupted"


def test_metrics_leave_out_empty_cells(run: Run) -> None:
    run.metrics_path.write_text("epoch,val/loss\n1,\n2,0.5\n")
    assert run.metrics() == [{"epoch": 1.0}, {"epoch": 2.0, "val/loss": 0.5}]


def test_half_a_row_is_not_read(run: Run) -> None:
    """Of a disk that was full, or a process that was killed: 0.9 may have been 0.98."""
    text = "epoch,val/loss\n1,0.5\n2,0.98\n"
    for length, rows in ((len(text), 2), (len(text) - 1, 1), (len(text) - 2, 1), (17, 0), (5, 0), (0, 0)):
        run.metrics_path.write_text(text[:length])
        assert [row["val/loss"] for row in run.metrics()] == [0.5, 0.98][:rows], text[:length]


@pytest.mark.parametrize("text", ["epoch,lr\n1,x\n", "epoch\n1,2\n", "epoch,lr\n1,\udcff\n", "ep\udcff\n1\n"])
def test_metrics_that_are_none_are_damage(run: Run, text: str) -> None:
    run.metrics_path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=r"metrics\.csv is damaged .*: restore it or delete it"):
        run.metrics()


@pytest.mark.parametrize(("make", "said"), [(False, "does not exist"), (True, "holds no config.yaml")])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, make: bool, said: str) -> None:
    folder = tmp_path / "run"
    if make:
        folder.mkdir()
    with pytest.raises(InputError, match=said):
        open_run(folder)


def test_paths_are_shown_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "outputs" / "a") == "outputs/a"
    assert shown(Path("/elsewhere/b")) == "/elsewhere/b"
