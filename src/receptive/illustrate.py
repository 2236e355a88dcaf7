"""The figures of a run, drawn into its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from receptive.build import Experiment
from receptive.errors import InputError
from receptive.figures.confusion import save_confusion_matrix
from receptive.figures.history import save_history
from receptive.figures.networks import save_training
from receptive.figures.segmentation import Example, save_examples
from receptive.files import read_csv
from receptive.inference import Predictor
from receptive.runs import Run
from receptive.tasks.segmentation import SegmentationTask
from receptive.tasks.segmentation_metrics import SCORES, predicted_classes

MOST_EXAMPLES = 8


def illustrate(
    experiment: Experiment, run: Run, rows: Sequence[dict[str, float]], best_epoch: int, details: dict[str, Any]
) -> None:
    """Draw the figures of a trained run below its folder's figures/.

    Of a tested classifier its confusion matrix; of a segmentation how loss and score went, and if it was tested the
    first, the worst and the best test images. Of a run with record=activations how the layers went.

    Args:
        experiment: with the weights that were tested.
        run: the folder.
        rows: one an epoch.
        best_epoch: the epoch that the weights are from.
        details: of the test; {} where there was none.

    Raises:
        InputError: a figure cannot be written.
    """
    facts = experiment.data.facts
    try:
        run.figures.mkdir(exist_ok=True)
        if facts.target == "mask":  # drawn for every small classifier of a sweep it would be felt
            save_history(rows, SegmentationTask.SCORE, best_epoch, run.figures / "history.png")
        if run.activations_path.is_file():
            save_training(read_csv(run.activations_path), run.figures / "activations.png")
        if not details:
            return
        if facts.target == "label":
            save_confusion_matrix(details["confusion_matrix"], facts.class_names, run.figures / "confusion_matrix.png")
        else:
            _draw_masks(experiment, details, run.figures)
    except OSError as error:
        raise InputError(f"{run.figures} cannot be written: {error}") from None


def _draw_masks(experiment: Experiment, details: dict[str, Any], folder: Path) -> None:
    size = experiment.data.sizes()["test"]
    chosen = {
        "examples": ("the first test images", list(range(min(MOST_EXAMPLES, size)))),
        "worst": ("the test images with the smallest F1", [image["index"] for image in details["worst"]]),
        "best": ("the test images with the largest F1", [image["index"] for image in details["best"]]),
    }
    for name, (title, positions) in chosen.items():
        if positions:
            examples = mask_examples(experiment, "test", positions[:MOST_EXAMPLES])
            save_examples(examples, title, folder / f"{name}.png")


def mask_examples(experiment: Experiment, split: Literal["val", "test"], positions: Sequence[int]) -> list[Example]:
    """Images of a split, each with mask, prediction and scores.

    Args:
        experiment: trained network and data.
        split: "val" or "test".
        positions: places in the split, counted from 0.

    Raises:
        InputError: there is no such image.
    """
    task, data = experiment.task, experiment.data
    assert isinstance(task, SegmentationTask)
    found = data.examples(split, positions)
    predicted = predicted_classes(Predictor(task, experiment.trainer, data.eval_batch_size)(found.inputs))
    scores = task.scores(predicted, found.targets).tolist()
    return [
        Example(name, dict(zip(SCORES, row, strict=True)), *(array.cpu().numpy() for array in arrays))
        for name, row, *arrays in zip(found.names, scores, found.pixels, found.targets, predicted, strict=True)
    ]
