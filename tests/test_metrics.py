import math

import pytest

from receptive.metrics import bounds


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("val/accuracy_macro", (0, 1)), ("test/f1_min", (0, 1)), ("test/iou_mean", (0, 1)),
        ("test/f1_std", (0, math.inf)), ("val/loss", (0, math.inf)), ("seconds_per_epoch", (-math.inf, math.inf)),
    ],
)  # fmt: skip
def test_where_a_metric_can_be(metric: str, expected: tuple[float, float]) -> None:
    assert bounds(metric) == expected
