"""What each verb does with its composed config. Everything heavy is imported within."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receptive.errors import InputError
from receptive.signals import Interrupted, listening

if TYPE_CHECKING:
    from omegaconf import DictConfig


@contextmanager
def _starting_over() -> Iterator[None]:
    """Of verbs that a signal stops, and that begin again with the same command."""
    try:
        with listening():
            yield
    except Interrupted as stop:
        stop.remedy = "the same command begins again"
        raise


def train(config: DictConfig) -> None:
    """The job of `receptive train`: check, freeze into the folder that Hydra chose, run."""
    from hydra.core.hydra_config import HydraConfig

    from receptive.console import new_console
    from receptive.single import go_on, remove_if_empty, run_single

    console = new_console()
    if config.resume is not None:
        hydra = HydraConfig.get()
        go_on(config, Path(hydra.runtime.output_dir), list(hydra.overrides.task), console)
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    if config.submit == "detach" or HydraConfig.get().launcher._target_.endswith("receptive_plugins.SlurmLauncher"):
        remove_if_empty(folder)  # Hydra has made it
        raise InputError("a single run is not submitted: receptive train -m hydra/launcher=slurm ... makes it a sweep")
    if config.dry_run is True:
        from receptive.single import checked, left_alone
        from receptive.sweeps.dry_run import tell_of_run

        run, frozen = checked(config, folder, download=False)
        remove_if_empty(folder)
        if not left_alone(run, config.rerun, console):
            tell_of_run(frozen, run, Path(config.paths.output_dir), config.rerun, console)
        return
    run_single(config, folder, console)


def evaluate(config: DictConfig) -> None:
    """The job of `receptive evaluate`."""
    from receptive.console import new_console
    from receptive.evaluate import SINGLE, Options, evaluate_images
    from receptive.evaluate import evaluate as figures_of
    from receptive.runs import open_run, shown, warn_of_unfinished
    from receptive.signatures import options_of

    run, console = open_run(config.run), new_console()
    options = options_of(Options, _values(config, "run") | {"data_dir": config.paths.data_dir})
    warn_of_unfinished(run, "figures")
    if options.images is not None:
        with _starting_over():
            rows = evaluate_images(run, options)
        _print_rows(rows, console)
        if "f1" in rows[0]:
            name = SINGLE.format(split=options.split, place="*")
            console.print(f"figures: {shown(run.figures)}/{name}")
        return
    with _starting_over():
        figures = figures_of(run, options)
    kept = run.result().get("metrics", {})
    for name, value in figures.items():
        before = f"   result.json: {kept[name]:.6f}" if name in kept else ""
        console.print(f"{name:<22} {value:.6f}{before}")


def _values(config: DictConfig, *others: str) -> dict[str, Any]:
    """A verb's own options as plain containers: all but the paths and those that are named."""
    from receptive.config import plain

    return {key: value for key, value in plain(config).items() if key not in (*others, "paths")}


def _path(value: str | None) -> Path | None:
    """A path of the command line; `~` is the home folder."""
    return None if value is None else Path(value).expanduser()


def _print_rows(rows: Sequence[dict[str, str | float]], console: Any, spare: int = 0) -> None:
    from rich.table import Table

    from receptive.console import print_unfolded

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(
            name.replace("_", " "), overflow="fold", justify="right" if isinstance(value, float) else "left"
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    print_unfolded(table, console, spare)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4f}"
    return str(value)


def predict(config: DictConfig) -> None:
    """The job of `receptive predict`."""
    from receptive.console import new_console
    from receptive.predict import Options, print_predictions
    from receptive.predict import predict as predict_images
    from receptive.runs import open_run, warn_of_unfinished
    from receptive.signatures import options_of

    options = options_of(Options, _values(config, "run", "input", "output"))
    run, console = open_run(config.run), new_console()
    output = _path(config.output) or run.folder / "predictions"
    warn_of_unfinished(run, "predictions")
    with _starting_over():
        predictions = predict_images(run, Path(config.input).expanduser(), output, options, console)
    if predictions.images:
        print_predictions(predictions, output, console, options.overlays)
    if skipped := predictions.skipped:
        listed = "\n  ".join(skipped)
        raise InputError(f"{len(skipped)} of {len(predictions.images) + len(skipped)} files were left out:\n  {listed}")


def export(config: DictConfig) -> None:
    """The job of `receptive export`."""
    from receptive.console import new_console
    from receptive.export.export import Options, print_export
    from receptive.export.export import export as write_file
    from receptive.runs import open_run, warn_of_unfinished
    from receptive.signatures import options_of

    run, output = open_run(config.run), _path(config.output)
    options = options_of(Options, _values(config, "run", "output"))
    warn_of_unfinished(run, "weights")
    with _starting_over():
        exported = write_file(run, options, output, config.paths.data_dir)
    print_export(exported, new_console())


