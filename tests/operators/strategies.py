"""How many cases are drawn, and what several modules draw. No conftest: those are read before the profile is chosen."""

from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st

CASES = settings.get_profile("thorough" if settings.get_current_profile_name() == "thorough" else "quick")
DTYPES = st.sampled_from([torch.float64, torch.float64, torch.float32])


def sizes(least: int, most: int) -> st.SearchStrategy[Any]:
    """A parameter: a whole number, one in a tuple, or rows and columns."""
    number = st.integers(least, most)
    return number | st.tuples(number, number) | st.tuples(number)
