"""`python -m receptive.job [FOLDER ...]`: run the jobs whose folders are named as arguments or, a line each, on stdin.

A job is a folder with a frozen config.yaml. Nothing is composed here. On stdin a line is answered on stdout with the
job's state, so that a worker can be fed one job after the other. The exit code is 0 when all are done or pruned.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

from omegaconf import DictConfig
from rich.console import Console

from receptive import config as configs
from receptive.console import new_console
from receptive.errors import InputError, NonFiniteLoss
from receptive.logs import captured
from receptive.ranks.place import is_first, place_of
from receptive.ranks.world import World, end_with_leader
from receptive.runs import ENDED_WELL, Run, State, Status, open_run
from receptive.signals import Interrupted, hold, listening, postponed
from receptive.slurm.inside import may_requeue, requeue, slurm_job
from receptive.source_code import code_hash
from receptive.tracking.identity import id_of_agent, new_id
from receptive.tracking.mirrors import MIRRORS
from receptive.tracking.options import wandb_options


def run_job(run: Run, console: Console) -> State:
    """Run the job of a folder and record how it ended; gives "done", "pruned" or "failed".

    Of a run on several devices this is one of its processes: rank 0 records; "interrupted" where another was killed,
    and of another rank where all have stopped together.

    Raises:
        Busy: another process runs it.
        InputError: this process is not one that the config asks for, or is another than rank 0 and failed.
        Interrupted: a signal came; the state is recorded, or it is said why that cannot be.
        OSError: not even the state could be written.
    """
    place = place_of(open_run(run.folder, "job").config().trainer)
    with World(place, run) as world:
        return _lead(run, console, world) if place.rank == 0 else _follow(run, world)


def _lead(run: Run, console: Console, world: World) -> State:
    with run.lock(slurm_job()):
        config = run.config()
        before = run.status()
        if (state := run.state()) in ENDED_WELL:
            world.tell(state)
            return state
        status = Status(
            state="running",
            fingerprint=before.fingerprint or configs.fingerprint(config),
            code=code_hash(config.get("target_prefixes")),
            attempts=before.attempts + 1,
            started=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            slurm_job=slurm_job(),
            wandb_id=before.wandb_id,
        )
        run.write_status(status)
        stopped = False
        try:
            with captured(run.log_path):
                status.state = _train(config, run, status, console, world)
        except Interrupted as stop:
            status.state, status.error, stopped = "interrupted", str(stop), True
            raise
        except Exception as error:
            with postponed():  # until it is known what is to be recorded
                lost = world.cause_of(error)
                status.state, status.error = (lost.state, str(lost)) if lost else ("failed", explain(error))
        finally:
            try:
                _record_end(run, status)
            except OSError as error:
                if not stopped:
                    raise
                console.print(explain(error))  # the process has to stop all the same
        return status.state


def _record_end(run: Run, status: Status) -> None:
    """Write how a run ended; raises OSError where that cannot be done."""
    status.ended = time.time()
    if not run.folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the run's folder has vanished while it ran", str(run.folder))
    run.write_status(status)
    MIRRORS.end(run, status.state)


def _follow(run: Run, world: World) -> State:
    try:
        told = world.heard()
        if told["state"] != "running":
            return cast(State, told["state"])
        from receptive.train import follow  # torch only now

        return "done" if follow(run, world, told) else "interrupted"
    except Exception as error:
        raise InputError(explain(error)) from error


def explain(error: BaseException) -> str:
    """An error in a line: its own words, after its kind where those alone would not be understood."""
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    known = isinstance(error, (InputError, OSError, NonFiniteLoss))
    return words if known else f"{type(error).__name__}: {words}"


def _train(config: DictConfig, run: Run, status: Status, console: Console, world: World) -> State:
    from receptive.callbacks.interruption import Interruption  # torch only now
    from receptive.checkpoints import header, remove_strays, resumable
    from receptive.train import train

    # of the config as it lies there: status.json keeps that of a config which was changed by hand since
    origin = header(configs.fingerprint(config), status.code, world.place.ranks)
    remove_strays(run.checkpoints)
    checkpoint, messages = resumable(run, origin)
    for message in messages:
        console.print(message)
    if checkpoint is None:
        if messages:
            console.print("the run starts anew")
        if run.metrics_path.is_file() and run.metrics_path.stat().st_size:
            status.wandb_id = None  # W&B may have these epochs already, and takes none twice
        run.clear()
    if wandb_options(configs.plain(config)) is not None:
        status.wandb_id = id_of_agent(run) or status.wandb_id or new_id(status.fingerprint)
        run.write_status(status)
        MIRRORS.begin(run, Path(config.paths.output_dir), console)
    interruption = Interruption()
    with listening(interruption.receive):
        try:
            world.tell("running", checkpoint=checkpoint and str(checkpoint), origin=origin)
            run.write_result(result := train(config, run, interruption, console, origin, checkpoint, world))
        except BaseException:
            logging.getLogger(__name__).error("the run ended with\n%s", traceback.format_exc())
            raise
    return "pruned" if "pruned" in result else "done"


def main(arguments: Sequence[str], answers: TextIO) -> int:
    """Run the folders named in `arguments`, or on stdin; gives the exit code, 0 when all are done or pruned.

    After a signal it is 128 + its number; of the processes that srun has started together, of the first alone.

    Args:
        arguments: folders; none: a folder a line is read from stdin.
        answers: gets a line for each job, its state, or "failed" and the cause when not even that could be recorded.
    """
    with listening(hold):
        code = _run_all(arguments, answers, new_console(file=sys.stderr))
        MIRRORS.dismiss()
        return code


def _run_all(arguments: Sequence[str], answers: TextIO, console: Console) -> int:
    code, first = 0, is_first()
    try:
        for line in arguments or (line.rstrip("\n") for line in sys.stdin):
            run = Run(Path(line))
            try:
                answer: str = run_job(run, console)
            except (InputError, OSError) as error:
                answer = f"failed {explain(error)}"
            if not (first or answer.startswith("failed")):  # its part is done, rank 0 tells how the run ended
                continue
            if answer not in ENDED_WELL:
                code = 1
                cause = run.status().error if answer in ("failed", "interrupted") else answer
                console.print(f"{line}: {cause}")
            print(answer, file=answers, flush=True)
    except Interrupted as stop:
        MIRRORS.dismiss()
        if first and may_requeue(stop.signal):
            with listening(lambda number: None):  # Slurm stops what it requeues
                said = _requeue(run)
            console.print(said)
        return stop.exit_code
    return code


def _requeue(run: Run) -> str:
    """Go on in the same Slurm job, if this attempt came any further; gives what is to be said."""
    status, last = run.status(), run.checkpoints / "last.ckpt"
    if last.is_file() and last.stat().st_mtime >= (status.started or 0.0):
        return requeue()
    status.error = "the time limit came before anything was saved: give more in hydra.launcher.time"
    with contextlib.suppress(OSError):  # of a folder that cannot be written it has been said
        run.write_status(status)
    return status.error


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be read as an answer
    end_with_leader()
    sys.exit(main(sys.argv[1:], channel))
