"""The launcher against a queue that a test moves; tests/slurm has the real one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests.conftest import Cli

from hydra_plugins.receptive_plugins import SlurmLauncher
from receptive.console import new_console
from receptive.runs import Run, State, Status
from receptive.slurm import scheduler
from receptive.slurm.options import SlurmOptions
from receptive.slurm.scheduler import Ending, SchedulerError, Task
from receptive.slurm.submissions import Assignment, Submission, assigned, submissions
from receptive.sweeps.slurm import hand_over, record_ending, run_slurm

QUICK = SlurmOptions(poll_seconds=1)
Act = Callable[[], None]


class Queue:
    """Slurm, as far as the launcher looks at it. Each look is one of `acts` later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: dict[Task, str] = {}
        self.arrays: list[tuple[int, int | None]] = []  # jobs of each array, and what it waits for
        self.acts: Iterator[Act] = iter(())
        self.slept = 0
        self.stuck = False
        monkeypatch.setattr(scheduler, "queue", self.look)
        monkeypatch.setattr(scheduler, "job_named", {}.get)
        monkeypatch.setattr(
            scheduler, "obstacles", lambda tasks: {"PartitionTimeLimit": len(tasks)} if self.stuck else {}
        )
        monkeypatch.setattr(scheduler, "ending", lambda task: Ending("failed", signal=9))
        monkeypatch.setattr(scheduler, "largest_array", lambda: 4)
        monkeypatch.setattr("receptive.sweeps.slurm.submit", self.submit)
        monkeypatch.setattr("receptive.sweeps.slurm.time.sleep", self.sleep)

    def look(self) -> dict[Task, str]:
        return dict(self.tasks)

    def sleep(self, seconds: float) -> None:
        assert seconds == QUICK.poll_seconds
        self.slept += 1
        assert self.slept < 50, "it waits for ever"
        next(self.acts, lambda: None)()

    def submit(
        self, folders: list[Path], root: Path, options: SlurmOptions, lock: int, after: int | None
    ) -> Submission:
        self.arrays.append((len(folders), after))
        place = root / "slurm" / f"array-{len(self.arrays)}"
        place.mkdir()
        (place / "folders.txt").write_text("".join(f"{folder.name}\n" for folder in folders))
        (place / "job_id").write_text(f"{len(self.arrays)}\n")
        self.tasks |= {Task(len(self.arrays), index): "pending" for index in range(len(folders))}
        return Submission(place)

    def end(self, folder: Path, state: State, **status: object) -> Act:
        """The task of a job leaves the queue, and its run is left in a state."""

        def act() -> None:
            task = assigned(folder.parent)[folder].task
            run = Run(folder)
            run.write_status(Status(state=state, slurm_job=str(task), **status))  # type: ignore[arg-type]
            if state == "done":
                run.write_result({"metrics": {"val/accuracy": 0.5}, "monitor": "val/accuracy", "seconds": 1.0})
            del self.tasks[task]

        return act


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(monkeypatch)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Six jobs that wait."""
    made = [tmp_path / "sweep" / f"job{number}" for number in range(6)]
    for folder in made:
        folder.mkdir(parents=True)
        Run(folder).write_status(Status())
    return made


def states(folders: list[Path]) -> list[str]:
    return [Run(folder).state() for folder in folders]


def test_jobs_are_waited_for_until_all_have_ended(
    queue: Queue, folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Six jobs in arrays of at most four; one that was killed could not say it."""
    ends = [queue.end(folder, "done") for folder in folders[:4]]
    queue.acts = iter([*ends, queue.end(folders[4], "failed", error="no data"), queue.end(folders[5], "running")])
    run_slurm(folders, 6, QUICK)
    assert queue.arrays == [(4, None), (2, None)]
    assert states(folders) == ["done"] * 4 + ["failed", "interrupted"]
    assert Run(folders[4]).status().error == "no data"
    assert Run(folders[5]).status().error == "Slurm job 2_1 was killed by SIGKILL"
    out = capsys.readouterr().out
    assert "4 jobs submitted as Slurm job 1: " in out
    assert "6/6 interrupted" in out


def test_a_limit_on_parallel_jobs_holds_over_several_arrays(queue: Queue, folders: list[Path]) -> None:
    """It is an array's own: each waits for the one before."""
    run_slurm(folders, 6, SlurmOptions(array_parallelism=2), wait=False)
    assert queue.arrays == [(4, None), (2, 1)]
    assert states(folders) == ["waiting"] * 6


