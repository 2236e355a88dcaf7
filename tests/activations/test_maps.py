"""Feature maps of a single image, and the images that are shown."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from receptive.activations.context import Context
from receptive.activations.images import SplitImages
from receptive.activations.maps import feature_maps
from receptive.console import new_console
from receptive.data.digits import Digits
from receptive.data.module import ImageData
from receptive.errors import InputError
from receptive.files import read_csv
from receptive.recording.layers import layers_of


@pytest.fixture
def data() -> ImageData:
    data = ImageData(Digits(), batch_size=16, eval_batch_size=20, validation=100, split_seed=0)
    data.setup()
    return data


@pytest.fixture
def context(known: Any, make_predictor: Any, data: ImageData, tmp_path: Path) -> Context:
    predictor = make_predictor(known)
    experiment: Any = None
    images = SplitImages(data, "val")
    return Context("run", experiment, predictor, layers_of(known), images, "x", 7, tmp_path, new_console())


def test_maps_are_what_the_layers_give_for_the_image(context: Context, known: Any, images: Tensor, steps: Any) -> None:
    found = feature_maps(context, images[3])
    wanted = steps(known, images[3:4])
    assert list(found) == list(wanted)
    for name, values in found.items():
        torch.testing.assert_close(values, wanted[name][0].float(), rtol=1e-4, atol=1e-5)
    assert [context.kind(name) for name in found] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "ReLU", "Linear"]
    assert context.label("act#2") == "act#2 ReLU"


def test_tables_have_six_digits_and_empty_cells(context: Context, tmp_path: Path) -> None:
    context.write("t.csv", [{"a": 1 / 3, "b": float("nan"), "c": None, "d": 3, "e": "x"}], ["a", "b", "c", "d", "e"])
    assert read_csv(tmp_path / "t.csv") == [{"a": "0.333333", "b": "", "c": "", "d": "3", "e": "x"}]


def test_the_whole_training_split_holds_the_held_out_images(data: ImageData) -> None:
    sizes = {split: len(SplitImages(data, split)) for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert sizes == {"train": 1437, "val": 100, "test": 360}
    whole = torch.cat(list(SplitImages(data, "train").batches(500)))
    held_out = torch.cat(list(SplitImages(data, "val").batches(64)))
    places = [int((whole - image).abs().flatten(1).sum(1).argmin()) for image in held_out]
    assert torch.equal(whole[places], held_out)
    fitted = data.training_positions()
    assert len(fitted) == 1337 and not set(fitted) & set(places)


def test_batches_hold_the_places_in_their_order(data: ImageData) -> None:
    whole = torch.cat(list(SplitImages(data, "train").batches(500)))
    parts = list(SplitImages(data, "train", [9, 2, 700, 2]).batches(3))
    assert [len(part) for part in parts] == [3, 1]
    assert torch.equal(torch.cat(parts), whole[[9, 2, 700, 2]])


def test_examples_are_counted_within_the_split_whatever_is_surveyed(data: ImageData) -> None:
    held_out = torch.cat(list(SplitImages(data, "val").batches(64)))
    found = SplitImages(data, "val", [1]).examples([7, 0])
    assert torch.equal(found.inputs, held_out[[7, 0]])
    assert found.pixels.dtype == torch.uint8
    with pytest.raises(InputError, match="maps=100: the val set has 100 images, counted from 0"):
        SplitImages(data, "val").examples([100])
    with pytest.raises(InputError, match="images=-1: the val set has 100 images"):
        SplitImages(data, "val", [0, -1])
