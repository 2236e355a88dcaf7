"""A finished run on images of one's own: classes with probabilities, or masks in the images' own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from receptive.build import Experiment, load_weights, rebuild
from receptive.data.images import Mode, image_files, read_image
from receptive.data.source import Target
from receptive.errors import InputError
from receptive.figures.overlay import overlay, palette_mask
from receptive.files import write_csv
from receptive.inference import Predictor
from receptive.runs import Run, shown

MOST_ROWS = 20  # of the console's table


@dataclass(frozen=True)
class Prediction:
    """Of one image.

    Args:
        name: of the file, below the folder that was given.
        shares: class name -> its probability; of a mask: the part of the pixels that it takes.
    """

    name: str
    shares: dict[str, float]

    @property
    def best(self) -> str:
        """The class with the largest share."""
        return max(self.shares, key=lambda name: self.shares[name])


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


def predict(
    run: Run,
    source: Path,
    output: Path,
    console: Console,
    *,
    checkpoint: str = "best",
    batch_size: int | None = None,
    overlays: bool = True,
) -> Predictions:
    """Predict every image and write predictions.csv, of a segmentation also masks/ and overlays/.

    A mask is a PNG of the image's own size whose pixels are the numbers of the classes, with a palette to be seen.

    Args:
        run: the folder of a run that has saved a checkpoint.
        source: an image, or a folder: all images below it.
        output: folder, made where it does not exist; files of the same names are replaced.
        console: shows a progress bar if it is a terminal.
        checkpoint: "best" or "last".
        batch_size: images at once; None: the run's data.eval_batch_size.
        overlays: of a segmentation, also images with the masks on them.

    Raises:
        InputError: run or input cannot be used, or the output not be written.
    """
    files = image_files(source, output)
    experiment = rebuild(run.config(), run.result())
    experiment.trainer.apply_to_process()
    load_weights(experiment.task, run, checkpoint)
    size = batch_size or experiment.data.eval_batch_size
    predictor = Predictor(experiment.task, experiment.trainer, size)
    predictions: list[Prediction] = []
    skipped: list[str] = []
    names = list(files)
    batches = [names[start : start + size] for start in range(0, len(names), size)]
    try:
        output.mkdir(parents=True, exist_ok=True)
        try:
            for batch in track(batches, "predicting", console=console, transient=True, disable=not console.is_terminal):
                images, unreadable = _read({name: files[name] for name in batch}, experiment.data.facts.mode)
                skipped += unreadable
                if images:
                    predictions += _predict_batch(experiment, predictor, images, output, overlays)
        finally:  # after Ctrl-C too: what was predicted is not lost
            _write_table(predictions, experiment.data.facts.class_names, output / "predictions.csv")
    except OSError as error:
        raise InputError(f"output={output} cannot be written: {error}") from None
    return Predictions(predictions, skipped, experiment.data.facts.target)


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
    experiment: Experiment, predictor: Predictor, images: dict[str, Image.Image], output: Path, overlays: bool
) -> list[Prediction]:
    data = experiment.data
    names = data.facts.class_names
    probabilities = predictor(data.inputs(list(images.values())))
    if data.facts.target == "label":
        return [
            Prediction(name, dict(zip(names, shares, strict=True)))
            for name, shares in zip(images, probabilities.tolist(), strict=True)
        ]
    predictions = []
    for (name, image), scores in zip(images.items(), probabilities, strict=True):
        classes = _classes_in_size(scores, image.size)
        _save(palette_mask(classes), output / "masks" / f"{name}.png")
        if overlays:
            _save(overlay(image, classes), output / "overlays" / f"{name}.png")
        counts = np.bincount(classes.ravel(), minlength=len(names)) / classes.size
        predictions.append(Prediction(name, dict(zip(names, counts.tolist(), strict=True))))
    return predictions


def _classes_in_size(probabilities: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """From (C, h, w) to the most probable class of each pixel of an image of (width, height) pixels."""
    resized = F.interpolate(probabilities.unsqueeze(0), (size[1], size[0]), mode="bilinear", align_corners=False)
    classes: NDArray[np.uint8] = resized.squeeze(0).argmax(dim=0).to(torch.uint8).numpy()
    return classes


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
    console.print(table)
    if len(images) > MOST_ROWS:
        console.print(f"and {len(images) - MOST_ROWS} more")
    kinds = "predictions.csv" + (", masks" if masks else "") + (", overlays" if masks and overlays else "")
    console.print(f"{kinds}: {shown(output)}", highlight=False, soft_wrap=True)
