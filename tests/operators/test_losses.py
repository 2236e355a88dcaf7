"""cross_entropy and mse_loss against torch.nn.functional."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.strategies import CASES, DTYPES
from torch import Tensor

from receptive import operators

Agree = Callable[..., None]

REDUCTIONS = st.sampled_from(["none", "mean", "sum"])
CHOICE = st.sampled_from([None, True, False])
DEPRECATED = st.fixed_dictionaries({}, optional={"size_average": CHOICE, "reduce": CHOICE})


def normal(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def classifications(draw: st.DrawFn) -> tuple[list[Tensor | None], dict[str, Any]]:
    """Logits, target, weight or None, and options."""
    batch, classes = draw(st.none() | st.integers(0, 4)), draw(st.integers(1, 5))
    sides = () if batch is None else tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    shape = (classes,) if batch is None else (batch, classes, *sides)
    seed, dtype = draw(st.integers(0, 2**31)), draw(DTYPES)
    logits = draw(st.sampled_from([1.0, 5.0, 300.0])) * normal(seed, shape, dtype)
    if draw(st.integers(0, 5)) == 0:
        logits = logits.masked_fill(normal(seed + 4, shape, dtype) > 1, -math.inf)
    weight = draw(st.sampled_from([None, normal(seed + 1, (classes,), dtype).abs()]))
    options = {
        "label_smoothing": draw(st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, -0.2])),
        "reduction": draw(REDUCTIONS),
        **draw(DEPRECATED),
    }
    if draw(st.booleans()):
        dim = 0 if batch is None else 1
        return [logits, normal(seed + 2, shape, dtype).softmax(dim), weight], options
    places = () if batch is None else (batch, *sides)
    generator = torch.Generator().manual_seed(seed + 3)
    target = torch.randint(classes, places, generator=generator)
    ignored = draw(st.sampled_from([-100, -1, 0, 7]))
    share = draw(st.sampled_from([0.0, 0.3, 1.0]))
    target = target.masked_fill(torch.rand(places, generator=generator) < share, ignored)
    if ignored >= 0 and not sides and options["label_smoothing"] <= 0 and draw(st.booleans()):
        target = target.to(torch.uint8)
    return [logits, target, weight], {**options, "ignore_index": ignored}


def cross_entropy(operator: Callable[..., Tensor], weight: Tensor | None) -> Callable[..., Tensor]:
    """The operator with its weight fixed: PyTorch has no gradient for it where targets are indices."""
    return lambda input, target, **options: operator(input, target, weight, **options)


@CASES
@given(classifications())
def test_cross_entropy(agree: Agree, case: tuple[list[Tensor | None], dict[str, Any]]) -> None:
    (logits, target, weight), options = case
    ours, theirs = cross_entropy(operators.cross_entropy, weight), cross_entropy(F.cross_entropy, weight)
    agree(ours, theirs, [logits, target], options)


@st.composite
def wrong_classifications(draw: st.DrawFn) -> tuple[list[Tensor | None], dict[str, Any]]:
    """A case with a fault or two."""
    (logits, target, weight), options = draw(classifications())
    assert logits is not None and target is not None
    for fault in draw(st.lists(st.integers(0, 6), min_size=1, max_size=2)):
        match fault:
            case 0:
                weight = torch.ones(draw(st.sampled_from([(1,), (7,), (2, 4)])), dtype=logits.dtype)
            case 1:
                options["label_smoothing"] = 1.1
            case 2:
                options["reduction"] = "median"
            case 3:
                target = target.to(draw(st.sampled_from([torch.int32, torch.bool, torch.float32])))
            case 4:
                target = torch.zeros(draw(st.lists(st.integers(0, 4), max_size=3)), dtype=target.dtype)
            case 5:
                target = target + draw(st.integers(-9, 9))
            case 6:
                options["ignore_index"] = draw(st.integers(-2, 3))
    return [logits, target, weight], options


@CASES
@given(wrong_classifications())
def test_cross_entropy_refuses_what_pytorch_refuses(case: tuple[list[Tensor | None], dict[str, Any]]) -> None:
    (logits, target, weight), options = case
    assert logits is not None and target is not None
    if not logits.numel() or (logits.dim() == 1 and target.shape == (1,) and options["label_smoothing"] > 0):
        return  # PyTorch looks at nothing; fails by accident
    results = []
    for operator in (operators.cross_entropy, F.cross_entropy):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                operator(logits, target, weight, **options)
            results.append("")
        except (RuntimeError, ValueError, IndexError) as error:
            results.append("refused" if len(str(error)) > 5 else "no message")
    assert results[0] == results[1]


X, Y, W = torch.randn(4, 3), torch.tensor([0, 1, 2, -100]), torch.ones(3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "told"),
    [
        ((X, Y[:3]), {}, ValueError, r"input batch_size \(4\) to match target batch_size \(3\)"),
        ((X, Y + 1), {}, IndexError, "Target 3 is out of bounds"),
        ((X, Y.int()), {}, RuntimeError, r"int64 \(or uint8 without d1\), not torch.int32"),
        ((X, X.long()), {}, RuntimeError, "probabilities must be floating-point"),
        ((X, X.softmax(1)), {"ignore_index": 1}, RuntimeError, "ignore_index=1 has no meaning"),
        ((X, Y, W[:2]), {}, RuntimeError, r"weight of \(3,\), not \(2,\)"),
        ((X, Y, W.double()), {}, RuntimeError, "one dtype"),
        ((X, Y), {"label_smoothing": 1.5}, RuntimeError, "label_smoothing=1.5 must be between 0 and 1"),
        ((X, Y), {"reduction": "median"}, ValueError, "reduction='median': choose"),
        ((X[0], Y[:2]), {}, ValueError, r"target \(\) or \(1,\), not \(2,\)"),
        ((X[..., None], Y), {}, RuntimeError, r"expected a target \(4, 1\), not \(4,\)"),
        ((X[0, 0], Y[0]), {}, RuntimeError, "not a number"),
        ((X.long(), Y), {}, NotImplementedError, "not implemented for torch.int64"),
    ],
)
def test_each_fault_is_told_as_pytorch_does(
    arguments: Any, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error):
        F.cross_entropy(*arguments, **options)
    with pytest.raises(error, match=told):
        operators.cross_entropy(*arguments, **options)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("probable", [False, True])
def test_the_mean_of_nothing(agree: Agree, reduction: str, probable: bool) -> None:
    target = torch.zeros(0, 3, 2) if probable else torch.zeros(0, 2, dtype=torch.int64)
    agree(operators.cross_entropy, F.cross_entropy, [torch.zeros(0, 3, 2), target], {"reduction": reduction})


def test_bytes_with_smoothing_and_weight() -> None:
    """PyTorch fails on them."""
    target, options = torch.tensor([0, 1, 2, 0]), {"weight": torch.tensor([1.0, 2, 3]), "label_smoothing": 0.1}
    losses = [operators.cross_entropy(X, indices, **options) for indices in (target, target.to(torch.uint8))]
    assert torch.equal(*losses)
    torch.testing.assert_close(losses[0], F.cross_entropy(X, target, **options))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_single_target_in_a_list(smoothing: float) -> None:
    """PyTorch gives its loss, but fails on its gradient without reduction, and on smoothing."""
    losses = [operators.cross_entropy(X[0], target, label_smoothing=smoothing) for target in (Y[1], Y[1:2])]
    assert torch.equal(*losses)
    torch.testing.assert_close(losses[0], F.cross_entropy(X[0], Y[1], label_smoothing=smoothing))


def test_logits_too_large_for_an_exponential() -> None:
    logits = torch.tensor([[1e30, -1e30], [-math.inf, 0.0]], dtype=torch.float64)
    target = torch.tensor([1, 1])
    assert operators.cross_entropy(logits, target, reduction="none").tolist() == [2e30, 0.0]


@st.composite
def regressions(draw: st.DrawFn) -> tuple[list[Tensor | None], dict[str, Any]]:
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    seed, dtype = draw(st.integers(0, 2**31)), draw(DTYPES)
    other = tuple(draw(st.lists(st.integers(1, 4), max_size=2))) if draw(st.integers(0, 4)) == 0 else shape
    weight = normal(seed + 2, other if draw(st.integers(0, 9)) == 0 else shape, dtype).abs()
    tensors = [normal(seed, shape, dtype), normal(seed + 1, other, dtype)]
    reduction = draw(st.sampled_from(["none", "mean", "sum"] * 3 + ["median"]))
    options = {"reduction": reduction, **draw(DEPRECATED)}
    return [*tensors, draw(st.sampled_from([weight, None]))], options


def mse_loss(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The operator with weight in the third place."""
    return lambda input, target, weight, **options: operator(input, target, weight=weight, **options)


