"""The figures of a finished run again, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytorch_lightning as pl

from receptive.build import build, load_weights
from receptive.logs import captured
from receptive.runs import Run
from receptive.train import test_metrics
from receptive.trainer import build_trainer


def evaluate(
    run: Run, *, split: str = "test", checkpoint: str = "best", data_dir: str | None = None
) -> dict[str, float]:
    """Metrics of a run's checkpoint.

    Args:
        run: a folder with config.yaml and checkpoints.
        split: "test" or "val".
        checkpoint: "best" or "last".
        data_dir: where the data lie now; None: where they lay when the run was trained.

    Raises:
        InputError: data or checkpoint cannot be read.
    """
    config = run.config()
    if data_dir is not None:
        config.paths.data_dir = str(Path(data_dir).expanduser().absolute())
    pl.seed_everything(config.seed, verbose=False)
    experiment = build(config)
    experiment.trainer.apply_to_process()
    load_weights(experiment.task, run, checkpoint)
    with captured(None), TemporaryDirectory() as scratch:  # nothing is written into the run
        trainer = build_trainer(
            experiment.trainer,
            checkpoints=Path(scratch),
            monitor=experiment.monitor,
            callbacks=[],
            loggers=[],
        )
        return test_metrics(trainer, experiment, split)
