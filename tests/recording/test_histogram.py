"""The histogram that widens."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.recording.test_statistics import activations

from receptive.recording.histogram import BINS, Histogram

Array = NDArray[Any]


class TestHistogram:
    @pytest.mark.parametrize("order", [1, -1])
    def test_the_counts_are_those_of_the_final_edges(self, order: int) -> None:
        """Whatever was seen first: the bins widen from 1e-6 to 1e4, or are wide from the start."""
        rng = np.random.default_rng(0)
        parts = [(rng.normal(0, scale, (50, 3, 4))).astype(np.float32) for scale in np.logspace(-6, 4, 9)[::order]]
        histogram = Histogram(3, torch.device("cpu"))
        for part in parts:
            histogram.add(torch.from_numpy(part))
        whole, edges = np.concatenate(parts), histogram.edges().numpy()
        for channel in range(3):
            counts, _ = np.histogram(whole[:, channel], edges)
            np.testing.assert_array_equal(histogram.counts[channel], counts)
        assert histogram.counts.sum() == whole.size
        largest = np.abs(whole).max()
        assert edges[-1] / 2 <= largest < edges[-1]  # no wider than needed

    def test_vectors(self) -> None:
        values = activations(40, 6)
        histogram = Histogram(6, torch.device("cpu"))
        histogram.add(values)
        edges = histogram.edges().numpy()
        wanted = [np.histogram(values[:, channel].numpy(), edges)[0] for channel in range(6)]
        np.testing.assert_array_equal(histogram.counts, wanted)

    def test_a_value_on_an_edge_belongs_to_the_bin_above_it(self) -> None:
        histogram = Histogram(1, torch.device("cpu"))
        histogram.add(torch.tensor([[63.5]]))  # of width 1
        assert histogram.edges().tolist() == list(range(-64, 65))
        histogram.add(torch.arange(-63.0, 64.0)[:, None])
        counts = histogram.counts[0].tolist()
        assert counts == [0, *[1] * 126, 2]
        histogram.add(torch.tensor([[64.0]]))  # outside: of width 2
        assert histogram.edges().tolist() == list(range(-128, 129, 2))
        assert histogram.counts[0, 96] == 1
        assert histogram.counts[0, 32:97].tolist() == [1, *[2] * 62, 3, 1]

    def test_zeros_only_and_something_after_them(self) -> None:
        histogram = Histogram(2, torch.device("cpu"))
        histogram.add(torch.zeros(5, 2))
        assert histogram.counts[:, BINS // 2].tolist() == [5, 5]
        assert histogram.width > 0
        histogram.add(torch.tensor([[3.0, -1e-3]]))
        edges = histogram.edges().numpy()
        for channel, last in enumerate((3.0, -1e-3)):
            wanted, _ = np.histogram([0, 0, 0, 0, 0, last], edges)
            np.testing.assert_array_equal(histogram.counts[channel], wanted)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.lists(
                st.floats(-(2.0**40), 2.0**40, width=32).filter(lambda x: x == 0 or abs(x) > 2.0**-60), min_size=1
            ),
            min_size=1,
        )
    )
    def test_any_values_in_any_order(self, parts: list[list[float]]) -> None:
        histogram = Histogram(1, torch.device("cpu"))
        for part in parts:
            histogram.add(torch.tensor(part)[:, None])
        counts, _ = np.histogram(np.concatenate(parts), histogram.edges().numpy())
        np.testing.assert_array_equal(histogram.counts[0], counts)
