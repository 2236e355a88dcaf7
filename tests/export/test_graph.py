"""Which sizes a network is exported for, and that its graph gives what it gives."""

import pytest
import torch
from torch import Tensor, nn

from receptive.data.source import Facts
from receptive.errors import InputError
from receptive.export.graph import Normalised, Sizes, portable, sizes_of, traced
from receptive.models.convnet import ConvNet
from receptive.models.mnist_net import MnistNet
from receptive.models.sign_net import SignNet
from receptive.models.unet import UNet


def facts(channels: int, size: tuple[int, int], *, masks: bool = False) -> Facts:
    return Facts(channels, size, ("a", "b"), (0.5,) * channels, (0.2,) * channels, "mask" if masks else "label")


def flat(size: tuple[int, int]) -> MnistNet:
    return MnistNet(in_channels=1, num_classes=2, image_size=size, channels=(4, 4))


class Squares(nn.Module):
    """Takes square images alone."""

    def forward(self, images: Tensor) -> Tensor:
        return (images @ images).mean(dim=(1, 2, 3))[:, None].repeat(1, 2)


CASES = {
    "one size": (flat((28, 28)), facts(1, (28, 28)), None, 0),
    # 28 and 29 pixels leave the same number behind the poolings: the net takes both by chance
    "one size, nearly two": (SignNet(in_channels=3, num_classes=2, image_size=(28, 28)), facts(3, (28, 28)), None, 0),
    "global maximum": (
        MnistNet(in_channels=1, num_classes=2, channels=(4, 4, 4), head="global_max"), facts(1, (28, 28)), 1, 8,
    ),
    "global mean": (
        ConvNet(in_channels=3, num_classes=2, stage_channels=(4, 4)), facts(3, (32, 32)), 1, 2,
    ),
    "masks": (
        UNet(in_channels=1, num_classes=2, base_channels=2, depth=3), facts(1, (48, 40), masks=True), 8, 8,
    ),
    "masks that are padded": (
        UNet(in_channels=1, num_classes=2, base_channels=2, depth=3), facts(1, (48, 44), masks=True), None, 0,
    ),
    "squares": (Squares(), facts(1, (8, 8)), None, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_sizes_that_a_network_takes(case: str) -> None:
    network, known, multiple, smallest = CASES[case]
    found = sizes_of(network, known, True)
    assert (found.multiple, found.smallest, found.trained) == (multiple, smallest, known.image_size)
    assert bool(found.reason) == (multiple is None)
    assert next(network.parameters(), torch.empty(0)).device.type == "cpu"
    assert sizes_of(network, known, False).multiple is None


@pytest.mark.parametrize("case", ["global maximum", "global mean", "masks"])
def test_the_graph_gives_what_the_network_gives(case: str) -> None:
    network, known, multiple, smallest = CASES[case]
    network = network.to(memory_format=torch.channels_last).train()
    whole = Normalised(portable(network), known.mean, known.std).eval()
    program, sizes = traced(whole, known, sizes_of(network, known, True))
    assert sizes.vary
    assert network.training
    network.eval()
    assert multiple is not None
    for shape in ((1, 40, 48), (5, smallest + multiple, smallest + 2 * multiple), (2, smallest, smallest)):
        images = torch.rand(shape[0], known.in_channels, *shape[1:])
        with torch.no_grad():
            wanted = network(((images - 0.5) / 0.2).contiguous(memory_format=torch.channels_last))
            for given in (images, images.contiguous(memory_format=torch.channels_last)):
                assert torch.allclose(program.module()(given), wanted, atol=1e-5)
    assert not any("stack_trace" in node.meta for node in program.graph.nodes)


class OneSizeInGraphs(nn.Module):
    """Takes any size, by a branch on it that no graph has."""

    def forward(self, images: Tensor) -> Tensor:
        sums = images.sum(dim=(1, 2, 3))[:, None].repeat(1, 2)
        return sums if images.shape[2] % 7 == 1 else -sums


def test_a_network_whose_graph_has_one_size_is_exported_for_it() -> None:
    known = facts(1, (8, 8))
    sizes = sizes_of(OneSizeInGraphs(), known, True)
    assert sizes.vary
    program, found = traced(Normalised(OneSizeInGraphs(), [0.0], [1.0]), known, sizes)
    assert found.reason.startswith("with sizes that vary torch.export cannot follow OneSizeInGraphs")
    assert not found.vary
    assert torch.equal(program.module()(torch.ones(3, 1, 8, 8)), torch.full((3, 2), 64.0))


class Branches(nn.Module):
    """Depends on values: no graph."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3))[:, None].repeat(1, 2) if images.mean() > 0 else images[:, 0, :2, 0]


def test_a_network_without_a_graph_is_refused() -> None:
    with pytest.raises(InputError, match=r"torch.export cannot follow Branches: .+"):
        traced(Normalised(Branches(), [0.0], [1.0]), facts(1, (8, 8)), Sizes((8, 8)))
