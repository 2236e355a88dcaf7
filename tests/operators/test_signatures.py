"""Names, arguments, order and defaults are those of torch.nn.functional, and roi_pool's those of torchvision."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_pool

from receptive import operators
from receptive.operators import loops

Arguments = list[tuple[str, Any]]

# PyTorch's own docstring of flatten lies with torch; torch.nn.functional has it under the same name on tensors.
THEIRS: dict[str, Callable[..., Any]] = {
    "flatten": torch.flatten,
    "roi_pool": roi_pool,
    **{
        name: getattr(F, name)
        for name in (
            *("max_pool2d", "avg_pool2d", "conv2d", "conv_transpose2d", "sigmoid", "batch_norm"),
            *("cross_entropy", "mse_loss", "unfold", "fold"),
        )
    },
}


def arguments(function: Callable[..., Any]) -> Arguments:
    return [(name, parameter.default) for name, parameter in inspect.signature(function).parameters.items()]


def documented(name: str, function: Callable[..., Any]) -> Arguments:
    """From the first line of a docstring, where the function itself has no signature."""
    found = re.search(rf"{name}\(([^)]*)\)", function.__doc__ or "")
    assert found, f"{name} has no documented signature"
    pairs = [part.strip().partition("=") for part in found[1].split(",")]
    return [(key, eval(value) if equals else inspect.Parameter.empty) for key, equals, value in pairs]


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_signature(name: str) -> None:
    theirs = THEIRS[name]
    try:
        wanted = arguments(theirs)
    except ValueError:
        wanted = documented(name, theirs)
    if [key for key, _ in wanted] in (["args", "kwargs"], ["fn_args", "kwargs"]):
        wanted = documented(name, theirs)
    for package in (operators, loops):
        if name in package.__all__:
            assert arguments(getattr(package, name)) == wanted


def test_nothing_is_left_out() -> None:
    assert {*THEIRS, "Conv2dFunction"} == set(operators.__all__)
    assert set(loops.__all__) < set(THEIRS)
