"""One run for someone who waits for it: checked, frozen into its folder, run there, its figures printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from receptive import config as configs
from receptive.console import print_unfolded
from receptive.errors import InputError
from receptive.files import write_atomically
from receptive.job import run_job
from receptive.metrics import metric_text
from receptive.ranks.place import refuse_started_by_others
from receptive.runs import ENDED_WELL, Run, open_run, shown
from receptive.signals import Interrupted
from receptive.tracking.mirrors import MIRRORS
from receptive.tracking.options import wandb_options

# the metrics in a run's last lines, those of them that there are
_SHOWN = ("loss", "accuracy", "accuracy_macro", "f1_mean", "f1_std", "f1_min", "iou_mean")


def run_single(config: DictConfig, folder: Path, console: Console) -> None:
    """Check a composed config, freeze it into a folder and run it there.

    A done or pruned run is said to be so and left alone; an interrupted or failed one is run again, but with
    rerun=none.

    Raises:
        InputError: the config cannot run (the folder is left as it was), the folder holds another config, or the run
            failed.
    """
    run, frozen = checked(config, folder)
    if left_alone(run, config.rerun, console):
        if run.state() not in ENDED_WELL:
            remove_if_empty(folder)
            return
        print_result(run, console)
        if wandb_options(configs.plain(frozen)) is not None:
            MIRRORS.tell(run, console)
        return
    if not run.locked():
        if config.rerun == "all":
            run.start_over()
        write_atomically(run.config_path, OmegaConf.to_yaml(frozen))
    _run(run, console)


def left_alone(run: Run, rerun: str, console: Console) -> bool:
    """Whether a command starts nothing in a folder, and says why: what ended well, and with rerun=none anything."""
    state = run.state()
    if state in ENDED_WELL and rerun != "all":
        said = f"is {state} already"
    elif rerun == "none":
        said = f"is {state}, and rerun=none starts nothing"
    else:
        return False
    console.print(f"{shown(run.folder)} {said}")
    return True


def checked(config: DictConfig, folder: Path, *, download: bool = True) -> tuple[Run, DictConfig]:
    """The run that a folder is or will be, and its frozen config.

    Raises:
        InputError: see `run_single`.
    """
    from receptive.check import Checker

    run, frozen = Run(folder), configs.freeze(config)
    try:
        refuse_started_by_others()
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
    remove_if_empty(empty)
    refuse_started_by_others()
    known = ("resume=", "paths.output_dir=")
    if others := [text for text in overrides if not text.startswith(known)]:
        raise InputError(f"resume={config.resume} goes on with the run's own config: leave out {', '.join(others)}")
    runs = Path(config.paths.output_dir) / "runs"
    run = _latest(runs) if config.resume == "latest" else open_run(config.resume, "resume")
    if left_alone(run, "failed", console):
        print_result(run, console)
    else:
        _run(run, console)


def _run(run: Run, console: Console) -> None:
    """Run a folder for someone who waits for it, and print its figures."""
    try:
        if (state := run_job(run, console)) not in ENDED_WELL:
            how = "the run failed" if state == "failed" else "the run was interrupted"
            raise InputError(f"{how}: {run.status().error}\nlog: {shown(run.log_path)}")
        print_result(run, console)
    except Interrupted as stop:
        stop.remedy = f"receptive train resume={shown(run.folder)} goes on"
        raise
    finally:
        MIRRORS.dismiss()


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
    print_unfolded(table, console)
    console.print(f"{result['seconds']:.1f} s, {shown(run.folder)}")
