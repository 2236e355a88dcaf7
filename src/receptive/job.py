"""`python -m receptive.job [FOLDER ...]`: run the jobs whose folders are named as arguments or, a line each, on stdin.

A job is a folder with a frozen config.yaml. Nothing is composed here. On stdin a line is answered on stdout with the
job's state, so that a worker can be fed one job after the other. The exit code is 0 when all are done or pruned.
"""

from __future__ import annotations

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

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from receptive import config as configs
from receptive.errors import InputError
from receptive.files import write_atomically
from receptive.logs import captured
from receptive.ranks import place_of, refuse_started_by_others
from receptive.runs import ENDED_WELL, Run, State, Status, metric_text, open_run, shown
from receptive.signals import Interrupted, listening
from receptive.world import World, end_with_leader

# the metrics in a run's last lines, those of them that there are
_SHOWN = ("loss", "accuracy", "accuracy_macro", "f1_mean", "f1_std", "f1_min", "iou_mean")


def run_job(run: Run, console: Console) -> State:
    """Run the job of a folder and record how it ended; gives "done", "pruned" or "failed".

    Of a run on several devices this is one of its processes: rank 0 records; "interrupted" where another was killed.

    Raises:
        Busy: another process runs it.
        InputError: this process is not one that the config asks for, or is another than rank 0 and failed.
        Interrupted: a signal came; the state is recorded.
        OSError: not even the state could be written.
    """
    place = place_of(open_run(run.folder, "job").config().trainer)
    with World(place, run) as world:
        return _lead(run, console, world) if place.rank == 0 else _follow(run, world)


def _lead(run: Run, console: Console, world: World) -> State:
    with run.lock():
        config = run.config()
        before = run.status()
        if (state := run.state()) in ENDED_WELL:
            world.tell(state)
            return state
        status = Status(
            state="running",
            fingerprint=before.fingerprint or configs.fingerprint(config),
            code=configs.code_hash(),
            attempts=before.attempts + 1,
            started=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            wandb_id=before.wandb_id,
        )
        run.write_status(status)
        try:
            with captured(run.log_path):
                status.state = _train(config, run, status, console, world)
        except Interrupted as stop:
            status.state, status.error = "interrupted", str(stop)
            raise
        except Exception as error:
            loss = world.loss(error)
            status.state, status.error = (loss.state, str(loss)) if loss else ("failed", explain(error))
        finally:
            status.ended = time.time()
            if not run.folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, "the run's folder has vanished while it ran", str(run.folder))
            run.write_status(status)
        return status.state


def _follow(run: Run, world: World) -> State:
    told = world.heard()
    if told["state"] != "running":
        return cast(State, told["state"])
    from receptive.train import follow  # torch only now

    try:
        follow(run, world, told)
    except Exception as error:
        raise InputError(explain(error)) from error
    return "done"


def explain(error: BaseException) -> str:
    """An error in a line: its own words, after its kind where those alone would not be understood."""
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    known = isinstance(error, (InputError, OSError)) or type(error).__name__ == "NonFiniteLoss"
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
        console.print(message, highlight=False, soft_wrap=True)
    if checkpoint is None:
        if messages:
            console.print("the run starts anew", highlight=False)
        run.clear()
    interruption = Interruption()
    with listening(interruption.receive):
        try:
            world.tell("running", checkpoint=checkpoint and str(checkpoint), origin=origin)
            run.write_result(result := train(config, run, interruption, console, origin, checkpoint, world))
        except BaseException:
            logging.getLogger(__name__).error("the run ended with\n%s", traceback.format_exc())
            raise
    return "pruned" if "pruned" in result else "done"


def run_single(config: DictConfig, folder: Path, console: Console) -> None:
    """Check a composed config, freeze it into a folder and run it there.

    A done or pruned run is said to be so and left alone; an interrupted or failed one is run again.

    Raises:
        InputError: the config cannot run (the folder is left as it was), the folder holds another config, or the run
            failed.
    """
    refuse_started_by_others()
    run, frozen = checked(config, folder)
    if (state := run.state()) in ENDED_WELL and config.rerun != "all":
        console.print(f"{shown(folder)} is {state} already", highlight=False, soft_wrap=True)
        print_result(run, console)
        return
    if not run.locked():
        if config.rerun == "all":
            run.start_over()
        write_atomically(run.config_path, OmegaConf.to_yaml(frozen))
    _run(run, console)
    print_result(run, console)


def checked(config: DictConfig, folder: Path, *, download: bool = True) -> tuple[Run, DictConfig]:
    """The run that a folder is or will be, and its frozen config.

    Raises:
        InputError: see `run_single`.
    """
    from receptive.check import Checker

    run, frozen = Run(folder), configs.freeze(config)
    try:
        if found := Checker(download=download).faults(frozen):
            raise InputError("\n".join(found))
        _refuse_other_config(run, frozen)
    except InputError:
        remove_if_empty(folder)
        raise
    return run, frozen