def test_what_is_in_the_queue_is_not_given_again(
    queue: Queue, folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_slurm(folders[:4], 4, QUICK, wait=False)
    queue.acts = iter([queue.end(folder, "done") for folder in folders])
    run_slurm(folders, 6, QUICK)
    assert queue.arrays == [(4, None), (2, None)]
    assert "4 of the jobs are in Slurm's queue already" in capsys.readouterr().out
    assert states(folders) == ["done"] * 6
    [first, second] = submissions(folders[0].parent)
    assert (first.job, second.job) == (1, 2)


def test_a_requeued_job_is_waited_for(queue: Queue, folders: list[Path]) -> None:
    """Between its attempts it is interrupted, and out of sight for one look."""
    [folder] = folders[:1]
    task = Task(1, 0)

    def stop() -> None:
        queue.end(folder, "interrupted", error="stopped by SIGUSR1")()

    def back() -> None:
        queue.tasks[task] = "pending"

    queue.acts = iter([stop, back, lambda: None, lambda: None, queue.end(folder, "done")])
    run_slurm([folder], 1, QUICK)
    assert states([folder]) == ["done"]
    assert queue.slept == 5


def test_a_search_asks_for_a_job_when_there_is_a_place(queue: Queue, folders: list[Path]) -> None:
    asked: list[list[str]] = []

    def stream() -> Iterator[Path]:
        for folder in folders:
            asked.append(states(folders))
            yield folder

    queue.acts = iter([queue.end(folder, "done") for folder in folders])
    run_slurm(stream(), 6, QUICK, at_once=2)
    assert [row.count("done") for row in asked] == [0, 0, 1, 2, 3, 4]
    assert queue.arrays == [(2, None), *[(1, None)] * 4]


@pytest.mark.parametrize(
    ("limit", "parallel", "expected"), [(2, 1, [(2, None)]), (None, 3, [(3, None)]), (2, None, [(4, None), (2, 1)])]
)
def test_a_search_gives_as_many_as_may_run(
    queue: Queue, folders: list[Path], limit: int | None, parallel: int | None, expected: list[tuple[int, int | None]]
) -> None:
    """A sweep, which has no `parallel`, gives all."""
    launcher = SlurmLauncher(array_parallelism=limit)
    config = OmegaConf.create({"submit": "detach", "trainer": {}})
    launcher.setup(hydra_context=None, task_function=None, config=config)  # type: ignore[arg-type]
    launcher.run(folders, 6, parallel)
    assert queue.arrays == expected


def test_a_slurm_that_does_not_answer_is_waited_for(
    queue: Queue, folders: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files tell meanwhile; that a task is missing is believed only of an answer."""

    def silent() -> dict[Task, str]:
        raise SchedulerError("Unable to contact slurm controller")

    queue.acts = iter(
        [
            lambda: monkeypatch.setattr(scheduler, "queue", silent),
            lambda: None,
            lambda: None,
            queue.end(folders[0], "done"),
            queue.end(folders[1], "running"),
            lambda: None,
            lambda: None,
            lambda: monkeypatch.setattr(scheduler, "queue", queue.look),
        ]
    )
    run_slurm(folders[:2], 2, QUICK)
    assert states(folders[:2]) == ["done", "interrupted"]
    assert capsys.readouterr().out.count("Slurm does not answer (Unable to contact") == 1
    assert queue.slept >= 9


def test_what_jobs_wait_for_that_may_not_pass_is_told_once(
    queue: Queue, folders: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("receptive.sweeps.slurm._OBSTACLES_EVERY", 0.0)
    queue.stuck = True
    queue.acts = iter([lambda: None, lambda: None, *(queue.end(folder, "done") for folder in folders[:2])])
    run_slurm(folders[:2], 2, QUICK)
    said = "2 of the jobs wait in Slurm's queue for a reason that may not pass: PartitionTimeLimit\n"
    assert capsys.readouterr().out.count(said) == 1


KILLED, CODE, CANCELLED = Ending("failed", signal=9), Ending("failed", 127), Ending("cancelled")


@pytest.mark.parametrize(
    ("state", "begun", "ending", "expected", "error"),
    [
        ("running", True, KILLED, "interrupted", "Slurm job 5_1 was killed by SIGKILL"),
        ("running", True, Ending(), "interrupted", "Slurm job 5_1 is gone"),
        ("running", True, CODE, "interrupted", "Slurm job 5_1 ended with code 127"),
        ("interrupted", True, CANCELLED, "interrupted", "its own"),
        ("failed", True, CODE, "failed", "its own"),
        ("waiting", False, CODE, "failed", "Slurm job 5_1 ended with code 127 before the run began; see 1.log"),
        ("waiting", False, CANCELLED, "interrupted", "Slurm job 5_1 was cancelled"),
        ("failed", False, CANCELLED, "interrupted", "Slurm job 5_1 was cancelled"),
        ("interrupted", False, CODE, "failed", "Slurm job 5_1 ended with code 127 before the run began; see 1.log"),
        ("done", False, CODE, "done", "its own"),
    ],
)
def test_an_end_is_recorded_that_the_job_could_not_write(
    tmp_path: Path, state: State, begun: bool, ending: Ending, expected: State, error: str
) -> None:
    """Not begun: its state is of an earlier attempt."""
    run = Run(tmp_path)
    run.write_status(Status(state=state, slurm_job="5_1" if begun else "4_1", error="its own", attempts=3))
    record_ending(run, Assignment(Task(5, 1), Path("1.log")), lambda task: ending)
    assert (run.status().state, run.status().error, run.status().attempts) == (expected, error, 3)


def test_a_run_that_another_process_holds_keeps_its_state(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_status(Status(state="running", slurm_job="5_1"))
    with run.lock():
        record_ending(run, Assignment(Task(5, 1), Path("1.log")), lambda task: KILLED)
    assert run.status().state == "running"


def test_one_command_after_the_other_submits(queue: Queue, folders: list[Path]) -> None:
    """Two at the same time would give every job twice."""
    first = hand_over(folders, QUICK, new_console(quiet=True))
    assert hand_over(folders, QUICK, new_console(quiet=True)) == first
    assert len(set(first.values())) == 6
    assert list(itertools.chain(*queue.arrays))[::2] == [4, 2]


def test_a_launcher_of_the_users_own_submits_no_single_run_either(cli: Cli, tmp_path: Path) -> None:
    own = tmp_path / "own" / "hydra" / "launcher"
    own.mkdir(parents=True)
    (own / "lab.yaml").write_text("defaults: [slurm]\npartition: gpu\n")
    code, _, err = cli("train", "--config-dir", "own", "hydra/launcher=lab")
    assert (code, "a single run is not submitted" in err) == (1, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_task_that_is_about_to_leave_runs_no_job_any_more(
    queue: Queue, folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is it known whether it comes back: the one of two did, as a requeued one does."""
    run_slurm(folders[:2], 2, QUICK, wait=False)
    queue.tasks = dict.fromkeys(queue.tasks, "completing")
    Run(folders[0]).write_status(Status(state="interrupted", slurm_job="1_0"))
    Run(folders[1]).write_status(Status(state="interrupted", slurm_job="1_1"))

    def leave() -> None:
        queue.tasks = {Task(1, 1): "pending"}

    queue.acts = iter([lambda: None, leave, *(queue.end(folder, "done") for folder in folders[:2])])
    run_slurm(folders[:2], 2, QUICK)
    assert queue.arrays == [(2, None), (1, None)]
    assert states(folders[:2]) == ["done"] * 2
    assert "2 of the jobs are about to leave Slurm's queue" in capsys.readouterr().out


def test_a_task_that_never_leaves_does_not_hold_its_job_up(
    queue: Queue, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receptive.sweeps.slurm._CLEARING", 5.0)
    run_slurm(folders[:2], 2, QUICK, wait=False)
    queue.tasks = dict.fromkeys(queue.tasks, "completing")
    run_slurm(folders[:2], 2, QUICK, wait=False)
    assert (queue.slept, queue.arrays) == (5, [(2, None), (2, None)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("-m", "seed=0,1", "submit=detach"),
            "submit=detach: these jobs end with the command; choose hydra/launcher=sl",
        ),
        (("-m", "seed=0,1", "hydra/launcher=slurm", "submit=later"), "submit=later: give wait or detach"),
        (
            ("-m", "seed=0,1", "hydra/launcher=slurm", "hydra.launcher.time=soon"),
            "hydra.launcher.time=soon: give minutes",
        ),
        (
            ("-m", "seed=0,1", "hydra/launcher=slurm", "hydra.launcher.ntasks_per_node=4", "trainer=ddp"),
            "hydra.launcher.nodes=1 and ntasks_per_node=4 start 4 processes for each job, but trainer.devices=2",
        ),
        (("hydra/launcher=slurm",), "a single run is not submitted: receptive train -m hydra/launcher=slurm"),
        (("submit=detach",), "a single run is not submitted"),
        (
            ("-m", "hydra/sweeper=optuna", "optimizer.lr=interval(0.01,0.1)", "hydra/launcher=slurm", "submit=detach"),
            "submit=detach: a search decides on a point when others have ended",
        ),
    ],
)
def test_what_cannot_be_submitted_is_said_before_anything_is_written(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = cli("train", *arguments)
    assert code == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []
