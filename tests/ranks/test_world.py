"""Runs on two processes of one machine, over gloo: what they compute, and what becomes of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests.processes import alive, descendants, end, other_ranks, started, wait_for
from tests.resume.conftest import MASKS, QUIET, folder_of, stops

from receptive.checkpoints import HEADER, header, load_state, resumable
from receptive.errors import InputError
from receptive.evaluate import Options, evaluate
from receptive.files import read_csv
from receptive.job import main, run_job
from receptive.ranks.place import Place
from receptive.ranks.team import RankLost
from receptive.ranks.world import World, _own_store
from receptive.runs import Run
from receptive.signals import Interrupted, listening
from scripts import chaos

__all__ = ["stops"]  # a fixture
Process = subprocess.Popen[str]

# 237 held-out images: 119 and 118, in 3 and in 2 batches
COMMON = (
    "data=digits", "data.eval_batch_size=59", "augment=[affine]", "optimizer=sgd", "optimizer.momentum=0.9",
    "scheduler=one_cycle", "trainer.precision=32-true", "trainer.ema_decay=0.9", "trainer.limit_train_batches=20",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.log_gradient_norm=true",
)  # fmt: skip
TWO = (*COMMON, "trainer=ddp", "data.batch_size=8")
ONE = (*COMMON, "data.batch_size=16")
LONG = (*TWO, "trainer.max_epochs=200")
NO_WAIT = SimpleNamespace(sleep=lambda seconds: pytest.fail("it waits"), monotonic=time.monotonic, time=time.time)


def assert_nearly_equal(one: Run, other: Run) -> None:
    """The weights after the last epoch, and the metrics of all."""
    weights = [load_state(run.checkpoints / "last.ckpt")["state_dict"] for run in (one, other)]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)
    for row, same in zip(one.metrics(), other.metrics(), strict=True):
        differing = {"seconds": 0.0, "memory_mb": 0.0}
        assert {**row, **differing} == pytest.approx({**same, **differing}, rel=1e-4)
    figures = [run.result()["metrics"] for run in (one, other)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-4)


def test_two_processes_are_one_with_the_summed_batch(tmp_path: Path) -> None:
    two, one = (folder_of(tmp_path / name, *options, net=False) for name, options in (("two", TWO), ("one", ONE)))
    assert [run_job(run, QUIET) for run in (two, one)] == ["done", "done"], two.status().error
    assert_nearly_equal(two, one)
    assert all(row["gradient_norm"] > 0 for row in two.metrics())
    assert two.result()["hardware"]["ranks"] == 2
    assert "ranks" not in one.result()["hardware"]
    assert two.result()["details"]["confusion_matrix"] == one.result()["details"]["confusion_matrix"]
    header = load_state(two.checkpoints / "last.ckpt")[HEADER]
    assert header["ranks"] == len(header["random"]) == 2
    assert {path.name for path in two.folder.iterdir()} == {path.name for path in one.folder.iterdir()}
    assert "ERROR" not in two.log_path.read_text()
    again = evaluate(two, Options(split="test", checkpoint="best", device=None, images=None, data_dir=None))
    assert again == {key: two.result()["metrics"][key] for key in again}


def job(run: Run, *command: str, more: Sequence[Run] = (), **variables: str) -> AbstractContextManager[Process]:
    """A job as a process, by itself or as another command starts it."""
    folders = (job.folder for job in (run, *more))
    return started(sys.executable, "-m", *command, "receptive.job", *folders, env={**os.environ, **variables})


def a_step(rank: int, port: int) -> dict[str, str]:
    """The variables of a process that srun has started beside another."""
    return {
        "SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank),
        "MASTER_PORT": str(port),
    }  # fmt: skip


@pytest.fixture
def port() -> int:
    """One that nobody listens on, below those that Linux gives to whoever asks for any."""
    for number in random.SystemRandom().sample(range(20_000, 32_768), 100):  # runs seed the other generator
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", number))
            return number
    pytest.fail("no port is free")


def training(run: Run) -> Callable[[], object]:
    return lambda: run.metrics_path.is_file() and len(run.metrics()) > 1


TORCHRUN = ("torch.distributed.run", "--nproc-per-node=2", "-m")


@pytest.mark.slow
def test_torchrun_starts_them_too(tmp_path: Path) -> None:
    ours, theirs = (folder_of(tmp_path / name, *TWO) for name in ("ours", "theirs"))
    assert run_job(ours, QUIET) == "done"
    with job(theirs, *TORCHRUN) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert chaos.differences(chaos.everything(ours), chaos.everything(theirs)) == []
    other = folder_of(tmp_path / "other", *TWO, "trainer.max_epochs=1")
    with job(theirs, *TORCHRUN, more=[other]) as process:  # nothing is to be done in the first
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out.split()) == (0, ["done"] * 2), err
    assert (theirs.status().attempts, other.status().attempts) == (1, 1)


@pytest.mark.slow
def test_a_held_run_is_left_alone_by_all(tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *TWO)
    with run.lock(), job(run, *TORCHRUN) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "is being run by another process" in err
    assert not run.status_path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_sruns_variables_are_enough(tmp_path: Path, rank: int, port: int) -> None:
    """Two processes as srun would start them; either comes first."""
    run, other = (folder_of(tmp_path / name, *TWO, "trainer.max_epochs=1") for name in ("run", "other"))
    with job(run, more=[other], **a_step(rank, port)) as first:
        time.sleep(1)
        with job(run, more=[other], **a_step(1 - rank, port)) as second:
            said = [process.communicate(timeout=120) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert run.state() == other.state() == "done"


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("error", "state", "cause"),
    [(InputError("no such file"), "failed", "no such file"), (Interrupted(15), "interrupted", "stopped by SIGTERM")],
    ids=["failed", "interrupted"],
)
def test_who_fails_before_all_have_met_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, error: BaseException, state: str, cause: str
) -> None:
    """Neither srun nor torchrun has to end the others."""
    monkeypatch.setattr("receptive.ranks.world._GRACE", 0.0)  # nobody to be let go first
    store = torch.distributed.HashStore()
    monkeypatch.setattr("receptive.ranks.world._store", lambda place, job: store)
    worlds = [World(Place(rank=own, ranks=2, started_by="srun"), Run(tmp_path)) for own in (0, 1)]
    worlds[0].__enter__().tell("running")
    assert worlds[1].__enter__().heard() == {"state": "running"}
    worlds[rank].__exit__(type(error), error, None)
    monkeypatch.setattr("receptive.ranks.world.time", NO_WAIT)  # there alone: other threads sleep
    with pytest.raises(RankLost, match=f"rank {rank}: {cause}") as raised:
        worlds[1 - rank].join()
    assert raised.value.state == state


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """Two ranks that srun has started, of which nothing is to be waited for."""
    store = torch.distributed.HashStore()
    monkeypatch.setattr("receptive.ranks.world._store", lambda place, job: store)
    monkeypatch.setattr("receptive.ranks.world._GRACE", 0.0)
    monkeypatch.setattr("receptive.ranks.world.time", NO_WAIT)
    return [World(Place(rank=rank, ranks=2, started_by="srun"), Run(tmp_path)).__enter__() for rank in (0, 1)]


def test_who_was_ready_and_went_is_not_met(pair: list[World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda **_: pytest.fail("it waits there"))
    pair[0].tell("running")
    pair[1].heard()
    pair[1]._store.set("ready 1", "")  # it waits for rank 0 in `join`
    stop = Interrupted(signal.SIGTERM)
    pair[1].__exit__(type(stop), stop, None)
    with pytest.raises(RankLost, match="rank 1: stopped by SIGTERM"):
        pair[0].join()


def test_a_signal_to_all_before_anything_is_told_keeps_nobody(
    pair: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Interrupted(signal.SIGTERM)

    def strike(seconds: float) -> None:
        raise stop

    with monkeypatch.context() as waiting:
        waiting.setattr("receptive.ranks.world.time", SimpleNamespace(sleep=strike, monotonic=time.monotonic))
        with pytest.raises(Interrupted):
            pair[1].heard()
    pair[1].__exit__(type(stop), stop, None)
    pair[0].__exit__(type(stop), stop, None)
    assert pair[0]._store.check(["over"])


def test_after_a_signal_rank_0_waits_for_others_no_longer_than_they_may_live(
    pair: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receptive.ranks.world._HURRY", 0.0)
    stop = Interrupted(signal.SIGTERM)
    pair[0].__exit__(type(stop), stop, None)
    assert pair[1].heard() == {"state": "failed"}


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_the_next_job_follows_one_that_failed_at_one_rank_before_all_have_met(
    rank: int, port: int, tmp_path: Path
) -> None:
    run, other = with_net(tmp_path, "AbsentNet"), folder_of(tmp_path / "other", *TWO, "trainer.max_epochs=1")
    with (
        job(run, more=[other], ABSENT_AT=str(rank), **a_step(0, port)) as first,
        job(run, more=[other], ABSENT_AT=str(rank), **a_step(1, port)) as second,
    ):
        said = [process.communicate(timeout=120) for process in (first, second)]
    assert (first.returncode, second.returncode) == (1, 1), said
    assert (run.state(), other.state()) == ("failed", "done"), said
    assert "no net here" in (run.status().error or "")


class AbsentNet(torch.nn.Linear):
    """Cannot be built at one rank."""

    def __init__(self, *, in_channels: int, num_classes: int) -> None:
        if os.environ["SLURM_PROCID"] == os.environ["ABSENT_AT"]:
            raise ValueError("no net here")
        super().__init__(64 * in_channels, num_classes)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["all", "rank 1"])
def test_srun_gives_a_signal_to_all(whom: str, tmp_path: Path, port: int) -> None:
    """Not at once: rank 0, which asks Slurm to be requeued, takes the same signal where rank 1 alone has got it yet.

    And srun ends all where one fails: then the others must not fail before rank 0 has recorded the run's end.
    """
    run = folder_of(tmp_path / "run", *LONG)
    with job(run, **a_step(0, port)) as first, job(run, **a_step(1, port)) as second:
        wait_for(training(run), first)
        for process in (second, first) if whom == "all" else (second,):
            process.send_signal(signal.SIGUSR1)
        said = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (138, 0), said
    assert (run.state(), run.status().error) == ("interrupted", "stopped by SIGUSR1")


@pytest.mark.slow
def test_a_failure_is_recorded_before_srun_ends_all(tmp_path: Path, port: int) -> None:
    run = with_net(tmp_path, "DivergingNet")
    with job(run, **a_step(0, port)) as first, job(run, RANK="1", **a_step(1, port)) as second:
        second.communicate(timeout=60)
        assert run.status().state == "failed"
        first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, 1)
    assert str(run.status().error).startswith("the training loss is nan in epoch 1, batch 4")


@pytest.mark.slow
def test_a_worker_runs_one_after_the_other(tmp_path: Path) -> None:
    """As the packed launcher feeds it: folders on stdin, of runs on two devices and on one."""
    runs = [folder_of(tmp_path / str(n), *kind, "trainer.max_epochs=1") for n, kind in enumerate((TWO, ONE, TWO))]
    worker = subprocess.run(
        [sys.executable, "-m", "receptive.job"],
        input="".join(f"{run.folder}\n" for run in runs), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (worker.returncode, worker.stdout.split()) == (0, ["done"] * 3), worker.stderr
    assert [run.result()["hardware"].get("ranks") for run in runs] == [2, None, 2]


@pytest.mark.slow
def test_a_segmentation(tmp_path: Path) -> None:
    """Its scores of single images are of one process; three images are held out, two and one."""
    common = (*MASKS, "task.loss=cross_entropy", "trainer.precision=32-true", "trainer.max_epochs=2")
    common += (
        "model.norm=none",
        "optimizer=sgd",
        "data.eval_batch_size=1",
        "record=activations",
        "trainer.early_stopping_patience=1",
    )
    two = folder_of(tmp_path / "two", *common, "trainer=ddp", "data.batch_size=1", net=False)
    one = folder_of(tmp_path / "one", *common, net=False)
    assert [run_job(run, QUIET) for run in (two, one)] == ["done", "done"], two.status().error
    assert_nearly_equal(two, one)
    scores = [[float(row["f1"]) for row in read_csv(run.test_images_path)] for run in (two, one)]
    assert scores[0] == pytest.approx(scores[1], abs=0.01)
    with np.load(two.test_masks_path) as found:
        assert len(found["masks"]) == len(scores[0]) == 4
    assert {path.name for path in two.folder.iterdir()} == {path.name for path in one.folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("chain", [(4,), (19, 25)], ids=str)
def test_stopped_and_resumed_it_ends_where_it_would_have_ended(
    chain: tuple[int, ...], stops: list[int], tmp_path: Path
) -> None:
    """With dropout, which differs between the processes; a signal is acted on in steps 16, 32 and at an epoch's end."""
    straight, stopped = (folder_of(tmp_path / name, *TWO) for name in ("straight", "stopped"))
    assert run_job(straight, QUIET) == "done"
    stops += chain
    for _ in chain:
        with pytest.raises(Interrupted):
            run_job(stopped, QUIET)
    assert run_job(stopped, QUIET) == "done"
    assert chaos.differences(chaos.everything(straight), chaos.everything(stopped)) == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_goes_on(victim: int, tmp_path: Path) -> None:
    options = (*TWO, "trainer.max_epochs=20", "trainer.checkpoint_steps=16")
    straight, killed = (folder_of(tmp_path / name, *options) for name in ("straight", "killed"))
    assert run_job(straight, QUIET) == "done"
    with job(killed) as process:
        wait_for(training(killed), process)
        [other] = other_ranks(process.pid)
        os.kill((process.pid, other)[victim], signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        wait_for(lambda: not alive(other), what="the other process ends", seconds=15)
    assert killed.state() == "interrupted"
    if victim == 1:
        assert process.returncode == 1
        assert killed.status().error == "rank 1 was killed by SIGKILL"
        assert "rank 1 was killed by SIGKILL" in err
    assert run_job(killed, QUIET) == "done"
    assert chaos.differences(chaos.everything(straight), chaos.everything(killed)) == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_of_torchruns_is_killed(victim: int, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *LONG)
    with job(run, *TORCHRUN) as process:
        wait_for(training(run), process)
        ranks = sorted(descendants(process.pid))
        pids = [run.status().pid, *(pid for pid in ranks if pid != run.status().pid)]
        os.kill(pids[victim] or 0, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert run.state() == "interrupted"
    assert not [pid for pid in ranks if alive(pid)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_rank_0_stops_all(number: signal.Signals, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *LONG)
    with job(run) as process:
        wait_for(training(run), process)
        [other] = other_ranks(process.pid)
        before = chaos.saved_at(run)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert not alive(other)
    assert process.returncode == 128 + number
    assert (run.state(), run.status().error) == ("interrupted", f"stopped by {number.name}")
    assert chaos.saved_at(run) > before


@pytest.mark.parametrize("when", ["the store", "the other"])
def test_a_signal_while_rank_0_starts_another_leaves_none_behind(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody is waited for that cannot come."""
    world = World(Place(rank=0, ranks=2, started_by="us"), Run(tmp_path))
    begun: list[Process] = []

    def store() -> Any:
        if when == "the store":
            os.kill(os.getpid(), signal.SIGTERM)
        return _own_store()

    def start(*arguments: Any) -> Process:
        begun.append(subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        if when == "the other":
            os.kill(os.getpid(), signal.SIGTERM)
        return begun[0]

    monkeypatch.setattr("receptive.ranks.world._own_store", store)
    monkeypatch.setattr("receptive.ranks.team._start", start)
    monkeypatch.setattr("receptive.ranks.world.time", NO_WAIT)
    try:
        with pytest.raises(Interrupted), listening(), world:
            world.tell("running")
        assert [process.returncode for process in begun] == [-signal.SIGKILL]
    finally:
        for process in begun:
            end(process)


@pytest.mark.parametrize(
    ("error", "met", "failed", "parting"),
    [
        (None, True, False, "wait"),
        (None, True, True, "kill"),
        (Interrupted(15), True, False, "ask"),
        (Interrupted(15), True, True, "kill"),  # they may wait for what never comes
        (Interrupted(15), False, False, "kill"),
        (OSError("full"), True, False, "kill"),
    ],
)
def test_what_becomes_of_the_others(
    error: BaseException | None, met: bool, failed: bool, parting: str, tmp_path: Path
) -> None:
    world = World(Place(rank=0, ranks=2, started_by="us"), Run(tmp_path))
    told: list[str] = []
    world._team = SimpleNamespace(end=told.append)  # type: ignore[assignment]
    world._told, world._met, world._failed = True, met, failed
    world.__exit__(type(error) if error else None, error, None)
    assert told == [parting]


@pytest.mark.slow
def test_a_signal_while_rank_0_imports_stops_it(tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *LONG)
    for attempt in range(1, 5):
        with job(run) as process:
            wait_for(lambda attempt=attempt: run.status().attempts == attempt, process)  # type: ignore[misc]
            time.sleep(attempt * 0.7)
            others = descendants(process.pid)
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=60)
            assert not [pid for pid in others if alive(pid)]
        assert (process.returncode, run.state()) == (143, "interrupted"), (attempt, run.status(), told)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 4.0])
def test_a_signal_while_the_other_rank_starts_stops_both(seconds: float, tmp_path: Path) -> None:
    """It is not waited for until it has imported all that it needs."""
    run = folder_of(tmp_path / "run", *LONG)
    with job(run) as process:
        wait_for(lambda: other_ranks(process.pid), process)
        [other] = other_ranks(process.pid)
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=25)
        assert not alive(other)
    assert (process.returncode, run.state()) == (143, "interrupted"), (run.status(), told)


def with_net(folder: Path, name: str) -> Run:
    run = folder_of(folder / "run", *LONG)
    config = run.config()
    config.model = {"_target_": f"{__name__}.{name}"}
    OmegaConf.save(config, run.config_path)
    return run


@pytest.mark.slow
def test_a_fault_of_another_rank_is_told(tmp_path: Path) -> None:
    """As that it cannot read a file that rank 0 has read."""
    run = with_net(tmp_path, "FaultyNet")
    with job(run) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert run.status().state == "failed"
    assert run.status().error == "rank 1: ValueError: not here"
    assert "ValueError: not here" in run.log_path.read_text()


class FaultyNet(torch.nn.Linear):
    """Works at rank 0 alone."""

    def __init__(self, *, in_channels: int, num_classes: int) -> None:
        super().__init__(64 * in_channels, num_classes)
        self.calls = itertools.count()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if os.environ.get("RANK") == "1" and next(self.calls) == 30:
            raise ValueError("not here")
        return super().forward(images.flatten(1))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_on_one_process_fails_all(tmp_path: Path) -> None:
    run = with_net(tmp_path, "DivergingNet")
    with job(run) as process:
        process.communicate(timeout=60)
    assert (process.returncode, run.status().state) == (1, "failed")
    assert run.status().error == (
        "the training loss is nan in epoch 1, batch 4: try a smaller optimizer.lr or trainer.gradient_clip_val=1"
    )


class DivergingNet(FaultyNet):
    """Gives NaN at rank 1 alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output = torch.nn.Linear.forward(self, images.flatten(1))
        if os.environ.get("RANK") == "1" and self.training and next(self.calls) == 3:
            return output * float("nan")
        return output


def test_a_run_on_other_devices_starts_anew(tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", *ONE, "trainer.max_epochs=1", "trainer.limit_train_batches=2")
    assert run_job(run, QUIET) == "done"
    known = load_state(run.checkpoints / "last.ckpt")[HEADER]
    checkpoint, messages = resumable(run, header(known["fingerprint"], known["code"], 2))
    assert checkpoint is None
    assert "is of a run on 1 devices, this is one on 2" in messages[0]


def test_a_mismatch_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder_of(tmp_path / "run", *ONE)
    given: dict[str, Any] = {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}
    for key, value in given.items():
        monkeypatch.setenv(key, str(value))
    assert main([str(run.folder)], sys.stdout) == 1
    assert "torchrun has started 2" in capsys.readouterr().out.replace("\n", " ")
    assert not run.status_path.exists()
