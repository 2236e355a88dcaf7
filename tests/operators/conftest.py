"""How an operator of ours is held against PyTorch's."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

Operator = Callable[..., Any]
Agree = Callable[..., None]

# Relative to each value and to the largest that PyTorch gives; where terms cancel, both round off a few units of them.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}
ROUNDING = 16


def _outcome(operator: Operator, tensors: Sequence[Tensor | None], options: dict[str, Any]) -> Any:
    """What an operator gives, as a tuple of tensors, or the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = operator(*tensors, **options)
        except Exception as error:
            return error
    return result if isinstance(result, tuple) else (result,)


def _close(ours: Tensor, theirs: Tensor, what: str, terms: float) -> None:
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    if not theirs.is_floating_point():
        assert torch.equal(ours, theirs), what
        return
    scale = theirs.detach()[theirs.isfinite()].abs().amax().item() if theirs.isfinite().any() else 0.0
    bound = TOLERANCE[theirs.dtype] * scale + ROUNDING * torch.finfo(theirs.dtype).eps * terms
    torch.testing.assert_close(
        ours, theirs, rtol=TOLERANCE[theirs.dtype], atol=bound, equal_nan=True, msg=lambda text: f"{what}: {text}"
    )


def _gradients(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a fixed random sum of the results."""
    result = results[0]
    direction = torch.randn(result.shape, dtype=result.dtype, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad(result, leaves, direction))


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Ours and theirs on the same tensors and options: the same error, or the same values and gradients.

    `terms` is the size of what may cancel in a result; the inputs are about 1.
    """

    def check(
        ours: Operator,
        theirs: Operator,
        tensors: Sequence[Tensor | None],
        options: dict[str, Any],
        *,
        loops: Operator | None = None,
        gradients: bool = True,
        terms: float = 1.0,
    ) -> None:
        leaves = [tensor for tensor in tensors if tensor is not None and tensor.is_floating_point() and gradients]
        for leaf in leaves:
            leaf.requires_grad_()
        wanted, given = _outcome(theirs, tensors, options), _outcome(ours, tensors, options)
        others = [] if loops is None else [_outcome(loops, tensors, options)]
        for form in (given, *others):
            if isinstance(wanted, Exception) or isinstance(form, Exception):
                # Which of several faults is told is free: a wrong type or a wrong number.
                same = type(form) is type(wanted) or {type(form), type(wanted)} == {TypeError, RuntimeError}
                assert same, f"theirs: {wanted!r}\nours: {form!r}"
                assert str(form), "an error without a message"
                continue
            assert len(form) == len(wanted)
            for own, other in zip(form, wanted, strict=True):
                _close(own, other, "value", terms)
        if leaves and not isinstance(wanted, Exception):
            pairs = zip(_gradients(given, leaves), _gradients(wanted, leaves), strict=True)
            for number, (own, other) in enumerate(pairs):
                _close(own, other, f"gradient of tensor {number}", terms)

    return check
