"""`receptive activations run=FOLDER`: what the layers of one network give, in tables and figures."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Ge
from rich.console import Console

from receptive.activations import batch_norm, correlation, maps, probes, survey
from receptive.activations.context import Context
from receptive.activations.images import FileImages, Images, SplitImages
from receptive.build import Checkpoint, Experiment, Place, config_here, load_weights, rebuild, trained
from receptive.data.images import image_files
from receptive.data.module import Part
from receptive.errors import InputError
from receptive.files import absolute, read_csv, read_json, write_atomically
from receptive.inference import Predictor
from receptive.recording.layers import chosen_layers
from receptive.runs import Run
from receptive.trainer import Device

# of layers.csv, on the console
PRINTED = ("layer", "kind", "shape", "mean", "std", "mean_absolute", "zeros", "near_zeros", "dark", "blank")
REQUEST = "request.json"  # what was asked for; written last
SHEETS = "[0-9][0-9]*_*_*.png"  # as `survey.sheet` names them
# all that is written, below the output folder
WRITTEN = (
    *(REQUEST, "survey.json", "layers.csv", "channels.csv", "histograms.csv"),
    *("profile.png", "histograms.png", "channels.png", f"average_maps/{SHEETS}"),
    *("correlation.csv", "correlation.png", "probe.csv", "probe.png", "batch_norm.csv", "batch_norm.png"),
    *(f"maps/[0-9]*_*/{SHEETS}", "maps/[0-9]*_*/overview.png"),
)

Value = TypeVar("Value", int, str)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is looked at; conf/activations.yaml says what each means."""

    split: Part
    images: list[Place] | Place | None
    limit: Annotated[int, Ge(1)] | None
    input: Path | None
    layers: list[str] | str | None
    maps: list[Place] | Place
    average_maps: bool
    probe: bool
    correlation: bool
    batch_norm: bool
    histogram_images: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)]
    checkpoint: Checkpoint
    device: Device | None
    data_dir: str | None

    @property
    def places(self) -> list[int]:
        """Of the images whose maps are drawn."""
        return _listed(self.maps) or []


def inspect(run: Run, output: Path, options: Options, console: Console) -> list[survey.Row]:
    """Write tables and figures of a run's network; gives the rows of layers.csv.

    Args:
        run: a folder with config.yaml and checkpoints.
        output: folder, made where it does not exist; what an earlier call of another question has written there goes,
            other files stay.
        options: what is looked at.
        console: shows progress where it is a terminal, and a line about the statistics.

    Raises:
        InputError: run, images or layers cannot be used, an activation is NaN or infinite, or the output cannot be
            written.
    """
    context = look_at(run, output, options, console)
    if options.probe:
        probes.check(context)
    if options.batch_norm:
        batch_norm.check(context)
    maps.check(context, options.places)
    request = _request(run, options, output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not _answered(run, options, output, request):
            _clear(output)
        write_atomically(output / REQUEST, "{}\n")  # of tables that are now replaced one by one
        maps.report(context, options.places)
        rows = survey.report(context, histogram_images=options.histogram_images, average_maps=options.average_maps)
        if options.correlation:
            correlation.report(context)
        if options.probe:
            probes.report(context, options.limit)
        if options.batch_norm:
            batch_norm.report(context)
        write_atomically(output / REQUEST, json.dumps(request, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"output={output} cannot be written: {error}") from None
    return rows


def _clear(output: Path) -> None:
    """Delete what an earlier call has written: of other layers or images it would pass for this one's."""
    if not (output / REQUEST).is_file():  # nothing there is ours
        return
    for path in [path for pattern in WRITTEN for path in output.glob(pattern)]:
        path.unlink()
    for folder in (*output.glob("maps/[0-9]*_*"), output / "maps", output / "average_maps"):
        with contextlib.suppress(OSError):  # there is none, or it holds what is not ours
            folder.rmdir()


def look_at(run: Run, output: Path, options: Options, console: Console) -> Context:
    """Network and images; arguments and errors as in `inspect`."""
    if options.input is not None and options.images is not None:
        raise InputError("images= is of a split: give it without input=")
    experiment = _experiment(run, options)
    images = _images(experiment, options, output)
    if not (size := len(images)):
        raise InputError(f"{'images=[]' if options.images == [] else f'split={options.split}'}: holds no image")
    return Context(
        name=f"{run.folder.resolve().name} ({type(experiment.task.model).__name__})",
        experiment=experiment,
        predictor=Predictor(experiment.task, experiment.trainer, options.batch_size),
        layers=chosen_layers(experiment.task.model, _listed(options.layers)),
        images=images,
        described=f"{size:,} image{'s' * (size != 1)} of {options.input or options.split}",
        batch_size=options.batch_size,
        output=output,
        console=console,
    )


def default_output(run: Run, options: Options) -> Path:
    """Where tables and figures go unless one says."""
    return run.activations / ("input" if options.input is not None else options.split)


def surveyed(run: Run, options: Options, folder: Path) -> list[dict[str, str]] | None:
    """The rows of the layers.csv that `inspect` has written into a folder for the same question, if it has."""
    try:
        answered = _answered(run, options, folder, _request(run, options, folder))
        return read_csv(folder / "layers.csv") if answered else None
    except (OSError, InputError):
        return None


def _answered(run: Run, options: Options, folder: Path, request: Mapping[str, Any]) -> bool:
    """Whether the tables in a folder are of this question, and of the weights as they are."""
    checkpoint = run.checkpoints / f"{options.checkpoint}.ckpt"
    try:
        younger = checkpoint.stat().st_mtime <= (folder / REQUEST).stat().st_mtime
        return younger and read_json(folder / REQUEST) == request
    except (OSError, InputError):
        return False


def _request(run: Run, options: Options, output: Path) -> dict[str, Any]:
    """What the statistics depend on, as plain containers; raises InputError where the input is not there."""
    asked = {
        key: getattr(options, key) for key in ("split", "images", "limit", "layers", "histogram_images", "checkpoint")
    }
    if options.input is not None:
        return asked | {"input": str(options.input.resolve()), "sha256": _checksum(options.input, output)}
    data_dir = absolute(options.data_dir or run.config().paths.data_dir)
    return asked | {"input": None, "data_dir": str(data_dir)}


def _checksum(source: Path, output: Path) -> str:
    """Of names and content of one's own images."""
    checksum = hashlib.sha256()
    for name, path in image_files(source, output).items():
        checksum.update(f"{name}\0{path.stat().st_size}\0".encode())
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


def _experiment(run: Run, options: Options) -> Experiment:
    """Network and data; for one's own images the data set is read only where probes or moving averages need it."""
    if options.input is None or options.probe or options.batch_norm:
        return trained(run, options.checkpoint, options.data_dir, options.device)
    experiment = rebuild(config_here(run, options.data_dir, options.device), run.result())
    experiment.trainer.apply_to_process()
    load_weights(experiment.task, run, options.checkpoint)
    return experiment


def _images(experiment: Experiment, options: Options, output: Path) -> Images:
    if options.input is not None:
        return FileImages(experiment.data, options.input, output, options.limit)
    places = _listed(options.images)
    images = SplitImages(experiment.data, options.split, places)
    if options.limit is None or options.limit >= len(images):
        return images
    return SplitImages(experiment.data, options.split, (places or range(len(images)))[: options.limit])


def _listed(values: list[Value] | Value | None) -> list[Value] | None:
    """A single value may stand without its list."""
    return values if values is None or isinstance(values, list) else [values]
