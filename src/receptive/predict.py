"""A finished run on images of one's own: classes with probabilities, or masks in the images' own size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from receptive.build import Checkpoint
from receptive.console import print_unfolded
from receptive.data.images import Mode, image_files, read_image
from receptive.data.source import Target
from receptive.errors import InputError
from receptive.figures.overlay import overlay, palette_mask
from receptive.files import write_csv
from receptive.reuse import Prediction, TrainedModel, load_run
from receptive.runs import Run, shown
from receptive.trainer import Device

MOST_ROWS = 20  # of the console's table


@dataclass(frozen=True, kw_only=True)
class Options:
    """How images are predicted; conf/predict.yaml says what each means."""

    checkpoint: Checkpoint
    device: Device | None
    batch_size: Annotated[int, Ge(1)] | None
    overlays: bool


@dataclass(frozen=True)
class Predictions:
    """Of all images.

    Args:
        images: the predictions, in the order of the names.
        skipped: a message for each file that could not be read and was left out.
        target: of the data: "label" or "mask".
    """

    images: list[Prediction]
    skipped: list[str]
    target: Target


def predict(run: Run, source: Path, output: Path, options: Options, console: Console) -> Predictions:
    """Predict every image and write predictions.csv, of a segmentation also masks/ and overlays/.

    A mask is a PNG of the image's own size whose pixels are the numbers of the classes, with a palette to be seen.

    Args:
        run: the folder of a run that has saved a checkpoint.
        source: an image, or a folder: all images below it.
        output: folder, made where it does not exist; files of the same names are replaced.
        options: how.
        console: shows a progress bar if it is a terminal.

    Raises:
        InputError: run or input cannot be used, or the output not be written.
    """
    files = image_files(source, output)
    model = load_run(run, checkpoint=options.checkpoint, device=options.device, batch_size=options.batch_size)
    model.experiment.trainer.apply_to_process()
    size = model.batch_size
    predictions: list[Prediction] = []
    skipped: list[str] = []
    names = list(files)
    batches = [names[start : start + size] for start in range(0, len(names), size)]
    try:
        output.mkdir(parents=True, exist_ok=True)
        try:
            for batch in track(batches, "predicting", console=console, transient=True, disable=not console.is_terminal):
                images, unreadable = _read({name: files[name] for name in batch}, model.facts.mode)
                skipped += unreadable
                if images:
                    predictions += _predict_batch(model, images, output, options.overlays)
        finally:  # after Ctrl-C too: what was predicted is not lost
            _write_table(predictions, model.facts.class_names, output / "predictions.csv")
    except OSError as error:
        raise InputError(f"output={output} cannot be written: {error}") from None
    return Predictions(predictions, skipped, model.facts.target)


def _read(files: dict[str, Path], mode: Mode) -> tuple[dict[str, Image.Image], list[str]]:
    """The images that can be read, and a message for each of the others."""
    images: dict[str, Image.Image] = {}
    messages = []
    for name, path in files.items():
        try:
            images[name] = read_image(path, mode)
        except InputError as error:
            messages.append(str(error))
    return images, messages


def _predict_batch(
    model: TrainedModel, images: dict[str, Image.Image], output: Path, overlays: bool
) -> list[Prediction]:
    found = []
    for prediction in model.predict_named(list(images.items())):
        if prediction.mask is not None:
            _save(palette_mask(prediction.mask), output / "masks" / f"{prediction.name}.png")
            if overlays:
                picture = overlay(images[prediction.name], prediction.mask)
                _save(picture, output / "overlays" / f"{prediction.name}.png")
        found.append(dataclasses.replace(prediction, mask=None))  # of many images they would not fit
    return found


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _write_table(predictions: Sequence[Prediction], class_names: Sequence[str], path: Path) -> None:
    rows = [
        {"image": image.name, "class": image.best} | {name: f"{share:.6f}" for name, share in image.shares.items()}
        for image in predictions
    ]
    write_csv(path, ["image", "class", *class_names], rows)


def print_predictions(predictions: Predictions, output: Path, console: Console, overlays: bool) -> None:
    """A table of the first predictions, and where all are.

    Args:
        predictions: of `predict`; one image at least.
        output: its folder.
        console: where to.
        overlays: whether they were wanted.
    """
    images, masks = predictions.images, predictions.target == "mask"
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("image", overflow="fold")
    if masks:
        for name in list(images[0].shares)[1:]:
            table.add_column(f"{name}, part of the image", justify="right")
    else:
        table.add_column("class", overflow="fold")
        table.add_column("probability", justify="right")
    for image in images[:MOST_ROWS]:
        values = list(image.shares.values())[1:] if masks else [image.shares[image.best]]
        table.add_row(image.name, *([] if masks else [image.best]), *(f"{100 * value:.2f} %" for value in values))
    print_unfolded(table, console)
    if len(images) > MOST_ROWS:
        console.print(f"and {len(images) - MOST_ROWS} more")
    kinds = "predictions.csv" + (", masks" if masks else "") + (", overlays" if masks and overlays else "")
    console.print(f"{kinds}: {shown(output)}")
