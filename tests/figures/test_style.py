"""Labels and names of small panels."""

import pytest

from receptive.figures.style import fold_labels, short_name


@pytest.mark.parametrize(
    ("labels", "folded"),
    [
        ([], []),
        (["0 Conv2d", "1 ReLU"], ["0 Conv2d", "1 ReLU"]),
        (["encoder.0.1 BatchNorm2d", "head Conv2d"], ["encoder.0.1\nBatchNorm2d", "head\nConv2d"]),
        (["layer1.0.downsample.0 Conv2d"], ["…r1.0.downsample.0\nConv2d"]),
    ],
)
def test_names_stand_above_kinds_where_one_is_long(labels: list[str], folded: list[str]) -> None:
    assert fold_labels(labels) == folded
    assert all(len(line) <= 18 for label in fold_labels(labels) for line in label.splitlines())


def test_a_long_name_goes_without_its_middle() -> None:
    assert short_name("w" * 24) == "w" * 24
    assert short_name("patient_0001_" + "w" * 40 + "_frontal") == "patient_000…wwww_frontal"
