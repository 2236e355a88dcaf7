"""The figures of a finished run again, from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from receptive.build import trained
from receptive.errors import InputError
from receptive.figures.segmentation import save_single
from receptive.illustrate import mask_examples
from receptive.inference import Predictor
from receptive.logs import captured
from receptive.runs import Run
from receptive.train import test_metrics
from receptive.trainer import build_trainer

Split = Literal["val", "test"]
SINGLE = "{split}_image_{place}.png"  # the figure of a single image


def evaluate(
    run: Run,
    *,
    split: Split = "test",
    checkpoint: str = "best",
    data_dir: str | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Metrics of a run's checkpoint.

    Args:
        run: a folder with config.yaml and checkpoints.
        split: "test" or "val".
        checkpoint: "best" or "last".
        data_dir: where the data lie now; None: where they lay when the run was trained.
        device: cpu, cuda, mps or auto; None: what the run was told.

    Raises:
        InputError: data or checkpoint cannot be read.
    """
    experiment = trained(run, checkpoint, data_dir, device)
    with captured(None), TemporaryDirectory() as scratch:  # nothing is written into the run
        trainer = build_trainer(experiment.trainer, checkpoints=Path(scratch), monitor=experiment.monitor, callbacks=[])
        return test_metrics(trainer, experiment, split)


def evaluate_images(
    run: Run,
    positions: Sequence[int],
    *,
    split: Split = "test",
    checkpoint: str = "best",
    data_dir: str | None = None,
    device: str | None = None,
) -> list[dict[str, str | float]]:
    """Single images: of a classifier true class, predicted class and its probability; of a segmentation the scores, and
    a figure of each in the run's figures/.

    Args:
        run: as in `evaluate`.
        positions: the images' places in the split, counted from 0.
        split: as in `evaluate`.
        checkpoint: as in `evaluate`.
        data_dir: as in `evaluate`.
        device: as in `evaluate`.

    Returns:
        a row an image.

    Raises:
        InputError: there is no such image, data or checkpoint cannot be read, or a figure not be written.
    """
    experiment = trained(run, checkpoint, data_dir, device)
    names = experiment.data.facts.class_names
    if experiment.data.facts.target == "label":
        found = experiment.data.examples(split, positions)
        probabilities = Predictor(experiment.task, experiment.trainer, experiment.data.eval_batch_size)(found.inputs)
        return [
            {
                "image": place,
                "class": names[true],
                "predicted": names[int(row.argmax())],
                "probability": float(row.max()),
            }
            for place, true, row in zip(positions, found.targets.tolist(), probabilities, strict=True)
        ]
    rows: list[dict[str, str | float]] = []
    for place, example in zip(positions, mask_examples(experiment, split, positions), strict=True):
        path = run.figures / SINGLE.format(split=split, place=place)
        try:
            run.figures.mkdir(exist_ok=True)
            save_single(example, names, path)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error}") from None
        rows.append({"image": place, "name": example.name, **example.scores})
    return rows
