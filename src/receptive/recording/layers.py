"""The layers of a network, in the order in which they run, and a look at what each gives."""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from receptive.errors import InputError

Visit = Callable[[str, Tensor], None]

# In evaluation they give what they get.
_TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_NONNEGATIVE = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softplus)


def is_nonnegative(module: nn.Module) -> bool:
    """Whether a layer gives no value below 0, whatever it gets."""
    return isinstance(module, _NONNEGATIVE)


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Name -> module of every layer: the modules without modules of their own, in the order of their registration."""
    return {
        name: module
        for name, module in model.named_modules()
        if name and not any(True for _ in module.children()) and not isinstance(module, _TRANSPARENT)
    }


def kind_of(module: nn.Module) -> str:
    """What a layer is, as a layer table calls it: Conv2d, ReLU, MaxPool2d ..."""
    return type(module).__name__


def label_of(name: str, layers: Mapping[str, nn.Module]) -> str:
    """A layer's name, without the module that all of `layers` lie in, and its kind; of a repeated call too."""
    parents = {known.rpartition(".")[0] for known in layers}
    common = f"{parents.pop()}." if len(parents) == 1 else ""
    return f"{name if common == '.' else name.removeprefix(common)} {kind_of(layers[name.partition('#')[0]])}"


def chosen_layers(model: nn.Module, patterns: Sequence[str] | None) -> dict[str, nn.Module]:
    """The layers that the patterns name.

    Args:
        model: the network.
        patterns: names, kinds or shell patterns of either ("layers.0", "Conv2d", "encoder.*"); None: all layers.

    Raises:
        InputError: a pattern fits no layer, of which the nearest names are said, or there is no pattern.
    """
    layers = layers_of(model)
    if patterns is None:
        return layers
    if not patterns:
        raise InputError("layers=[]: give names, kinds or patterns; null: all")
    found: set[str] = set()
    for pattern in patterns:
        fitting = {
            name
            for name, module in layers.items()
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(kind_of(module), pattern)
        }
        if not fitting:
            words = [*layers, *dict.fromkeys(kind_of(module) for module in layers.values())]
            near = difflib.get_close_matches(pattern, words, 3, cutoff=0.4) or words[:3]
            raise InputError(f"layers: there is no {pattern!r}; the nearest names are {', '.join(near)}")
        found |= fitting
    return {name: module for name, module in layers.items() if name in found}


@contextmanager
def watching(
    model: nn.Module, layers: Mapping[str, nn.Module], visit: Visit, *, inputs: bool = False
) -> Iterator[None]:
    """Call `visit(name, output)` whenever a layer has run; a further call of one within a forward pass is `name#2`.

    Outputs that are no tensor of a batch of floating-point values are passed over.

    Args:
        model: the network that is called.
        layers: those of it to be watched, by name.
        visit: gets the output itself: it must not change it, and has to copy what it keeps.
        inputs: visit what a layer gets instead of what it gives.
    """
    calls: Counter[str] = Counter()

    def begin(*_: Any) -> None:
        calls.clear()

    def hook(name: str) -> Callable[..., None]:
        def see(module: nn.Module, given: Any, output: Any) -> None:
            calls[name] += 1
            seen = given[0] if inputs else output
            if isinstance(seen, Tensor) and seen.is_floating_point() and seen.ndim >= 2:
                with torch.autocast(seen.device.type, enabled=False):  # what is computed there is exact
                    visit(name if calls[name] == 1 else f"{name}#{calls[name]}", seen)

        return see

    handles = [model.register_forward_pre_hook(begin)]
    handles += [module.register_forward_hook(hook(name)) for name, module in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def outputs_of(model: nn.Module, layers: Mapping[str, nn.Module], call: Callable[[], object]) -> dict[str, Tensor]:
    """What every layer gives for one image: float32 (channels, *positions), on the CPU.

    Args:
        model: the network that is called.
        layers: those of it to be kept, by name.
        call: calls the network once, with a batch of that image.
    """
    found: dict[str, Tensor] = {}

    def keep(layer: str, output: Tensor) -> None:
        found[layer] = by_channel(output)[0].float().cpu()

    with watching(model, layers, keep):
        call()
    return found


def spread(values: Tensor, most: int) -> Tensor:
    """At most so many channels of (B, C) or (B, C, *positions), from the first to the last, evenly."""
    count = values.shape[1]
    if count <= most:
        return values
    return values[:, torch.linspace(0, count - 1, most, dtype=torch.float64, device=values.device).round().long()]


def by_channel(output: Tensor) -> Tensor:
    """A layer's output with its channels in dimension 1: (B, C), or (B, C, *positions).

    Maps (B, C, H, W) and vectors (B, C) are so already; of tokens (B, T, D) the D features are the channels.
    """
    return output.movedim(-1, 1) if output.ndim == 3 else output
