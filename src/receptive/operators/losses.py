"""Cross-entropy and mean squared error."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from receptive.operators.geometry import floating


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the log-likelihood of the target under softmax(input): l = - sum over c of w[c] q[c] log p[c].

    log p[c] = x[c] - log sum over k of e^x[k]. q is the target: probabilities as given, of an index one-hot;
    label smoothing e makes it (1 - e) q + e / C. "sum" adds up, "mean" divides the sum by the weights of the targets
    that are not ignored, where the target is an index, and by N d1 ... where it is probabilities.
    Source: torch.nn.CrossEntropyLoss's documentation; Szegedy et al., Rethinking the Inception Architecture, 2015,
    for smoothing.

    Args:
        input: logits (C,), (N, C) or (N, C, d1, ...), floating-point.
        target: indices (), (N,) or (N, d1, ...), int64 (or uint8 without d1), in [0, C) or ignore_index; or
            probabilities, floating-point, of the input's shape. Taken though PyTorch fails on them with smoothing: a
            target (1,) of an input (C,), and uint8 with weight.
        weight: of each class, (C,), or None for 1.
        size_average: deprecated, overrides reduction: False for "sum".
        ignore_index: target without loss and gradient.
        reduce: deprecated, overrides reduction: False for "none".
        reduction: "none", "mean" or "sum".
        label_smoothing: e in [0, 1]; less than 0 counts as 0, as in PyTorch.

    Returns:
        A number, or with "none" the loss of each target, 0 where it is ignored. NaN is the mean of nothing.

    Raises:
        ValueError: reduction is unknown, or the batch sizes differ.
        RuntimeError: shapes, dtypes, weight's size, or label_smoothing do not fit.
        IndexError: an index is out of range.
        NotImplementedError: the input is of integers.
    """
    reduction = _reduction(size_average, reduce, reduction)
    floating("cross_entropy", input)
    if label_smoothing > 1:
        raise RuntimeError(f"cross_entropy: label_smoothing={label_smoothing} must be between 0 and 1")
    smoothing, class_dim = max(label_smoothing, 0.0), min(input.dim() - 1, 1)
    probable = input.shape == target.shape
    _check_cross_entropy(input, target, weight, ignore_index, class_dim, probable)
    weights = input.new_ones(input.shape[class_dim]) if weight is None else weight
    costs = -log_softmax(input, class_dim) * weights.view(-1, *[1] * (input.dim() - class_dim - 1))
    if probable:
        mixed = target * (1 - smoothing) + smoothing / input.shape[class_dim]
        losses = (costs * mixed).sum(class_dim)
        return _reduced(losses, reduction, losses.numel())
    target = target.long().view(input.shape[:class_dim] + input.shape[class_dim + 1 :])
    ignored = target == ignore_index
    index = target.masked_fill(ignored, 0)
    losses = costs.gather(class_dim, index.unsqueeze(class_dim)).squeeze(class_dim)
    if smoothing > 0:
        losses = (1 - smoothing) * losses + smoothing / input.shape[class_dim] * costs.sum(class_dim)
    counted = weights[index].masked_fill(ignored, 0).sum()
    return _reduced(losses.masked_fill(ignored, 0), reduction, counted)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Give x - log sum over k of e^x[k] along `dim`; the largest is taken off first, so that nothing overflows."""
    shifted = input - input.detach().amax(dim, keepdim=True) if input.numel() else input
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def _check_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, class_dim: int, probable: bool
) -> None:
    """Raise what `cross_entropy` says."""
    if input.dim() == 0:
        raise RuntimeError("cross_entropy: expected an input (C,), (N, C) or (N, C, d1, ...), not a number")
    classes = input.shape[class_dim]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"cross_entropy: expected a weight of ({classes},), not {tuple(weight.shape)}")
    if probable:
        if not target.is_floating_point():
            raise RuntimeError(f"cross_entropy: class probabilities must be floating-point, not {target.dtype}")
        if ignore_index >= 0:
            raise RuntimeError(f"cross_entropy: ignore_index={ignore_index} has no meaning for class probabilities")
        return
    if input.dim() > 1 and target.dim() > 0 and target.shape[0] != input.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if input.dim() == 1 and target.dim() == 1 and target.shape[0] != 1:
        raise ValueError(f"cross_entropy: an input (C,) has a target () or (1,), not ({target.shape[0]},)")
    expected = input.shape[:class_dim] + input.shape[class_dim + 1 :]
    if target.shape != expected and not (input.dim() == 1 and target.shape == (1,)):
        raise RuntimeError(f"cross_entropy: expected a target {tuple(expected)}, not {tuple(target.shape)}")
    if target.dtype != torch.int64 and (target.dtype != torch.uint8 or input.dim() > 2):
        raise RuntimeError(f"cross_entropy: expected a target of int64 (or uint8 without d1), not {target.dtype}")
    floating("cross_entropy", input, weight)
    wrong = (target != ignore_index) & ((target < 0) | (target >= classes))
    if bool(wrong.any()):
        raise IndexError(f"Target {int(target[wrong][0])} is out of bounds.")


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared error: l = w (x - y)^2; "mean" divides the sum by that of w, which is 1 unless given.

    Source: torch.nn.MSELoss's and torch.nn.functional.mse_loss's documentation.

    Args:
        input: any shape, floating-point.
        target: the same shape; another that can be broadcast draws a warning.
        size_average: deprecated, overrides reduction: False for "sum".
        reduce: deprecated, overrides reduction: False for "none".
        reduction: "none", "mean" or "sum".
        weight: of each element, of the input's shape.

    Returns:
        A number, or with "none" the loss of each element. NaN is the mean of nothing.

    Raises:
        ValueError: reduction is unknown, or weight is of another shape.
        RuntimeError: the shapes cannot be broadcast.
        NotImplementedError: input and target are of integers.
    """
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=2,
        )
    difference = input - target
    reduction = _reduction(size_average, reduce, reduction)
    if weight is not None and weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    floating("mse_loss", difference)
    squared = difference.square()
    if weight is None:
        return _reduced(squared, reduction, squared.numel())
    return _reduced(squared * weight, reduction, weight.sum())


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that is meant, the deprecated arguments before the new one.

    Raises:
        ValueError: it is unknown.
    """
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            stacklevel=3,
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction={reduction!r}: choose 'none', 'mean' or 'sum'")
    return reduction


def _reduced(losses: Tensor, reduction: str, count: Tensor | int) -> Tensor:
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / count
