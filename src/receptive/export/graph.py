"""The network as it leaves the house: with its normalisation, and with the sizes of images that it takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as patched_config

from receptive.data.source import Facts
from receptive.errors import InputError
from receptive.models.smp import SmpNet
from receptive.models.unet import UNet

MOST_PIXELS = 2**15  # of a side that varies: torch wants a bound


@dataclass(frozen=True)
class Sizes:
    """Which heights and widths a file takes.

    Args:
        trained: (height, width) of the run's own images; of several sizes the largest.
        multiple: of sides that may vary: each is a multiple of it; None: `trained` alone.
        smallest: the smallest side that may be.
        reason: why the sizes are fixed; "" where they are not.
    """

    trained: tuple[int, int]
    multiple: int | None = None
    smallest: int = 0
    reason: str = ""

    @property
    def vary(self) -> bool:
        """Whether there are others than `trained`."""
        return self.multiple is not None


class Normalised(nn.Module):
    """A network with the normalisation before it: from images in [0, 1] to logits.

    Args:
        network: from normalised images (B, C, H, W).
        mean: of each channel, pixels in [0, 1].
        std: of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor([*mean])[:, None, None])
        self.register_buffer("std", torch.tensor([*std])[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """From (B, C, H, W) in [0, 1] to logits."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def portable(network: nn.Module) -> nn.Module:
    """A copy of a network for evaluation in float32 on the CPU, its weights laid out as if there were one layout."""
    found = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    return found.to(memory_format=torch.contiguous_format)


def sizes_of(network: nn.Module, facts: Facts, vary: bool) -> Sizes:
    """The sizes that a network can be exported for, found by giving it others than its own, without memory.

    Args:
        network: with or without weights.
        facts: of its data.
        vary: false: its own size alone.
    """
    trained = facts.image_size
    if not vary:
        return Sizes(trained, reason="dynamic_size=false")
    multiple = _multiple(network)
    if any(side % multiple for side in trained):
        return Sizes(trained, reason=f"the images' sides are no multiples of {multiple}, to which the network pads")
    network = copy.deepcopy(network).to("meta")
    # another shape, and well away from rounding by poolings
    others = [(2 * trained[0], 3 * trained[1]), (3 * trained[0], 2 * trained[1])]
    if not all(_takes(network, facts, size) for size in others):
        return Sizes(trained, reason="the network takes no other size")
    smallest = multiple
    while not _takes(network, facts, (smallest, smallest)):
        smallest += multiple
        if smallest > max(trained):
            return Sizes(trained, reason="the network takes no square images of its size")
    return Sizes(trained, multiple, smallest)


def _multiple(network: nn.Module) -> int:
    """To multiples of what a network pads its images: in a graph whose sizes vary there is no such step."""
    match network:
        case UNet():
            return 1 << len(network.decoder)
        case SmpNet():
            return int(network.multiple)
        case _:
            return 1


def _takes(network: nn.Module, facts: Facts, size: tuple[int, int]) -> bool:
    """Whether a network on the meta device gives logits of the right shape for images of a size."""
    try:
        with torch.inference_mode():
            logits = network(torch.empty(2, facts.in_channels, *size, device="meta"))
    except Exception:  # libraries' nets raise what they like
        return False
    return bool(logits.shape == (2, facts.num_classes, *(size if facts.target == "mask" else ())))


def traced(network: Normalised, facts: Facts, sizes: Sizes) -> tuple[ExportedProgram, Sizes]:
    """The graph of a network, for any batch, and the sizes that it takes: fixed ones where it cannot be traced else.

    Raises:
        InputError: torch.export cannot trace it.
    """
    try:
        return _trace(network, facts, sizes), sizes
    except Exception as error:  # of a dozen kinds
        name, told = type(network.network).__name__, " ".join(str(error).split())[:300]
        reason = f"torch.export cannot follow {name}: {told or type(error).__name__}"
    if not sizes.vary:
        raise InputError(reason)
    return traced(network, facts, Sizes(sizes.trained, reason=f"with sizes that vary {reason}"))


def _trace(network: nn.Module, facts: Facts, sizes: Sizes) -> ExportedProgram:
    shape = [2, facts.in_channels, *sizes.trained]
    dynamic: dict[int, Any] = {0: Dim("batch", min=1)}
    if sizes.multiple is not None:
        for axis, name in ((2, "height"), (3, "width")):
            side = Dim(name, min=sizes.smallest // sizes.multiple, max=MOST_PIXELS // sizes.multiple)
            dynamic[axis] = side if sizes.multiple == 1 else sizes.multiple * side
    # else a side that poolings make one pixel counts as a constant, and small images are shut out
    with torch.no_grad(), patched_config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        program = torch.export.export(network, (torch.rand(shape),), dynamic_shapes=(dynamic,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of this machine's files
    return program