@CASES
@given(regressions())
def test_mse_loss(agree: Agree, case: tuple[list[Tensor | None], dict[str, Any]]) -> None:
    agree(mse_loss(operators.mse_loss), mse_loss(F.mse_loss), *case)


def test_warnings_are_pytorchs() -> None:
    for operator in (operators.mse_loss, F.mse_loss):
        with pytest.warns(UserWarning, match=r"Using a target size .* is different to the input size"):
            operator(X, X[:1])
    for operator, target in ((operators.mse_loss, X), (operators.cross_entropy, Y), (F.mse_loss, X)):
        with pytest.warns(UserWarning, match="please use reduction='sum' instead") as caught:
            operator(X, target, size_average=False)
        assert caught[0].filename == __file__ or operator is F.mse_loss


def test_mse_loss_of_whole_numbers_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="mse_loss is not implemented"):
        operators.mse_loss(Y, Y)


def test_gradcheck() -> None:
    logits, other = (normal(seed, (3, 4, 2), torch.float64).requires_grad_() for seed in (0, 1))
    target, weight = torch.tensor([[0, 3], [-100, 2], [1, 1]]), torch.tensor([0.5, 1, 2, 3], dtype=torch.float64)
    scale = normal(2, (3, 4, 2), torch.float64).abs()
    for reduction in ("none", "mean", "sum"):
        options = {"reduction": reduction, "label_smoothing": 0.1}
        assert torch.autograd.gradcheck(lambda x: operators.cross_entropy(x, target, weight, **options), logits)  # noqa: B023
        assert torch.autograd.gradcheck(
            lambda x, q: operators.cross_entropy(x, q.softmax(1), weight, **options),  # noqa: B023
            (logits, other),
        )
        assert torch.autograd.gradcheck(
            lambda x, y: operators.mse_loss(x, y, reduction=reduction, weight=scale),  # noqa: B023
            (logits, other),
        )
