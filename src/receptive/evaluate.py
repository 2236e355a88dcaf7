"""The figures of a finished run again, from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from receptive.build import Checkpoint, Experiment, Place, trained
from receptive.errors import InputError
from receptive.figures.segmentation import save_single
from receptive.illustrate import mask_examples
from receptive.inference import Predictor
from receptive.logs import captured
from receptive.runs import Run
from receptive.train import test_metrics
from receptive.trainer import Device, build_trainer

Split = Literal["val", "test"]
SINGLE = "{split}_image_{place}.png"  # the figure of a single image


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is judged; conf/evaluate.yaml says what each means."""

    split: Split
    checkpoint: Checkpoint
    device: Device | None
    images: list[Place] | Place | None
    data_dir: str | None


def evaluate(run: Run, options: Options) -> dict[str, float]:
    """Metrics of a run's checkpoint over a whole split, whatever `options.images` are.

    Args:
        run: a folder with config.yaml and checkpoints.
        options: what is judged.

    Raises:
        InputError: data or checkpoint cannot be read.
    """
    experiment = _trained(run, options)
    with captured(None), TemporaryDirectory() as scratch:  # nothing is written into the run
        trainer = build_trainer(experiment.trainer, checkpoints=Path(scratch), monitor=experiment.monitor, callbacks=[])
        return test_metrics(trainer, experiment, options.split)


def evaluate_images(run: Run, options: Options) -> list[dict[str, str | float]]:
    """Single images: of a classifier true class, predicted class and its probability; of a segmentation the scores, and
    a figure of each in the run's figures/.

    Args:
        run: as in `evaluate`.
        options: what is judged, `images` among it.

    Returns:
        a row an image.

    Raises:
        InputError: there is no such image, data or checkpoint cannot be read, or a figure not be written.
    """
    split, positions = options.split, [options.images] if isinstance(options.images, int) else options.images
    if not positions:
        raise InputError(f"images={'null' if positions is None else '[]'}: holds no image")
    experiment = _trained(run, options)
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


def _trained(run: Run, options: Options) -> Experiment:
    return trained(run, options.checkpoint, options.data_dir, options.device)
