"""Arrays as folders."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.slurm.conftest import Fake

from receptive.runs import Run, Status
from receptive.signals import Interrupted, listening
from receptive.slurm import scheduler
from receptive.slurm.options import SlurmOptions
from receptive.slurm.scheduler import SchedulerError, Task
from receptive.slurm.submissions import Submission, adopt_lost, assigned, script, submissions, submit, submitting


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sweep's folder with a name that shells and sbatch would take apart."""
    folder = tmp_path / "a \"b\" %j 'ü'"
    folder.mkdir()
    return folder


def jobs(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).mkdir(exist_ok=True)
    return [root / name for name in names]


def test_what_sbatch_takes_is_known_by_folder(root: Path, fake: Fake) -> None:
    """A job that is given again has the newer task."""
    calls = fake(
        "sbatch", f"cat >/dev/null; echo $((100 + $(wc -l <{shlex.quote(str(root.parent / 'sbatch.calls'))})))"
    )
    folders = jobs(root, "one", "two", "three")
    with submitting(root) as lock:
        first = submit(folders, root, SlurmOptions(), lock, None)
        second = submit(folders[1:2], root, SlurmOptions(), lock, None)
    for call, each in zip(calls.read_text().splitlines(), (first, second), strict=True):
        assert call.startswith(f"--parsable --job-name={each.name} ")  # SBATCH_JOB_NAME is not to rename it
        assert call.endswith(f" {each.place / 'job.sh'}")
    assert [each.job for each in submissions(root)] == [101, 102]
    given = assigned(root)
    assert {folder.name: str(given[folder].task) for folder in folders} == {
        "one": "101_0",
        "two": "102_0",
        "three": "101_2",
    }
    assert given[folders[2]].log == first.place / "2.log"


def test_what_sbatch_refuses_leaves_nothing(root: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("sbatch", "printf 'sbatch: error: no such gpu\\nsbatch: error: submission failed\\n' >&2; exit 1")
    fake("squeue")
    with submitting(root) as lock:
        with pytest.raises(SchedulerError, match=r"^sbatch: error: no such gpu; submission failed$"):
            submit(jobs(root, "one"), root, SlurmOptions(), lock, None)
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(SchedulerError, match=r"not installed here.*login node"):
            submit(jobs(root, "one"), root, SlurmOptions(), lock, None)
    assert submissions(root) == []
    assert [path.name for path in (root / "slurm").iterdir()] == ["lock"]


def test_what_slurm_took_though_sbatch_failed_is_not_lost(root: Path, fake: Fake) -> None:
    """It gave up waiting for the answer; and where the queue does not answer either, the next command asks again."""
    fake("sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    fake("squeue", "echo 'slurm_load_jobs error: Socket timed out' >&2; exit 1")
    folders = jobs(root, "one")
    with submitting(root) as lock:
        with pytest.raises(SchedulerError, match=r"send/recv operation; slurm_load_jobs error"):
            submit(folders, root, SlurmOptions(), lock, None)
        fake("squeue", f"[[ $* == *--name\\ {submissions(root)[0].name}* ]] && echo 8 || true")
        adopt_lost(root)
        assert assigned(root)[folders[0]].task == Task(8, 0)
        fake("squeue", "echo 9")
        assert submit(folders, root, SlurmOptions(), lock, None).job == 9


def test_an_interrupt_leaves_sbatch_alone(root: Path, fake: Fake) -> None:
    """It is waited for, or holds the lock: the next command knows what was submitted."""
    fake("sbatch", "sleep 0.5; kill -TERM $PPID; sleep 0.5; echo 7")
    [folder] = jobs(root, "one")
    with pytest.raises(Interrupted), listening(), submitting(root) as lock:
        submit([folder], root, SlurmOptions(), lock, None)
    with submitting(root):
        assert assigned(root)[folder].task == Task(7, 0)


def test_an_array_whose_sbatch_died_is_found_by_its_name(
    root: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("sbatch", "echo 5")
    with submitting(root) as lock:
        lost = submit(jobs(root, "one"), root, SlurmOptions(), lock, None)
        (lost.place / "job_id").write_text("")
        monkeypatch.setattr(scheduler, "job_named", {lost.name: 5}.get)
        assert assigned(root) == {}
        adopt_lost(root)
    assert [given.task for given in assigned(root).values()] == [Task(5, 0)]


def test_sbatch_holds_the_lock_when_its_command_is_killed(root: Path, fake: Fake) -> None:
    """The next command waits until it is known what was submitted."""
    fake("sbatch", "kill -KILL $PPID; sleep 1; echo 7")
    [folder] = jobs(root, "one")
    code = (
        "import sys; from pathlib import Path\n"
        "from receptive.slurm.submissions import *\n"
        "root = Path(sys.argv[1])\n"
        "with submitting(root) as lock: submit([root / 'one'], root, SlurmOptions(), lock, None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], timeout=60)
    assert done.returncode == -9
    assert assigned(root) == {}
    with submitting(root):
        assert assigned(root)[folder].task == Task(7, 0)


@pytest.mark.parametrize("index", [0, 1])
def test_the_script_runs_the_tasks_own_job(root: Path, index: int) -> None:
    """Under bash, as Slurm's node would: its job is done already, and says so."""
    with submitting(root):
        pass
    folders = jobs(root, "one", "two")
    for folder, state in zip(folders, ("done", "pruned"), strict=True):
        (folder / "config.yaml").write_text("seed: 0\ntrainer: {}\n")
        Run(folder).write_status(Status(state=state))  # type: ignore[arg-type]
        Run(folder).write_result({"metrics": {}})
    place = root / "slurm" / "x"
    place.mkdir()
    (place / "folders.txt").write_text("one\ntwo\n")
    text = script(Submission(place), 2, SlurmOptions(setup=["export GREETING='set up'", "echo $GREETING"]))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(index)}
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"set up\n{('done', 'pruned')[index]}\n"), done.stderr


def test_what_the_script_asks_for(root: Path) -> None:
    place = Submission(root / "slurm" / "lr-1")
    text = script(place, 3, SlurmOptions(array_parallelism=2, requeue=False), after=41)
    assert "#SBATCH --array=0-2%2\n#SBATCH" in text
    assert "#SBATCH --dependency=afterany:41\n" in text
    assert "%%j" in text
    assert "RECEPTIVE_REQUEUE" not in text
    assert "srun" not in text
    spaced = script(place, 1, SlurmOptions(constraint="[a100 v100]"))
    assert '#SBATCH --constraint="[a100 v100]"\n' in spaced
    several = script(place, 3, SlurmOptions(ntasks_per_node=2))
    assert "exec srun --kill-on-bad-exit=1" in several
    assert "export RECEPTIVE_REQUEUE=1\n" in several


def test_a_setup_that_fails_ends_the_job(root: Path) -> None:
    text = script(Submission(root / "slurm" / "x"), 1, SlurmOptions(setup=["receptive-no-such-command"]))
    done = subprocess.run(
        ["bash"], input=text, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, timeout=60
    )
    assert done.returncode == 127
    assert "receptive-no-such-command: command not found" in done.stderr
