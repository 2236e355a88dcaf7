"""batch_norm against torch.nn.functional: output, gradients and the running statistics that it leaves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES
from torch import Tensor

from receptive import operators

Agree = Callable[..., None]


def running(operator: Callable[..., Tensor], statistics: list[Tensor | None]) -> Callable[..., tuple[Tensor, ...]]:
    """The operator on copies of the running statistics, which it gives back too."""

    def call(input: Tensor, weight: Tensor | None, bias: Tensor | None, **options: Any) -> tuple[Tensor, ...]:
        mean, var = (None if tensor is None else tensor.clone() for tensor in statistics)
        output = operator(input, mean, var, weight, bias, **options)
        return output, *(tensor for tensor in (mean, var) if tensor is not None)

    return call


@st.composite
def cases(draw: st.DrawFn, odd: int = 0) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """(input, weight, bias) and (running mean, running variance), of `odd` channels more than fit where drawn so."""
    shape = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from([torch.float64, torch.float64, torch.float32]))
    input = 3 * torch.randn(shape, generator=generator, dtype=dtype) + 2

    def channel() -> Tensor | None:
        more = draw(st.integers(0, odd))
        values = torch.rand(shape[1] + more, generator=generator, dtype=dtype) + 0.1
        return draw(st.sampled_from([values, None]))

    weight, bias, mean, var = channel(), channel(), channel(), channel()
    if not odd and (mean is None or var is None):
        mean = var = None
    return [input, weight, bias], [mean, var]


@CASES
@given(cases(), st.booleans(), st.sampled_from([0.1, 0.0, 1.0, 0.37]), st.sampled_from([1e-5, 1e-3, 0.5]))
def test_batch_norm(
    agree: Agree,
    case: tuple[list[Tensor | None], list[Tensor | None]],
    training: bool,
    momentum: float,
    eps: float,
) -> None:
    tensors, statistics = case
    options = {"training": training, "momentum": momentum, "eps": eps}
    (input, *_), (_, running_var) = tensors, statistics
    assert input is not None
    var = input.transpose(0, 1).flatten(1).var(1, correction=0) if training or running_var is None else running_var
    least = (var + eps).min().sqrt().item()  # channels of nearly one value: dividing by their deviation magnifies
    terms = (1 + input.abs().max().item() / least) / least
    ours, theirs = running(operators.batch_norm, statistics), running(F.batch_norm, statistics)
    agree(ours, theirs, tensors, options, terms=terms)


@CASES
@given(cases(odd=1), st.booleans(), st.sampled_from([1e-5, 0.0, -1.0]))
def test_it_refuses_what_pytorch_refuses(
    case: tuple[list[Tensor | None], list[Tensor | None]], training: bool, eps: float
) -> None:
    """Which of several faults is told first is PyTorch's affair: only the kinds that can come are asked for."""
    tensors, statistics = case
    results = []
    for operator in (operators.batch_norm, F.batch_norm):
        try:
            running(operator, statistics)(*tensors, training=training, eps=eps)
            results.append(True)
        except (RuntimeError, ValueError):
            results.append(False)
    assert results[0] == results[1]


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_moves_nothing(agree: Agree, training: bool) -> None:
    """PyTorch looks at no other parameter then; ours does."""
    tensors = [torch.zeros(0, 2, 3), torch.ones(2), torch.zeros(2)]
    statistics: list[Tensor | None] = [torch.tensor([0.5, 1]), torch.tensor([2.0, 3])]
    ours, theirs = running(operators.batch_norm, statistics), running(F.batch_norm, statistics)
    agree(ours, theirs, tensors, {"training": training})


X, M, V = torch.randn(4, 3), torch.zeros(3), torch.ones(3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "told"),
    [
        ((X, None, None), {}, RuntimeError, "running_mean and running_var must be given"),
        ((X, M, None), {"training": True}, ValueError, "running_var is missing"),
        ((X[:1], M, V), {"training": True}, ValueError, "more than 1 value per channel"),
        ((X, M, V), {"eps": -1.0}, ValueError, "eps=-1.0"),
        ((X, M, V), {"eps": 0.0, "training": True}, ValueError, "eps=0.0 must be positive in training"),
        ((X, M[:2], V), {}, RuntimeError, "running_mean should contain 3 elements, not 2"),
        ((X, M, V, M[:2]), {}, RuntimeError, "weight should contain 3 elements, not 2"),
        ((X[0], M, V), {}, RuntimeError, r"expected an input \(N, C, ...\)"),
        ((X.double(), M, V), {}, RuntimeError, "one dtype"),
        ((X, M.clone().requires_grad_(), V), {}, RuntimeError, "cannot have requires_grad"),
        ((X.long(), M, V), {}, NotImplementedError, "not implemented for torch.int64"),
    ],
)
def test_each_fault_is_told_as_pytorch_does(
    arguments: Any, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error):
        F.batch_norm(*arguments, **options)
    with pytest.raises(error, match=told):
        operators.batch_norm(*arguments, **options)


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(training: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    input, weight, bias = (torch.randn(shape, generator=generator).double() for shape in ((3, 2, 2, 3), (2,), (2,)))
    mean, var = torch.tensor([0.5, -0.5]).double(), torch.tensor([2.0, 0.3]).double()

    def normalise(*parts: Tensor) -> Tensor:
        return operators.batch_norm(parts[0], mean.clone(), var.clone(), *parts[1:], training=training)

    parts = [part.requires_grad_() for part in (input, weight, bias)]
    assert torch.autograd.gradcheck(normalise, parts)
    assert torch.autograd.gradgradcheck(normalise, parts)
