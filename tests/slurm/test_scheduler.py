"""What Slurm's commands say, read."""

import os

import pytest
from tests.slurm.conftest import Fake

from receptive.slurm import scheduler
from receptive.slurm.scheduler import Ending, SchedulerError, Task


def test_the_queue_holds_the_tasks_of_arrays_alone(fake: Fake) -> None:
    calls = fake("squeue", 'printf "12 0 RUNNING\\n12 3 PENDING\\n14 N/A RUNNING\\n"')
    assert scheduler.queue() == {Task(12, 0): "running", Task(12, 3): "pending"}
    assert "--array" in calls.read_text()
    assert f"--user {os.getuid()} " in calls.read_text()
    assert str(Task(12, 3)) == "12_3"


def test_what_a_user_likes_to_see_of_the_queue_changes_nothing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    fake("squeue", 'echo "12 0 ${SQUEUE_STATES:-PENDING}"')
    assert scheduler.queue() == {Task(12, 0): "pending"}


def test_reasons_to_wait_that_may_not_pass(fake: Fake) -> None:
    rows = [
        "12 0 Resources",
        "12 1 PartitionTimeLimit",
        "12 2 PartitionTimeLimit",
        "13 0 JobHeldUser",
        "14 N/A BadConstraints",
    ]
    fake("squeue", *(f'echo "{row}"' for row in rows))
    assert scheduler.obstacles({Task(12, index) for index in range(3)}) == {"PartitionTimeLimit": 2}


def test_an_array_is_found_by_its_name(fake: Fake) -> None:
    fake("squeue", 'case "$*" in *"--name lr-12ab"*) printf "77\\n77\\n";; esac')
    assert scheduler.job_named("lr-12ab") == 77
    assert scheduler.job_named("other") is None


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ("FAILED", "1:0", "ended with code 1"),
        ("FAILED", "0:9", "was killed by SIGKILL"),
        ("FAILED", "0:53", "was killed by signal 53"),  # what Slurm gives where it cannot open the task's log
        ("CANCELLED", "0:15", "was cancelled"),
        ("TIMEOUT", "0:15", "ran into its time limit"),
        ("OUT_OF_MEMORY", "0:125", "ended as out of memory"),
        ("NODE_FAIL", "1:0", "ended as node fail"),
        ("COMPLETED", "0:0", "ended with code 0"),
    ],
)
def test_how_a_task_ended(fake: Fake, state: str, code: str, said: str) -> None:
    """Asked of scontrol; of sacct where it has forgotten; the latter tells who cancelled, too."""
    fake("scontrol", f'echo "JobId=9 JobState={state} Reason=None Command=/a b ExitCode={code} RunTime=00:00:03"')
    fake("sacct", "exit 1")
    assert str(scheduler.ending(Task(9, 0))) == said
    fake("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert scheduler.ending(Task(9, 0)) == Ending()
    assert str(Ending()) == "is gone"
    fake("sacct", f'echo "{state} by 1000|{code}"')
    assert str(scheduler.ending(Task(9, 0))) == said


def test_the_largest_array(fake: Fake) -> None:
    scheduler.largest_array.cache_clear()
    fake("scontrol", 'printf "Configuration data\\nMaxArraySize            = 1001\\nMaxJobCount = 5\\n"')
    assert scheduler.largest_array() == 1001
    scheduler.largest_array.cache_clear()
    fake("scontrol", "echo nothing")
    with pytest.raises(SchedulerError, match="MaxArraySize"):
        scheduler.largest_array()
    scheduler.largest_array.cache_clear()


def test_slurms_own_words_are_passed_on(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("scancel", "printf 'scancel: error: one\\nand two\\n' >&2; exit 3")
    with pytest.raises(SchedulerError, match="scancel: error: one; and two"):
        scheduler.cancel([1, 2])
    fake("scancel", "exit 3")
    with pytest.raises(SchedulerError, match="scancel ended with code 3"):
        scheduler.cancel([1])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SchedulerError, match=r"squeue is not installed here.*login node"):
        scheduler.queue()


def test_a_silent_slurm_is_not_waited_for_for_ever(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_PATIENCE", 0.2)
    fake("squeue", "exec sleep 5")
    with pytest.raises(SchedulerError, match="squeue did not answer within 0 s"):
        scheduler.queue()
