"""`receptive operators shapes`: the output-size formulas with numbers, held against PyTorch (R3.4, R3.10, R4.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from receptive import operators
from receptive.operators.geometry import Size, transposed_side, window_side

ACCEPTED = "accepted"


@dataclass(frozen=True)
class Line:
    """A line of the explanation.

    Args:
        text: of it.
        equal: whether what it says is PyTorch's; None: nothing of it is held against PyTorch.
        theirs: what PyTorch has.
    """

    text: str
    equal: bool | None = None
    theirs: str = ""


def print_shapes(console: Console) -> bool:
    """Print the explanation; gives whether every size and refusal is PyTorch's."""
    lines = list(explanation())
    for line in lines:
        mark = f"   but PyTorch has {line.theirs}" if line.equal is False else ""
        console.print(line.text + mark)
    checked = [line.equal for line in lines if line.equal is not None]
    console.print(f"\n{sum(checked)} of {len(checked)} sizes and refusals are PyTorch's.")
    return all(checked)


def shown(shape: Sequence[int]) -> str:
    """(1, 3, 4) as 1x3x4."""
    return "x".join(map(str, shape))


def steps(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False) -> str:
    """The formula of one side with its numbers, from the input's pixels to the output's."""
    name, free = "ceil" if ceil_mode else "floor", size + 2 * padding - dilation * (kernel - 1) - 1
    whole = -(-free // stride) if ceil_mode else free // stride
    side = window_side(size, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    text = (
        f"{size}: {name}(({size} + 2*{padding} - {dilation}*({kernel} - 1) - 1) / {stride}) + 1"
        f" = {name}({free} / {stride}) + 1 = {whole} + 1 = {whole + 1}"
    )
    if side != whole + 1:
        start = whole * stride
        text += f", less 1 = {side}: the last would start at {start}, not before {size} + {padding}, on padding alone"
    return text


def explanation() -> Iterator[Line]:
    """All lines."""
    yield from _convolution()
    yield from _pooling()
    yield from _transposed()
    yield from _sign_net()
    yield from _global_pooling()


def _sized(text: str, ours: Sequence[int], theirs: Sequence[int]) -> Line:
    return Line(text, tuple(ours) == tuple(theirs), shown(theirs))


def _meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _convolution() -> Iterator[Line]:
    yield Line("Convolution, a side: floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1")
    yield Line("R3.4: 3 -> 16 channels, 5x5, stride 2, padding 1")
    weight = _meta(16, 3, 5, 5)
    for width, height in ((1024, 768), (1920, 1080)):
        for size in (width, height):
            yield Line("  " + steps(size, 5, 2, 1))
        theirs = F.conv2d(_meta(1, 3, height, width), weight, stride=2, padding=1).shape
        across, down = (window_side(size, 5, stride=2, padding=1) for size in (width, height))
        yield _sized(
            f"  {width}x{height} -> {across}x{down} (width x height); as a tensor 1x3x{height}x{width} -> "
            f"1x16x{down}x{across}",
            (1, 16, down, across),
            theirs,
        )


def _pooling() -> Iterator[Line]:
    yield Line("\nPooling: the same formula; ceil_mode rounds up, but the last window starts on the input or before it")
    for size, kernel, stride, padding in ((8, 3, 2, 0), (3, 2, 2, 1)):
        for ceil_mode in (False, True):
            side = window_side(size, kernel, stride=stride, padding=padding, ceil_mode=ceil_mode)
            theirs = F.max_pool2d(_meta(1, 1, size, size), kernel, stride, padding, ceil_mode=ceil_mode).shape[3:]
            text = f"  {kernel}x{kernel}, stride {stride}, padding {padding}, ceil_mode {ceil_mode}"
            yield _sized(f"{text}: {steps(size, kernel, stride, padding, 1, ceil_mode)}", (side,), theirs)


def _transposed() -> Iterator[Line]:
    yield Line(
        "\nTransposed convolution, the inverse: "
        "(in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1"
    )
    yield Line("  3x3, stride 2, padding 1: a convolution takes 7 and 8 to 4; output_padding says which comes back")
    for size, extra in ((7, 0), (8, 1)):
        yield _sized(
            "  " + steps(size, 3, 2, 1),
            (window_side(size, 3, stride=2, padding=1),),
            F.conv2d(_meta(1, 1, size, size), _meta(1, 1, 3, 3), stride=2, padding=1).shape[3:],
        )
        side = transposed_side(4, 3, stride=2, padding=1, output_padding=extra)
        theirs = F.conv_transpose2d(_meta(1, 1, 4, 4), _meta(1, 1, 3, 3), None, 2, 1, extra).shape[3:]
        yield _sized(f"  4: (4 - 1)*2 - 2*1 + 1*(3 - 1) + {extra} + 1 = {side}", (side,), theirs)


def _sign_net() -> Iterator[Line]:
    yield Line("\nR4.6: the sign net on 28x28, without padding (height x width x channels)")
    maps, size = _meta(1, 3, 28, 28), 28
    for name, channels, kernel in (("conv", 64, 5), ("conv", 32, 5), ("pool", 32, 2), ("conv", 32, 3), ("pool", 32, 2)):
        stride = kernel if name == "pool" else 1
        text, size = steps(size, kernel, stride), window_side(size, kernel, stride=stride)
        if name == "pool":
            maps = F.max_pool2d(maps, kernel)
        else:
            maps = F.conv2d(maps, _meta(channels, maps.shape[1], kernel, kernel))
        ours = (1, channels, size, size)
        yield _sized(f"  {name} {kernel}x{kernel} -> {size}x{size}x{channels}   {text}", ours, maps.shape)
    flat = torch.flatten(maps, 1).shape[1:]
    yield _sized(f"  flatten -> {32 * size * size}   32 * {size} * {size}", (32 * size * size,), flat)


def _global_pooling() -> Iterator[Line]:
    yield Line("\nR3.10: global pooling takes any height and width to 1x1: the mean or maximum over the whole plane")
    sizes: tuple[Size, ...] = ((28, 28), (32, 32), (48, 64), (64, 64), (1, 1))
    for height, width in sizes:
        maps = torch.zeros(4, 81, height, width)  # on the meta device a window of so many cells takes seconds
        mean, largest = operators.avg_pool2d(maps, (height, width)), operators.max_pool2d(maps, (height, width))
        assert isinstance(largest, Tensor)
        theirs = [*F.adaptive_avg_pool2d(maps, 1).shape, *F.adaptive_max_pool2d(maps, 1).shape]
        text = f"  {shown(maps.shape)} -> average {shown(mean.shape)}, maximum {shown(largest.shape)}"
        yield _sized(text, [*mean.shape, *largest.shape], theirs)
    weight = _meta(16, 1, 3, 3)
    for image in (_meta(1, 1, 48, 48), _meta(1, 48, 48)):
        maps, theirs_maps = operators.conv2d(image, weight, padding=1), F.conv2d(image, weight, padding=1)
        text = f"  one image at a time: {shown(image.shape)} -> {shown(maps.shape)}"
        yield _sized(text, maps.shape, theirs_maps.shape)
    ours, refusal = (_answer(convolution) for convolution in (operators.conv2d, F.conv2d))
    refused = ACCEPTED not in (ours, refusal)
    yield Line("  another number of channels is refused:", refused, refusal)
    yield Line(f"    ours: {ours}")
    yield Line(f"    PyTorch: {refusal}")


def _answer(convolution: Callable[..., Tensor]) -> str:
    """What a convolution of one channel says to an image of three."""
    try:
        convolution(torch.zeros(1, 3, 48, 48), torch.zeros(16, 1, 3, 3), padding=1)
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ACCEPTED
