"""Receptive: a laboratory for convolutional networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from receptive.errors import InputError

if TYPE_CHECKING:
    from os import PathLike

    from receptive.reuse import TrainedModel

__all__ = ["InputError", "load"]


def load(
    folder: str | PathLike[str],
    *,
    checkpoint: Literal["best", "last"] = "best",
    device: Literal["auto", "cpu", "cuda", "mps"] | None = None,
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] | None = None,
    batch_size: int | None = None,
) -> TrainedModel:
    """A trained run, ready for use: network, transform and class names.

        model = receptive.load("outputs/runs/2026-11-20_20-43-24-198215")
        model.predict(["seven.png", "nine.png"])

    Of a finished run no file of its data set is read, and the random state stays as it is. It computes as
    `receptive predict` does.

    Args:
        folder: of a run, also of a sweep's job.
        checkpoint: "best" or "last".
        device: cpu, cuda, mps or auto; None: what the run was told.
        precision: as `trainer.precision`; None: what the run was told.
        batch_size: images that the network gets at once; None: the run's data.eval_batch_size.

    Raises:
        InputError: there is no run, its checkpoint cannot be read, or an option is none of these.
    """
    from pathlib import Path

    from receptive.reuse import load_run  # torch is imported here: `import receptive` stays light
    from receptive.runs import open_run

    run = open_run(Path(folder), "folder")
    return load_run(run, checkpoint=checkpoint, device=device, precision=precision, batch_size=batch_size)