def go_on(config: DictConfig, empty: Path, overrides: Sequence[str], console: Console) -> None:
    """Go on with the run that `config.resume` names: a folder, or "latest".

    Args:
        config: as composed.
        empty: the folder that Hydra made for a run; taken away.
        overrides: of the command line.
        console: shows progress.

    Raises:
        InputError: there is no such run, other options were given, or the run failed.
    """
    refuse_started_by_others()
    remove_if_empty(empty)
    known = ("resume=", "paths.output_dir=")
    if others := [text for text in overrides if not text.startswith(known)]:
        raise InputError(f"resume={config.resume} goes on with the run's own config: leave out {', '.join(others)}")
    runs = Path(config.paths.output_dir) / "runs"
    run = _latest(runs) if config.resume == "latest" else open_run(config.resume, "resume")
    if (state := run.state()) in ENDED_WELL:
        console.print(f"{shown(run.folder)} is {state} already", highlight=False, soft_wrap=True)
    else:
        _run(run, console)
    print_result(run, console)


def _run(run: Run, console: Console) -> None:
    """Run a folder for someone who waits for it."""
    try:
        if (state := run_job(run, console)) not in ENDED_WELL:
            how = "the run failed" if state == "failed" else "the run was interrupted"
            raise InputError(f"{how}: {run.status().error}\nlog: {shown(run.log_path)}")
    except Interrupted as stop:
        stop.remedy = f"receptive train resume={shown(run.folder)} goes on"
        raise


def _latest(folder: Path) -> Run:
    """The run below `folder` that began last, of those that did not come to their end."""
    runs = [Run(path.parent) for path in folder.glob("*/config.yaml")]
    open_ones = [run for run in runs if run.state() in ("interrupted", "failed")]
    if not open_ones:
        raise InputError(f"resume=latest: no run in {shown(folder)} was interrupted")
    return max(open_ones, key=lambda run: run.status().started or 0.0)


def _refuse_other_config(run: Run, frozen: DictConfig) -> None:
    if not run.config_path.is_file():
        return
    if changes := configs.differences(run.config(), frozen):
        listed = "\n  ".join(changes)
        raise InputError(
            f"{run.folder} holds a run with another config (old -> new); choose another folder\n  {listed}"
        )


def remove_if_empty(folder: Path) -> None:
    """Take back the folders that Hydra made for a run that never was."""
    here = Path.cwd()
    for place in (folder, *folder.parents):
        if here.is_relative_to(place) or (place != folder and not place.is_relative_to(here)):
            return  # never the working folder, nor what stood outside before
        try:
            place.rmdir()
        except OSError:
            return


def print_result(run: Run, console: Console) -> None:
    """The figures of a done or pruned run, and its folder."""
    result = run.result()
    metrics = result["metrics"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    names = [name for name in _SHOWN if f"val/{name}" in metrics or f"test/{name}" in metrics]
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")

    def text(key: str) -> str:
        return metric_text(key, metrics[key]) if key in metrics else ""

    for split, where in (
        ("val", f"validation, epoch {result['best_epoch']} of {result['epochs']}"),
        ("test", "test"),
    ):
        if f"{split}/loss" in metrics:
            table.add_row(where, *(text(f"{split}/{name}") for name in names))
    console.print(table)
    console.print(f"{result['seconds']:.1f} s, {shown(run.folder)}", highlight=False, soft_wrap=True)


def main(arguments: Sequence[str], answers: TextIO) -> int:
    """Run the folders named in `arguments`, or on stdin; gives the exit code, 0 when all are done or pruned.

    Args:
        arguments: folders; none: a folder a line is read from stdin.
        answers: gets a line for each job, its state, or "failed" and the cause when not even that could be recorded.
    """
    console = Console(file=sys.stderr, markup=False)
    code = 0
    try:
        for line in arguments or (line.rstrip("\n") for line in sys.stdin):
            run = Run(Path(line))
            try:
                answer: str = run_job(run, console)
            except (InputError, OSError) as error:
                answer = f"failed {explain(error)}"
            if answer not in ENDED_WELL:
                code = 1
                cause = run.status().error if answer in ("failed", "interrupted") else answer
                console.print(f"{line}: {cause}", highlight=False, soft_wrap=True)
            print(answer, file=answers, flush=True)
    except Interrupted as stop:
        return stop.exit_code
    return code


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be read as an answer
    end_with_leader()
    sys.exit(main(sys.argv[1:], channel))
