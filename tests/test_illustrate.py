"""Which images a run's figures show, and with what."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from receptive import illustrate as module
from receptive.build import Experiment
from receptive.data.jsrt import JSRT
from receptive.data.module import ImageData
from receptive.errors import InputError
from receptive.illustrate import MOST_EXAMPLES, illustrate, mask_examples
from receptive.models.unet import UNet
from receptive.optimizers import schedules
from receptive.runs import Run
from receptive.tasks.segmentation import SegmentationTask
from receptive.tasks.segmentation_metrics import SCORES
from receptive.trainer import TrainerOptions

ROWS = [{"epoch": 1.0, "train/loss": 1.0, "val/loss": 1.0, "train/f1": 0.5, "val/f1_mean": 0.5}]


@pytest.fixture
def experiment(jsrt_root: Path) -> Experiment:
    torch.manual_seed(0)
    data = ImageData(JSRT(str(jsrt_root), 32), batch_size=2, eval_batch_size=2, validation=2, split_seed=0)
    data.setup()
    net = UNet(in_channels=1, num_classes=2, base_channels=4, depth=2)
    torch.nn.init.normal_(net.head.weight)
    optimizer = partial(torch.optim.SGD, lr=0.1)
    names = data.facts.class_names
    task = SegmentationTask(net, optimizer=optimizer, schedule=schedules.constant, class_names=names)
    return Experiment(data, task, TrainerOptions(max_epochs=1, accelerator="cpu", precision="32-true"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """figure -> the examples that it shows."""
    shown: dict[str, list[Any]] = {}
    monkeypatch.setattr(
        module, "save_examples", lambda examples, title, path: shown.__setitem__(path.stem, list(examples))
    )
    return shown


def details_of(*order: int) -> dict[str, Any]:
    return {
        "worst": [{"index": index, "f1": 0.0} for index in order],
        "best": [{"index": index, "f1": 1.0} for index in order[::-1]],
    }


def test_first_worst_and_best_are_shown_in_their_order(
    experiment: Experiment, drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    illustrate(experiment, Run(tmp_path), ROWS, 1, details_of(4, 0, 2))
    names = experiment.data.test_names()
    assert names is not None
    assert {figure: [example.name for example in examples] for figure, examples in drawn.items()} == {
        "examples": list(names),
        "worst": [names[4], names[0], names[2]],
        "best": [names[2], names[0], names[4]],
    }
    assert (tmp_path / "figures" / "history.png").is_file()


def test_no_more_than_a_few_are_shown(experiment: Experiment, drawn: dict[str, list[Any]], tmp_path: Path) -> None:
    illustrate(experiment, Run(tmp_path), ROWS, 1, details_of(*[0, 1, 2, 3, 4, 5] * 2))
    assert {figure: len(examples) for figure, examples in drawn.items()} == {
        "examples": 6,
        "worst": MOST_EXAMPLES,
        "best": MOST_EXAMPLES,
    }


def test_where_every_image_is_left_out_only_the_first_are_shown(
    experiment: Experiment, drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    illustrate(experiment, Run(tmp_path), ROWS, 1, details_of())
    assert list(drawn) == ["examples"]


def test_without_a_test_only_the_history_is_drawn(
    experiment: Experiment, drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    illustrate(experiment, Run(tmp_path), ROWS, 1, {})
    assert not drawn
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["history.png"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_example_is_image_mask_prediction_and_scores(experiment: Experiment, split: Any) -> None:
    found = mask_examples(experiment, split, [1, 0])
    loader = experiment.data.val_dataloader() if split == "val" else experiment.data.test_dataloader()
    images, masks = next(iter(loader))  # type: ignore[call-overload]
    with torch.no_grad():
        predicted = experiment.task.model.eval()(images).argmax(1)
    for example, row in zip(found, (1, 0), strict=True):
        assert np.array_equal(example.mask, masks[row])
        assert np.array_equal(example.predicted, predicted[row])
        assert example.pixels.shape == (1, 32, 32) and example.pixels.dtype == np.uint8
        hits = float(((predicted[row] == 1) & (masks[row] == 1)).sum())
        f1 = 2 * hits / float((predicted[row] == 1).sum() + (masks[row] == 1).sum())
        assert list(example.scores) == list(SCORES)
        assert example.scores["f1"] == pytest.approx(f1, rel=1e-5)


def test_a_place_that_there_is_not(experiment: Experiment) -> None:
    with pytest.raises(InputError, match="there is no image 6: the test set has 6, counted from 0"):
        mask_examples(experiment, "test", [6])


def test_a_folder_that_cannot_be_written_is_named(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="figures cannot be written"):
        illustrate(experiment, Run(tmp_path), ROWS, 1, {})
