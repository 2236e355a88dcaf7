"""Batch normalisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from receptive.operators.geometry import floating


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel with mean 0 and variance 1, then scaled: y = (x - mean) / sqrt(var + eps) * weight + bias.

    In training mean and variance are the batch's, over all but the channels, the variance with divisor n; the
    running statistics then move, in place: running = (1 - momentum) running + momentum batch's, the variance with
    divisor n - 1. In evaluation they stand for the batch's.
    Source: Ioffe and Szegedy, Batch Normalization, 2015, algorithm 1; torch.nn.BatchNorm2d's documentation.

    Args:
        input: (N, C, ...), floating-point.
        running_mean: (C,), or None in training.
        running_var: (C,), not negative, or None in training.
        weight: (C,) or None for 1.
        bias: (C,) or None for 0.
        training: whether the batch's own statistics are used.
        momentum: share of the batch in the running statistics, usually 0 to 1.
        eps: added to the variance; positive in training, not negative in evaluation.

    Returns:
        (N, C, ...).

    Raises:
        ValueError: one value a channel in training, eps out of range, or one running statistic of two in training.
        RuntimeError: running statistics are missing in evaluation or want a gradient, sizes or dtypes do not fit.
        NotImplementedError: the input is of integers.
    """
    _check(input, running_mean, running_var, weight, bias, training=training, eps=eps)
    shape = (1, -1, *[1] * (input.dim() - 2))
    if training and input.numel():
        across = [dim for dim in range(input.dim()) if dim != 1]
        mean = input.mean(across)
        var = (input - mean.view(shape)).square().mean(across)
        count = input.numel() // input.shape[1]
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
                running_var.mul_(1 - momentum).add_(var * (count / (count - 1)), alpha=momentum)
    elif training or running_mean is None or running_var is None:  # an empty batch has no statistics, and moves none
        mean, var = input.new_zeros(input.shape[1]), input.new_ones(input.shape[1])
    else:
        mean, var = running_mean, running_var
    scale = (var + eps).rsqrt()
    output = (input - mean.view(shape)) * scale.view(shape)
    if weight is not None:
        output = output * weight.view(shape)
    return output if bias is None else output + bias.view(shape)


def _check(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    *,
    training: bool,
    eps: float,
) -> None:
    """Raise what `batch_norm` says."""
    if input.dim() < 2:
        raise RuntimeError(f"batch_norm: expected an input (N, C, ...), not {tuple(input.shape)}")
    if training and math.prod((input.shape[0], *input.shape[2:])) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm: eps={eps} must be positive in training, and not negative in evaluation")
    running = {"running_mean": running_mean, "running_var": running_var}
    missing = [name for name, tensor in running.items() if tensor is None]
    if missing and not training:
        raise RuntimeError(f"batch_norm: {' and '.join(missing)} must be given in evaluation")
    if len(missing) == 1:
        raise ValueError(f"batch_norm: {missing[0]} is missing: give both running statistics or neither")
    for name, tensor in {**running, "weight": weight, "bias": bias}.items():
        if tensor is not None and tensor.numel() != input.shape[1]:
            raise RuntimeError(f"batch_norm: {name} should contain {input.shape[1]} elements, not {tensor.numel()}")
        if tensor is not None and name in running and tensor.requires_grad:
            raise RuntimeError(f"batch_norm: {name} is no parameter: it cannot have requires_grad=True")
    floating("batch_norm", input, running_mean, running_var, weight, bias)
