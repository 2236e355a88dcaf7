"""What W&B is shown of a run that has ended, beside its curves: read from the run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from receptive.runs import Run
from receptive.tracking.options import WandbOptions, shown_figures


def end_of(run: Run, options: WandbOptions) -> dict[str, Any]:
    """Tables, charts and pictures of a run's test, as far as they are asked for; {} where it had none.

    Raises:
        InputError: result.json is damaged.
    """
    result = run.result()
    details = result.get("details") or {}
    names = tuple(((result.get("data") or {}).get("facts") or {}).get("class_names") or ())
    found = pictures(shown_figures(run.figures, options))
    if not options.figures:
        return found
    if "confusion_matrix" in details and names:
        found["confusion_matrix"] = _confusion_chart(details["confusion_matrix"], names)
        found["classes"] = _classes(details["confusion_matrix"], names)
    elif "by_class" in details:
        found["classes"] = _scores(details["by_class"])
    if run.examples_path.is_file():
        found["masks"] = _masks(run.examples_path, names)
    return found


def _masks(path: Path, names: Sequence[str]) -> list[wandb.Image]:
    """Test images with what the network sees in them and what is there, as layers that the page switches."""
    with np.load(path) as examples:
        parts = [examples[key] for key in ("pixels", "targets", "predicted", "names", "f1", "groups")]
    labels = dict(enumerate(names))
    return [
        wandb.Image(
            pixels,
            caption=f"{name} ({group}), F1 {f1:.4f}",
            masks={
                "prediction": {"mask_data": predicted, "class_labels": labels},
                "truth": {"mask_data": target, "class_labels": labels},
            },
        )
        for pixels, target, predicted, name, f1, group in zip(*parts, strict=True)
    ]


def _confusion_chart(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Any:
    """W&B's own chart of a confusion matrix: rows are the true classes."""
    cells = [
        [true, predicted, count]
        for true, row in zip(names, counts, strict=True)
        for predicted, count in zip(names, row, strict=True)
    ]
    columns: list[str | int] = ["Actual", "Predicted", "nPredictions"]
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=wandb.Table(columns=columns, data=cells),
        fields={str(column): str(column) for column in columns},
        string_fields={"title": "Confusion matrix of the test images"},
    )


def _classes(counts: Sequence[Sequence[int]], names: Sequence[str]) -> wandb.Table:
    """A row a class: its test images, recall (the class's accuracy), precision and F1; nothing where nothing is."""
    matrix = np.asarray(counts, dtype=float)
    rows = [
        [name, int(true), _share(right, true), _share(right, predicted), _share(2 * right, true + predicted)]
        for name, right, true, predicted in zip(names, matrix.diagonal(), matrix.sum(1), matrix.sum(0), strict=True)
    ]
    return wandb.Table(columns=["class", "images", "recall", "precision", "f1"], data=rows)


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 6) if whole else None


def _scores(by_class: Mapping[str, Mapping[str, Any]]) -> wandb.Table:
    """A row a class of a segmentation: its scores over the test images."""
    columns = list(dict.fromkeys(key for scores in by_class.values() for key in scores))
    rows = [[name, *(scores.get(key) for key in columns)] for name, scores in by_class.items()]
    return wandb.Table(columns=["class", *columns], data=rows)


def pictures(paths: Iterable[Path]) -> dict[str, Any]:
    """Figures by the names of their files."""
    return {f"figures/{path.stem}": wandb.Image(str(path)) for path in paths}
