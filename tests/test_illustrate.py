"""Which images a run's figures show, and with what."""

from dataclasses import replace
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
    with pytest.raises(InputError, match="images=6: the test set has 6 images, counted from 0"):
        mask_examples(experiment, "test", [6])


def test_a_folder_that_cannot_be_written_is_named(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="figures cannot be written"):
        illustrate(experiment, Run(tmp_path), ROWS, 1, {})


def test_the_images_are_kept_as_arrays_for_loggers(
    experiment: Experiment, drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    run, details = Run(tmp_path), details_of(4, 0, 5)
    illustrate(experiment, run, ROWS, 1, details)
    assert not run.examples_path.exists()
    illustrate(experiment, run, ROWS, 1, details, examples=True)
    with np.load(run.examples_path) as file:  # without pickles
        kept = dict(file)
    assert kept["indices"].tolist() == [0, 1, 2, 3, 4, 5]
    assert kept["groups"].tolist() == ["first"] * 6
    by_name = {example.name: example for examples in drawn.values() for example in examples}
    assert kept["names"].tolist() == list(experiment.data.test_names() or ())
    for row, name in enumerate(kept["names"]):
        assert np.array_equal(kept["pixels"][row], by_name[name].pixels[0])
        assert np.array_equal(kept["targets"][row], by_name[name].mask)
        assert np.array_equal(kept["predicted"][row], by_name[name].predicted)
        assert kept["f1"][row] == pytest.approx(by_name[name].scores["f1"])
    assert {kept[key].dtype for key in ("pixels", "targets", "predicted")} == {np.dtype(np.uint8)}
    assert kept["pixels"].shape == kept["targets"].shape == (6, 32, 32)
    run.clear()
    assert not run.examples_path.exists()


def test_an_image_stands_once_with_the_figure_that_shows_it_first(
    experiment: Experiment, drawn: dict[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EXAMPLES", 2)
    illustrate(experiment, Run(tmp_path), ROWS, 1, details_of(4, 0, 1, 5), examples=True)
    with np.load(Run(tmp_path).examples_path) as kept:
        assert kept["indices"].tolist() == [0, 1, 4, 5]
        assert kept["groups"].tolist() == ["first", "first", "worst", "best"]


def test_colours_come_last(experiment: Experiment, tmp_path: Path) -> None:
    example = mask_examples(experiment, "test", [0])[0]
    pixels = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32)
    module._save_arrays({7: ("worst", replace(example, pixels=pixels))}, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as kept:
        assert kept["pixels"].shape == (1, 32, 32, 3)
        assert np.array_equal(kept["pixels"][0, 5, 6], pixels[:, 5, 6])


def test_the_first_layers_of_a_few_held_out_images(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(module, "save_first_layers", lambda *arguments: shown.append(arguments))
    illustrate(experiment, Run(tmp_path), ROWS, 1, {}, feature_maps=True)
    [(images, layers, path)] = shown
    assert path == tmp_path / "figures" / "feature_maps.png"
    found = experiment.data.examples("val", [0, 1])
    assert [name for name, _ in images] == list(found.names)
    assert all(np.array_equal(own, pixels) for (_, own), pixels in zip(images, found.pixels, strict=True))
    model = experiment.task.model.eval()
    first = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))
    with torch.no_grad():
        wanted = first(found.inputs)
    assert len(layers) == module.FIRST_LAYERS
    label, maps = layers[0]
    assert label.endswith("Conv2d")
    np.testing.assert_allclose(np.stack(maps), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_a_network_without_maps_has_no_figure_of_them(experiment: Experiment, tmp_path: Path) -> None:
    experiment.task.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 2))
    illustrate(experiment, Run(tmp_path), ROWS, 1, {}, feature_maps=True)
    assert not (tmp_path / "figures" / "feature_maps.png").exists()
