"""Images of several sizes: put together, parted, counted."""

import dataclasses

import pytest
import torch

from receptive.data.sizes import SizedSplit, by_size, stacked

SIDES = (4, 6, 9)


def _split(count: int = 12) -> SizedSplit:
    """Image `row` has everywhere the value `row`, and is its own label."""
    kinds = torch.tensor([row * row % 3 for row in range(count)])  # 0 1 1 0 1 1: none of the third
    kinds[-1] = 2
    stacks = tuple(
        torch.stack([torch.full((1, side, side), row, dtype=torch.uint8) for row in range(count) if kinds[row] == kind])
        for kind, side in enumerate(SIDES)
    )
    return SizedSplit(stacks, kinds, torch.arange(count))


def test_a_row_is_its_image_in_its_size() -> None:
    split = _split()
    images, targets = split.batch([11, 0, 1, 4])
    assert [image.shape for image in images] == [(1, 9, 9), (1, 4, 4), (1, 6, 6), (1, 6, 6)]
    assert [image.unique().tolist() for image in images] == [[11], [0], [1], [4]] and targets.tolist() == [11, 0, 1, 4]
    assert len(split) == 12


def test_rows_of_one_size_are_one_tensor() -> None:
    images, _ = _split().batch([1, 4, 2])
    assert isinstance(images, torch.Tensor) and images.shape == (3, 1, 6, 6)


def test_by_size_parts_and_keeps_places() -> None:
    images, _ = _split().batch([11, 0, 1, 4, 3])
    found = list(by_size(images))
    assert [places for places, _ in found] == [[0], [1, 4], [2, 3]]
    for places, part in found:
        assert torch.equal(part, torch.stack([images[place] for place in places]))
    [(places, whole)] = by_size(torch.zeros(3, 1, 2, 2))
    assert places == [0, 1, 2] and whole.shape == (3, 1, 2, 2)


def test_stacked() -> None:
    same = [torch.zeros(1, 2, 3), torch.ones(1, 2, 3)]
    assert isinstance(stacked(same), torch.Tensor)
    assert isinstance(stacked([*same, torch.ones(1, 3, 2)]), tuple)


@pytest.mark.parametrize("changed", ["stacks", "kinds", "targets"])
def test_the_checksum_follows_images_sizes_and_labels(changed: str) -> None:
    split = _split()
    assert split.checksum == _split().checksum and len(split.checksum) == 16
    value = getattr(split, changed)
    other = tuple(stack + 1 for stack in value) if changed == "stacks" else value.flip(0)
    assert dataclasses.replace(split, **{changed: other}).checksum != split.checksum
