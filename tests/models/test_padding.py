"""Padding for a net that halves, and the crop back."""

import pytest
import torch
from torch import Tensor

from receptive.models.padding import padded_to_multiple


@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_a_size_that_fits_is_handed_on_as_it_is(multiple: int) -> None:
    images = torch.randn(2, 3, 8, 16)
    seen: list[Tensor] = []
    output = padded_to_multiple(lambda given: seen.append(given) or given, images, multiple)  # type: ignore[func-returns-value]
    assert seen[0] is images
    assert output is images


@pytest.mark.parametrize("height", [1, 3, 8, 9])
@pytest.mark.parametrize("width", [1, 7, 16, 17])
def test_any_size_is_padded_below_and_on_the_right_by_its_border_and_cropped_back(height: int, width: int) -> None:
    images = torch.randn(2, 3, height, width)
    seen: list[Tensor] = []

    def net(given: Tensor) -> Tensor:
        seen.append(given)
        return given * 2

    assert torch.equal(padded_to_multiple(net, images, 8), images * 2)
    [padded] = seen
    assert padded.shape[-2:] == (-(-height // 8) * 8, -(-width // 8) * 8)
    rows = torch.arange(padded.shape[-2]).clamp(max=height - 1)
    columns = torch.arange(padded.shape[-1]).clamp(max=width - 1)
    assert torch.equal(padded, images[:, :, rows][..., columns])


def test_the_nets_own_channels_are_kept() -> None:
    assert padded_to_multiple(lambda given: given[:, :1], torch.randn(2, 3, 5, 6), 4).shape == (2, 1, 5, 6)
