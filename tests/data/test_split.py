"""The validation split: disjoint, complete, by seed, by track."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from receptive.data.split import validation_split
from receptive.errors import InputError

TARGETS = torch.arange(1000) % 10


def _tracks(tracks_of_class: list[int], frames: int = 3) -> tuple[Tensor, Tensor]:
    """Targets and groups of classes with so many tracks each."""
    pairs = [(label, 100 * label + track) for label, count in enumerate(tracks_of_class) for track in range(count)]
    rows = torch.tensor(pairs).repeat_interleave(frames, dim=0)
    return rows[:, 0], rows[:, 1]


@pytest.mark.parametrize("validation", [0, 1, 150, 999, 0.15, 0.5])
def test_disjoint_complete_and_ascending(validation: int | float) -> None:
    train, held_out = validation_split(TARGETS, None, validation, seed=0)
    assert torch.equal(torch.cat([train, held_out]).sort().values, torch.arange(1000))
    assert torch.equal(train, train.sort().values) and torch.equal(held_out, held_out.sort().values)
    assert len(held_out) == (round(validation * 1000) if isinstance(validation, float) else validation)
    assert train.dtype == held_out.dtype == torch.int64


def test_a_seed_is_a_split() -> None:
    splits = [validation_split(TARGETS, None, 200, seed)[1].tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_the_split_is_that_of_earlier_versions() -> None:
    """Another one would put images that a network was trained on before among those that judge it."""
    assert validation_split(TARGETS, None, 8, seed=5)[1].tolist() == [48, 54, 79, 635, 762, 832, 893, 894]
    held_out = validation_split(*_tracks([4, 6, 2]), 0.3, seed=5)[1]
    assert held_out.tolist() == [9, 10, 11, 12, 13, 14, 21, 22, 23, 33, 34, 35]


def test_every_image_is_as_likely() -> None:
    chosen = sum(
        torch.zeros(1000).index_fill(0, validation_split(TARGETS, None, 500, seed)[1], 1) for seed in range(200)
    )
    assert isinstance(chosen, Tensor) and chosen.min() > 60 and chosen.max() < 140


@pytest.mark.parametrize("validation", [1000, 1001])
def test_nothing_left_to_train_on(validation: int) -> None:
    with pytest.raises(InputError, match=r"data\.validation=.* the training set has 1000 images"):
        validation_split(TARGETS, None, validation, seed=0)


@settings(max_examples=60, deadline=None)
@given(
    tracks=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 5),
)
def test_whole_tracks_of_every_class(tracks: list[int], share: float, seed: int) -> None:
    targets, groups = _tracks(tracks)
    if not 0 < round(share * len(targets)) < len(targets):  # none is held out, or none left: refused
        return
    train, held_out = validation_split(targets, groups, share, seed)
    assert torch.equal(torch.cat([train, held_out]).sort().values, torch.arange(len(targets)))
    assert not set(groups[train].tolist()) & set(groups[held_out].tolist())
    for label, count in enumerate(tracks):
        held = len(groups[held_out][targets[held_out] == label].unique())
        assert held == 0 if count == 1 else 1 <= held < count


def test_tracks_are_shared_out_in_proportion() -> None:
    targets, groups = _tracks([5, 10, 20])
    for validation in (0.2, 21):
        held_out = validation_split(targets, groups, validation, seed=3)[1]
        assert torch.bincount(targets[held_out]).tolist() == [3, 6, 12]


def test_no_validation_with_tracks() -> None:
    targets, groups = _tracks([2, 3])
    train, held_out = validation_split(targets, groups, 0, seed=0)
    assert len(train) == len(targets) and len(held_out) == 0