def activations(config: DictConfig) -> None:
    """The job of `receptive activations`."""
    import dataclasses

    from receptive.activations.comparison import compare
    from receptive.activations.inspection import PRINTED, Options, default_output, inspect
    from receptive.config import plain, sweep_name
    from receptive.console import new_console
    from receptive.runs import open_run, shown, warn_of_unfinished
    from receptive.signatures import options_of

    values = _values(config, "run", "compare", "output") | {"data_dir": config.paths.data_dir}
    options = options_of(Options, values)
    options = dataclasses.replace(options, input=_path(config.input))
    if (config.run is None) == (config.compare is None):
        raise InputError("give run=FOLDER, or compare=[FOLDER,FOLDER,...]")
    console, output = new_console(), _path(config.output)
    with _starting_over():
        if config.compare is not None:
            named = plain(config)["compare"]
            folders = [str(folder) for folder in (named if isinstance(named, list) else [named])]
            output = output or Path("outputs/comparisons") / sweep_name(folders)
            rows = compare(folders, output, options, console)
        else:
            run = open_run(config.run)
            warn_of_unfinished(run, "activations")
            output = output or default_output(run, options)
            rows = [{key: row[key] for key in PRINTED} for row in inspect(run, output, options, console)]
    _print_rows(rows, console, spare=3)  # they stand in the table
    console.print(f"tables and figures: {shown(output)}")


def summary(config: DictConfig) -> None:
    """The job of `receptive summary`."""
    from omegaconf import OmegaConf

    from receptive.summary import summary as table_of

    of_train = OmegaConf.masked_copy(config, [str(key) for key in config if key != "depth"])
    print(table_of(of_train, depth=config.depth))


def status(place: str, once: bool) -> int:
    """`receptive status FOLDER_OR_STUDY [--once]`: gives 0 when it could be shown."""
    from receptive.console import new_console
    from receptive.report.places import find_folder
    from receptive.sweeps.status import watch

    watch(find_folder(place), new_console(soft_wrap=False), once=once)
    return 0


def operators(topic: str | None) -> int:
    """`receptive operators [shapes]`: the table, or the output-size formulas; gives 0 when all agrees with PyTorch."""
    from receptive.console import new_console
    from receptive.operators.shapes import print_shapes
    from receptive.operators.table import print_table

    return 0 if (print_shapes if topic == "shapes" else print_table)(new_console()) else 1


def report(place: str) -> int:
    """`receptive report FOLDER_OR_STUDY`: what a sweep writes and prints at its end, again; gives 0."""
    from receptive.console import new_console
    from receptive.report.places import find_folder
    from receptive.report.report import write_report

    write_report(find_folder(place), new_console())
    return 0


def cancel(place: str) -> int:
    """`receptive cancel FOLDER_OR_STUDY`: gives 0 when nothing runs any more."""
    from receptive.console import new_console
    from receptive.report.places import find_folder
    from receptive.sweeps.cancel import cancel as cancel_jobs

    return 0 if cancel_jobs(find_folder(place), new_console()) else 1


def studies_run() -> list[str]:
    """The names that a study may be given by, for completion."""
    from receptive.report.places import studies_run as names

    return names()


def wandb_sync(places: Sequence[str]) -> int:
    """`receptive wandb sync FOLDER_OR_STUDY...`: gives 0 when W&B has all of them."""
    from receptive.console import new_console
    from receptive.report.places import find_folder
    from receptive.tracking.sync import sync

    return 0 if sync([find_folder(place) for place in places], new_console()) else 1


def wandb_dashboard(place: str, project: str | None, entity: str | None, only_print: bool) -> int:
    """`receptive wandb dashboard FOLDER_OR_STUDY`: gives 0 when it is saved, or printed."""
    from receptive.console import new_console
    from receptive.report.places import find_folder
    from receptive.tracking.dashboard import print_dashboard, save_dashboard

    root = find_folder(place)
    if only_print:
        print_dashboard(root, project, entity)
    else:
        save_dashboard(root, project, entity, new_console())
    return 0


def wandb_sweep(method: str, metric: str | None, name: str | None, output: str, overrides: Sequence[str]) -> int:
    """`receptive wandb sweep OVERRIDE...`: gives 0 when the file is written."""
    from receptive.console import new_console
    from receptive.sweeps.agent import write_sweep

    write_sweep(Path(output), overrides, new_console(), method=method, metric=metric, name=name)
    return 0
