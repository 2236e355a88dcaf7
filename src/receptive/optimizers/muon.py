"""Muon for convolutional networks (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

`torch.optim.Muon` orthogonalises the momentum of matrices only. Here the filters (out, in, k, k) of the hidden layers
are seen as matrices (out, in * k * k), and all the rest (biases, normalisation, the first and the last layer) is left
to AdamW, as the method's author advises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn


def matrix_view(parameter: Tensor) -> Tensor:
    """A weight (out, ...) as a matrix (out, rest) on the same storage.

    The order of the columns follows the memory format; Muon's update commutes with a permutation of the columns.
    """
    if parameter.is_contiguous():
        return parameter.detach().flatten(1)
    return parameter.detach().permute(0, 2, 3, 1).flatten(1)


class Muon(torch.optim.Optimizer):
    """Muon on the hidden filters, AdamW on the rest, as one optimizer with two parameter groups.

    Args:
        params: the network's parameters in the order of its layers; the first and last of those with two or more
            dimensions are taken for the input and the output layer.
        lr: learning rate of the matrices, Muon's (each update has about unit spectral norm).
        momentum: of Muon.
        nesterov: of Muon.
        weight_decay: of Muon, decoupled.
        adamw_lr: learning rate of the rest.
        adamw_betas: of AdamW.
        adamw_weight_decay: of AdamW, decoupled.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: Annotated[float, Gt(0)] = 0.02,
        momentum: Annotated[float, Ge(0), Lt(1)] = 0.95,
        nesterov: bool = True,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
        adamw_lr: Annotated[float, Gt(0)] = 1e-3,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_weight_decay: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        parameters = list(params)
        layers = [parameter for parameter in parameters if parameter.ndim >= 2]
        hidden = {id(parameter) for parameter in layers[1:-1]}
        self._filters = [parameter for parameter in parameters if id(parameter) in hidden]
        self._matrices = [matrix_view(parameter) for parameter in self._filters]
        rest = [parameter for parameter in parameters if id(parameter) not in hidden]
        # A net without hidden filters has nothing for Muon: torch refuses an empty list, so AdamW has it all.
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=adamw_lr, betas=adamw_betas, weight_decay=adamw_weight_decay)
        ]
        if self._matrices:
            muon = torch.optim.Muon(
                self._matrices, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
            )
            self._parts.insert(0, muon)
        super().__init__(parameters, {})
        owners = [self._filters, rest] if self._matrices else [rest]
        # what clips and scales gradients finds the network's own parameters here; the parts get the options
        self.param_groups = [
            {**part.param_groups[0], "params": own} for part, own in zip(self._parts, owners, strict=True)
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters; `closure`, if given, computes loss and gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for matrix, parameter in zip(self._matrices, self._filters, strict=True):
            if parameter.grad is None:
                matrix.grad = None
                continue
            if matrix.untyped_storage().data_ptr() != parameter.untyped_storage().data_ptr():
                raise RuntimeError("a parameter was moved after the optimizer was built: build Muon afterwards")
            grad = parameter.grad
            same = grad.is_contiguous() == parameter.is_contiguous()
            if not same:
                grad = torch.empty_like(parameter).copy_(grad)
            matrix.grad = matrix_view(grad)
        self._hand_on_options()
        for part in self._parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the network's own parameters."""
        for parameter in self._filters:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()
        for part in self._parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of both parts, plain containers and tensors."""
        self._hand_on_options()
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        for part, group in zip(self._parts, self.param_groups, strict=True):
            group.update({key: value for key, value in part.param_groups[0].items() if key != "params"})

    def _hand_on_options(self) -> None:
        """Give the parts what a schedule has set in `param_groups`."""
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups[0].update({key: value for key, value in group.items() if key != "params"})
