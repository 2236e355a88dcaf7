"""Whether a network takes the data's images: it is built without memory (meta device) and fed a batch of each size."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from receptive.signatures import guilty

if TYPE_CHECKING:
    from torch import nn

    from receptive.data.source import Facts


def model_faults(facts: Facts, model: dict[str, Any]) -> list[str]:
    """What keeps the network of a config node from the data's images: one line with the remedy, or nothing.

    The largest size comes first, for which the network is built; then the others, from the smallest.
    """
    name = model["_target_"].rpartition(".")[2]
    network: nn.Module | None = None
    for size in dict.fromkeys((facts.image_size, *facts.sizes)):
        shape = (2, facts.in_channels, *size)
        try:
            if network is None:
                network, device = unweighted(facts, model)
            output = _output(network, shape, device)
        except Exception as error:  # whatever a network raises, it cannot be used
            if size != facts.image_size:
                return [_size_fault(facts, size, model, name)]
            return [f"{guilty('model', model, error)}  ({name} with images of {'x'.join(map(str, shape[1:]))})"]
        if found := _output_faults(facts, output, size, name):
            return found
    return []


def _output(network: nn.Module, shape: tuple[int, ...], device: str) -> Any:
    import torch

    with torch.no_grad():
        return network(torch.empty(shape, device=device))


def _output_faults(facts: Facts, output: Any, size: tuple[int, int], name: str) -> list[str]:
    import torch

    wanted = (2, facts.num_classes, *(size if facts.target == "mask" else ()))
    if isinstance(output, torch.Tensor) and output.shape == wanted:
        return []
    given = tuple(output.shape) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
    kind = "a class for each pixel: choose model=unet or another net for masks" if facts.target == "mask" else "a class"
    return [f"model: {name} gives {given} for 2 images, the data need {wanted}, {kind}"]


def _size_fault(facts: Facts, size: tuple[int, int], model: dict[str, Any], name: str) -> str:
    """Why a size is refused by a network that takes the largest: it is too small for it, or not the only one."""
    alone = dataclasses.replace(facts, image_size=size, image_sizes=())
    if too_small := model_faults(alone, model):
        return f"{too_small[0]}: leave the size out of data.source.sizes"
    return (
        f"model: {name} takes images of one size alone, the data have several ({facts.shapes}): choose a net with "
        f"global pooling, e.g. model=mnist_global_max, or resize all to one size, e.g. data.source.resize={size[0]}"
    )


def unweighted(facts: Facts, model: dict[str, Any]) -> tuple[nn.Module, str]:
    """The network on the meta device, where building costs nothing; on the CPU if its constructor reads tensors."""
    import torch

    from receptive.build import build_model

    node = OmegaConf.create(dict(model))
    try:
        with torch.device("meta"):
            return build_model(node, facts), "meta"
    except NotImplementedError:  # "Cannot copy out of meta tensor"
        return build_model(node, facts), "cpu"
