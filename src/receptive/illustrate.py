"""The figures of a run, drawn into its folder."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from receptive.build import Experiment
from receptive.errors import InputError
from receptive.figures.confusion import save_confusion_matrix
from receptive.figures.feature_maps import save_first_layers
from receptive.figures.history import save_history
from receptive.figures.networks import save_training
from receptive.figures.segmentation import Example, save_examples
from receptive.files import read_csv
from receptive.inference import Predictor
from receptive.recording.layers import label_of, layers_of, outputs_of
from receptive.runs import Run
from receptive.tasks.segmentation import SegmentationTask
from receptive.tasks.segmentation_metrics import SCORES, predicted_classes

MOST_EXAMPLES = 8
FEW_IMAGES, FIRST_LAYERS = 4, 4  # of feature_maps.png


def illustrate(
    experiment: Experiment,
    run: Run,
    rows: Sequence[dict[str, float]],
    best_epoch: int,
    details: dict[str, Any],
    *,
    examples: bool = False,
    feature_maps: bool = False,
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
        examples: keep the test images that are drawn as arrays too, in examples.npz.
        feature_maps: draw what the first layers make of a few held-out images.

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
        if feature_maps:
            _draw_feature_maps(experiment, run.figures / "feature_maps.png")
        if not details:
            return
        if facts.target == "label":
            save_confusion_matrix(details["confusion_matrix"], facts.class_names, run.figures / "confusion_matrix.png")
        else:
            drawn = _draw_masks(experiment, details, run.figures)
            if examples:
                _save_arrays(drawn, run.examples_path)
    except OSError as error:
        raise InputError(f"{run.figures} cannot be written: {error}") from None


def _draw_masks(experiment: Experiment, details: dict[str, Any], folder: Path) -> dict[int, tuple[str, Example]]:
    """Gives place -> (group, example) of the images that are drawn."""
    size = experiment.data.counts()["test"]
    chosen = {
        "examples": ("the first test images", list(range(min(MOST_EXAMPLES, size)))),
        "worst": ("the test images with the smallest F1", [image["index"] for image in details["worst"]]),
        "best": ("the test images with the largest F1", [image["index"] for image in details["best"]]),
    }
    drawn: dict[int, tuple[str, Example]] = {}
    for name, (title, positions) in chosen.items():
        if positions:
            examples = mask_examples(experiment, "test", positions[:MOST_EXAMPLES])
            save_examples(examples, title, folder / f"{name}.png")
            group = "first" if name == "examples" else name
            for place, example in zip(positions, examples, strict=False):
                drawn.setdefault(place, (group, example))
    return drawn


def _save_arrays(drawn: Mapping[int, tuple[str, Example]], path: Path) -> None:
    """Write what `Run.examples_path` says."""
    groups, examples = zip(*drawn.values(), strict=True)
    pixels = np.stack([example.pixels for example in examples])
    np.savez_compressed(
        path,
        pixels=pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1),
        targets=np.stack([example.mask for example in examples]).astype(np.uint8),
        predicted=np.stack([example.predicted for example in examples]).astype(np.uint8),
        names=np.array([example.name for example in examples]),
        indices=np.array([*drawn]),
        f1=np.array([example.scores["f1"] for example in examples]),
        groups=np.array(groups),
    )


def _draw_feature_maps(experiment: Experiment, path: Path) -> None:
    """Of a network without maps there is no figure."""
    data, model = experiment.data, experiment.task.model
    split: Literal["val", "train"] = "val" if data.counts()["val"] else "train"
    found = data.examples(split, range(min(FEW_IMAGES, data.counts()[split])))
    predictor, layers = Predictor(experiment.task, experiment.trainer, 1), layers_of(model)
    kept = [
        outputs_of(model, layers, functools.partial(predictor.outputs, inputs.unsqueeze(0))) for inputs in found.inputs
    ]
    shown = [name for name, values in kept[0].items() if values.ndim == 3 and values[0].numel() > 1][:FIRST_LAYERS]
    if shown:
        images = [(name, pixels.numpy()) for name, pixels in zip(found.names, found.pixels, strict=True)]
        maps = [(label_of(name, layers), [own[name].numpy() for own in kept]) for name in shown]
        save_first_layers(images, maps, path)


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
