"""Which layers a network has, and what each gives when it runs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from receptive.errors import InputError
from receptive.models.unet import UNet
from receptive.recording.layers import by_channel, chosen_layers, is_nonnegative, kind_of, label_of, layers_of, watching


class Shared(nn.Module):
    """One rectifier after two layers, which are registered in the order in which they do not run."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.act = nn.ReLU()
        self.first = nn.Linear(3, 4)
        self.unused = nn.Linear(1, 1)
        self.drop = nn.Dropout(0.5)
        self.same = nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        hidden = self.same(self.drop(self.act(self.first(values))))
        output: Tensor = self.act(self.last(hidden))
        return output


class Odd(nn.Module):
    """Gives what is no batch of floating-point values."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, values: Tensor) -> Any:
        return self.output


def visited(model: nn.Module, given: Tensor, **options: Any) -> list[tuple[str, Tensor]]:
    seen: list[tuple[str, Tensor]] = []
    with watching(model, layers_of(model), lambda name, value: seen.append((name, value.clone())), **options):
        model(given)
    return seen


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Shared().eval()


INPUTS = torch.tensor([[1.0, -2.0, 3.0], [0.0, 1.0, -1.0]])


class TestLayersOf:
    def test_modules_without_modules_of_their_own_in_their_order(self, net: nn.Module) -> None:
        assert list(layers_of(net)) == ["last", "act", "first", "unused"]

    def test_of_nested_modules_the_innermost(self) -> None:
        net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), nn.Dropout2d(), nn.Flatten())
        assert {name: kind_of(layer) for name, layer in layers_of(net).items()} == {
            "0.0": "Conv2d", "0.1": "BatchNorm2d", "2": "Flatten",
        }  # fmt: skip

    def test_of_a_unet_every_convolution(self) -> None:
        net = UNet(in_channels=1, num_classes=2, base_channels=4, depth=2)
        convolutions = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
        assert [name for name, layer in layers_of(net).items() if isinstance(layer, nn.Conv2d)] == convolutions


class TestChosenLayers:
    @pytest.fixture
    def unet(self) -> nn.Module:
        return UNet(in_channels=1, num_classes=2, base_channels=4, depth=2)

    def test_none_is_all(self, net: nn.Module) -> None:
        assert list(chosen_layers(net, None)) == list(layers_of(net))

    @pytest.mark.parametrize(
        ("patterns", "wanted"),
        [
            (["first"], ["first"]),
            (["first", "last"], ["last", "first"]),  # in the network's order
            (["Linear"], ["last", "first", "unused"]),
            (["*st"], ["last", "first"]),
            (["Re*", "last"], ["last", "act"]),
            (["[!u]*", "first"], ["last", "act", "first", "unused"]),  # a kind fits too
        ],
    )
    def test_names_kinds_and_patterns_of_either(self, net: nn.Module, patterns: list[str], wanted: list[str]) -> None:
        assert list(chosen_layers(net, patterns)) == wanted

    @pytest.mark.parametrize(
        ("patterns", "told"),
        [
            (["frist"], "there is no 'frist'; the nearest names are first"),
            (["first", "linear"], "there is no 'linear'; the nearest names are Linear"),
            (["????????"], "there is no '????????'; the nearest names are last, act, first"),
            ([], "layers=[]: give names, kinds or patterns"),
            (["drop"], "there is no 'drop'"),  # in evaluation it gives what it gets
        ],
    )
    def test_what_fits_nothing_is_told_with_the_nearest(self, net: nn.Module, patterns: list[str], told: str) -> None:
        with pytest.raises(InputError) as caught:
            chosen_layers(net, patterns)
        assert told in str(caught.value)
        assert str(caught.value).startswith("layers")

    def test_a_part_of_a_unet(self, unet: nn.Module) -> None:
        parents = {name.partition(".")[0] for name in layers_of(unet)}
        for parent in parents:
            chosen = chosen_layers(unet, [f"{parent}*"])
            assert list(chosen) == [name for name in layers_of(unet) if name.startswith(parent)]


class TestLabels:
    def test_what_all_names_share_is_left_out(self) -> None:
        net = nn.Module()
        net.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
        assert label_of("layers.0", layers_of(net)) == "0 Conv2d"
        assert label_of("layers.1#2", layers_of(net)) == "1#2 ReLU"

    def test_nothing_is_left_out_of_names_at_the_top_or_in_several_places(self, net: nn.Module) -> None:
        assert label_of("first", layers_of(net)) == "first Linear"
        nested = nn.ModuleDict({"up": nn.Sequential(nn.ReLU()), "down": nn.Sequential(nn.ReLU())})
        assert label_of("up.0", layers_of(nested)) == "up.0 ReLU"


class TestWatching:
    def test_layers_are_visited_in_the_order_in_which_they_run(self, net: nn.Module) -> None:
        seen = visited(net, INPUTS)
        assert [name for name, _ in seen] == ["first", "act", "last", "act#2"]
        first = net.get_parameter("first.weight") @ INPUTS.T + net.get_parameter("first.bias")[:, None]
        hidden = first.T.clamp_min(0)
        last = hidden @ net.get_parameter("last.weight").T + net.get_parameter("last.bias")
        for (_, found), wanted in zip(seen, (first.T, hidden, last, last.clamp_min(0)), strict=True):
            torch.testing.assert_close(found, wanted)

    def test_the_count_of_calls_begins_anew_with_each_pass(self, net: nn.Module) -> None:
        names: list[str] = []
        with watching(net, layers_of(net), lambda name, _: names.append(name)):
            net(INPUTS)
            net(INPUTS[:1])
        assert names == ["first", "act", "last", "act#2"] * 2

    def test_and_after_a_pass_that_failed(self, net: nn.Module) -> None:
        names: list[str] = []
        with watching(net, layers_of(net), lambda name, _: names.append(name)):
            broken = net.get_submodule("last").register_forward_pre_hook(lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                net(INPUTS)
            broken.remove()
            net(INPUTS)
        assert names == ["first", "act", "first", "act", "last", "act#2"]

    def test_what_a_layer_gets(self, net: nn.Module) -> None:
        seen = visited(net, INPUTS, inputs=True)
        outputs = [value for _, value in visited(net, INPUTS)]
        assert [name for name, _ in seen] == ["first", "act", "last", "act#2"]
        for (_, found), wanted in zip(seen, [INPUTS, *outputs[:3]], strict=True):
            assert torch.equal(found, wanted)

    def test_only_what_is_asked_for(self, net: nn.Module) -> None:
        names: list[str] = []
        with watching(net, chosen_layers(net, ["last"]), lambda name, _: names.append(name)):
            net(INPUTS)
        assert names == ["last"]

    def test_no_hook_is_left(self, net: nn.Module) -> None:
        visited(net, INPUTS)
        assert hooks(net) == 0
        with pytest.raises(RuntimeError), watching(net, layers_of(net), lambda *_: None):
            assert hooks(net) == 1 + len(layers_of(net))
            net(torch.zeros(2, 7))
        assert hooks(net) == 0

    def test_the_networks_output_stays(self, net: nn.Module) -> None:
        with watching(net, layers_of(net), lambda *_: None):
            watched = net(INPUTS)
        assert torch.equal(watched, net(INPUTS))

    @pytest.mark.parametrize(
        "output", [torch.ones(2, 3, dtype=torch.long), torch.ones(3), (torch.ones(2, 2),), None], ids=str
    )
    def test_what_is_no_batch_of_numbers_is_passed_over(self, output: Any) -> None:
        assert visited(nn.Sequential(Odd(output)), INPUTS) == []
        assert [name for name, _ in visited(nn.Sequential(Odd(torch.ones(2, 2))), INPUTS)] == ["0"]


def test_channels_are_in_dimension_1() -> None:
    assert by_channel(torch.zeros(2, 5)).shape == (2, 5)
    assert by_channel(torch.zeros(2, 5, 3, 4)).shape == (2, 5, 3, 4)
    tokens = torch.arange(24.0).view(2, 4, 3)
    assert torch.equal(by_channel(tokens), tokens.transpose(1, 2))


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Hardsigmoid(), nn.Softplus()], ids=repr)
def test_layers_that_are_called_nonnegative_are(layer: nn.Module) -> None:
    assert is_nonnegative(layer)
    assert layer(torch.linspace(-100, 100, 1001)).min() >= 0


def test_other_layers_are_not_called_so() -> None:
    assert not any(
        is_nonnegative(layer) for layer in (nn.ELU(), nn.LeakyReLU(), nn.GELU(), nn.SiLU(), nn.Conv2d(1, 1, 1))
    )
