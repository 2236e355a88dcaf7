"""The reports' cases of each operator, with their inputs, their figures, and PyTorch's own function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from receptive import operators
from receptive.operators import loops, reported

Operator = Callable[..., Any]
SEED = 0


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        claims: where the reports have it.
        name: of the operator.
        text: parameters and the input's shape.
        tensors: in float64, or whole numbers.
        options: what follows the tensors.
        figure: the report's own, as it gives it.
        theirs: PyTorch's or torchvision's function.
        ours: the vectorised form.
        loops: the loop form, where the reports have loops.
        exact: whether nothing is computed, so that nothing may differ.
    """

    claims: str
    name: str
    text: str
    tensors: tuple[Tensor, ...]
    options: dict[str, Any]
    figure: str
    theirs: Operator
    ours: Operator
    loops: Operator | None = None
    exact: bool = False

    def arguments(self, dtype: torch.dtype) -> list[Tensor]:
        """The tensors, floating-point ones as `dtype`."""
        return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in self.tensors]


@dataclass(frozen=True)
class Specimen:
    """A wrong operator of a report, the row of ours that it belongs to, and its fault in words."""

    claim: str
    name: str
    fault: str
    operator: Operator


def reports_cases() -> list[Case]:
    """R1.1 to R1.11, which R2.1 to R2.11 repeat, and R3.1; inputs are drawn from a fixed seed."""
    generator = torch.Generator().manual_seed(SEED)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return [*_pictures(normal), *_numbers(normal, generator), *_unfolded(normal)]


def _case(claims: str, name: str, text: str, tensors: tuple[Tensor, ...], figure: str, **more: Any) -> Case:
    options = more.pop("options", {})
    theirs = more.pop("theirs", None) or getattr(F, name)
    by_loops = getattr(loops, name) if name in loops.__all__ else None
    ours = more.pop("ours", None) or getattr(operators, name)
    return Case(claims, name, text, tensors, options, figure, theirs, ours, by_loops, **more)


def _pictures(normal: Callable[..., Tensor]) -> list[Case]:
    """Cases on an image of CIFAR-10's size."""
    from torchvision.ops import roi_pool

    image, two = normal(1, 3, 32, 32), {"kernel_size": 2, "stride": 1}
    boxes = torch.tensor([[0, 0, 0, 6.5, 6.5]], dtype=torch.float64)
    five = {"stride": 2, "dilation": 2}
    return [
        _case("R1.1 R2.1", "max_pool2d", "2x2, stride 1; 1x3x32x32", (image,), "1e-4, 31x31", options=two, exact=True),
        _case("R1.2 R2.2", "avg_pool2d", "2x2, stride 1; 1x3x32x32", (image,), "1e-4, 31x31", options=two),
        _case("R1.3 R2.3", "conv2d", "3->6, 3x3; 1x3x32x32", (image, normal(6, 3, 3, 3), normal(6)), "3e-4"),
        _case(
            "R1.4 R2.4",
            "conv2d",
            "3->6, 5x5, stride 2, dil. 2; 1x3x32x32",
            (image, normal(6, 3, 5, 5), normal(6)),
            "3e-5",
            options=five,
        ),
        _case("R1.5 R2.5", "conv_transpose2d", "3->4, 3x3; 1x3x32x32", (image, normal(3, 4, 3, 3), normal(4)), "2e-4"),
        _case("R1.6 R2.6", "flatten", "0 to -1; 1x3x32x32", (image,), "1e-4", theirs=torch.flatten, exact=True),
        _case("R1.7 R2.7", "sigmoid", "1x3x32x32", (image,), "4e-5", theirs=torch.sigmoid),
        _case(
            "R1.8 R2.8",
            "roi_pool",
            "0 to 6.5 a side, 3x3 bins; 1x3x32x32",
            (image, boxes),
            "8e-6",
            theirs=roi_pool,
            options={"output_size": (3, 3)},
            exact=True,
        ),
    ]


def _numbers(normal: Callable[..., Tensor], generator: torch.Generator) -> list[Case]:
    """Normalisation and losses."""
    images, mean, var = normal(4, 3, 32, 32), normal(3), normal(3).square() + 0.1
    labels = torch.randint(5, (3,), generator=generator)
    return [
        _case("R1.9 R2.9", "batch_norm", "evaluation, eps 1e-5; 4x3x32x32", (images, mean, var), "5e-4"),
        _case("R1.10 R2.10", "cross_entropy", "indices, mean; 3x5", (normal(3, 5), labels), "equal, 1.3397"),
        _case(
            "R1.11 R2.11", "mse_loss", "mean; 1x3x32x32", (normal(1, 3, 32, 32), normal(1, 3, 32, 32)), "1.9804, 2.0003"
        ),
    ]


def _unfolded(normal: Callable[..., Tensor]) -> list[Case]:
    """R3.1: convolution of 16 images with 8 filters, and what it is made of."""
    images, filters = normal(16, 3, 32, 32), normal(8, 3, 3, 3)
    text, padded = "3x3, padding 1; 16x3x32x32", {"padding": 1}
    return [
        _case("R3.1", "unfold", text, (images,), "", options={"kernel_size": 3, **padded}, exact=True),
        _case(
            "R3.1",
            "fold",
            "3x3, padding 1; 16x27x1024",
            (normal(16, 27, 1024),),
            "",
            options={"output_size": (32, 32), "kernel_size": 3, **padded},
        ),
        _case("R3.1", "conv2d", "3->8, " + text, (images, filters), "", options=padded),
        _case(
            "R3.1",
            "Conv2dFunction",
            "3->8, " + text,
            (images, filters),
            "",
            options=padded,
            theirs=F.conv2d,
            ours=lambda input, weight, padding: operators.Conv2dFunction.apply(input, weight, None, 1, padding),
        ),
    ]


SPECIMENS = (
    Specimen(
        "R2.8",
        "roi_pool",
        "loses the overlap of its bins, [0,3) [2,6) [5,8); rebuilt, as we read it, with [0,2) [2,5) [5,8)",
        reported.roi_pool,
    ),
    Specimen("R2.9", "batch_norm", "divides by sqrt(var - eps) and fills in sample 0 only", reported.batch_norm),
)
