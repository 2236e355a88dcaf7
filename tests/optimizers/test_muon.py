"""Muon against torch's own Muon on the flattened filters and torch's AdamW on the rest."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from receptive.optimizers.muon import Muon, matrix_view

OPTIONS: dict[str, Any] = {
    "lr": 0.05,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.1,
    "adamw_lr": 0.003,
    "adamw_betas": (0.8, 0.9),
    "adamw_weight_decay": 0.02,
}
HIDDEN = ("3.weight", "6.weight", "7.weight")
STEPS = 4


@pytest.fixture
def net() -> nn.Sequential:
    """Three hidden filter banks, 1x1 and strided among them, between a first and a last layer; 7x7 images."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 16, 2, bias=False),
        nn.ReLU(),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 8, 1),
        nn.Conv2d(8, 8, 2, stride=2),
        nn.Flatten(),
        nn.Linear(8 * 2 * 2, 5),
    )


def give_gradients(net: nn.Module, step: int, memory_format: torch.memory_format | None = None) -> None:
    """Set random gradients, the same for every copy of a net, laid out as their parameters or as asked."""
    generator = torch.Generator().manual_seed(step)
    for parameter in net.parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
        if memory_format is not None and parameter.ndim == 4:
            parameter.grad = gradient.contiguous(memory_format=memory_format)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range = range(STEPS)) -> dict[str, Tensor]:
    """Take steps with random gradients; gives the parameters."""
    for step in steps:
        give_gradients(net, step)
        optimizer.step()
    return {name: parameter.detach().clone() for name, parameter in net.named_parameters()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def by_torch(
    net: nn.Module, flat: Callable[[Tensor], Tensor], unflat: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """The parameters after the same steps of torch's two optimizers, the hidden filters as own matrices."""
    parameters = dict(net.named_parameters())
    matrices = {name: flat(parameters[name].detach()).clone() for name in HIDDEN}
    rest = {name: value.detach().clone() for name, value in parameters.items() if name not in HIDDEN}
    muon = torch.optim.Muon(matrices.values(), lr=0.05, momentum=0.9, nesterov=False, weight_decay=0.1)
    adamw = torch.optim.AdamW(rest.values(), lr=0.003, betas=(0.8, 0.9), weight_decay=0.02)
    for step in range(STEPS):
        give_gradients(net, step)
        for name, parameter in parameters.items():
            assert parameter.grad is not None
            if name in HIDDEN:
                matrices[name].grad = flat(parameter.grad)
            else:
                rest[name].grad = parameter.grad
        muon.step()
        adamw.step()
    found = rest | {name: unflat(matrix, parameters[name]) for name, matrix in matrices.items()}
    return {name: found[name] for name in parameters}


def test_hidden_filters_are_muons_and_the_rest_adamws(net: nn.Sequential) -> None:
    wanted = by_torch(copy.deepcopy(net), lambda weight: weight.flatten(1), Tensor.view_as)
    assert_equal(train(net, Muon(net.parameters(), **OPTIONS)), wanted)


def test_channels_last_filters_are_matrices_with_permuted_columns(net: nn.Sequential) -> None:
    def flat(weight: Tensor) -> Tensor:
        return weight.permute(0, 2, 3, 1).flatten(1)

    def unflat(matrix: Tensor, like: Tensor) -> Tensor:
        rows, channels, height, width = like.shape
        return matrix.view(rows, height, width, channels).permute(0, 3, 1, 2)

    wanted = by_torch(copy.deepcopy(net), flat, unflat)
    net.to(memory_format=torch.channels_last)
    assert_equal(train(net, Muon(net.parameters(), **OPTIONS)), wanted)


def test_the_layout_in_memory_decides_nothing(net: nn.Sequential) -> None:
    """Up to the bfloat16 in which Muon orthogonalises."""
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    other = copy.deepcopy(net).to(memory_format=torch.channels_last)
    one = train(net, Muon(net.parameters(), **OPTIONS))
    two = train(other, Muon(other.parameters(), **OPTIONS))
    for name in one:
        moved = (one[name] - before[name]).norm()
        assert (one[name] - two[name]).norm() <= 0.02 * moved, name


@pytest.mark.parametrize("of_the_net", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_gradients", [torch.contiguous_format, torch.channels_last])
def test_gradients_may_be_laid_out_otherwise_than_their_parameters(
    net: nn.Sequential, of_the_net: torch.memory_format, of_gradients: torch.memory_format
) -> None:
    net.to(memory_format=of_the_net)
    other = copy.deepcopy(net)
    optimizer = Muon(other.parameters(), **OPTIONS)
    for step in range(STEPS):
        give_gradients(other, step, of_gradients)
        optimizer.step()
    wanted = train(net, Muon(net.parameters(), **OPTIONS))
    assert_equal({name: value.detach() for name, value in other.named_parameters()}, wanted)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_matrix_is_a_view_of_its_parameter(memory_format: torch.memory_format) -> None:
    for shape in ((6, 3, 2, 2), (6, 3, 1, 1), (6, 1, 3, 3), (1, 3, 2, 2)):
        weight = nn.Parameter(torch.randn(shape).contiguous(memory_format=memory_format))
        matrix = matrix_view(weight)
        matrix.mul_(2)
        assert matrix.shape == (shape[0], weight.numel() // shape[0])
        assert matrix.data_ptr() == weight.data_ptr()
        assert sorted(matrix[0].tolist()) == sorted(weight[0].flatten().tolist())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_saved_and_loaded_it_goes_on_alike(net: nn.Sequential, memory_format: torch.memory_format) -> None:
    net.to(memory_format=memory_format)
    optimizer = Muon(net.parameters(), **OPTIONS)
    train(net, optimizer)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    other = copy.deepcopy(net)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other_optimizer = Muon(other.parameters(), lr=0.5)  # the options come with the state
    other_optimizer.load_state_dict(saved["optimizer"])
    other.load_state_dict(saved["net"])
    more = range(STEPS, 2 * STEPS)
    assert_equal(train(other, other_optimizer, more), train(net, optimizer, more))


@pytest.mark.parametrize("loaded", [False, True])
def test_a_schedule_reaches_all_parameters(net: nn.Sequential, loaded: bool) -> None:
    optimizer = Muon(net.parameters(), **OPTIONS)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: [1.0, 0.5, 0.0][min(step, 2)])
    if loaded:
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.003]
    train(net, optimizer, range(1))
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 0.0015]
    moving = train(net, optimizer, range(1, 2))
    scheduler.step()
    still = train(net, optimizer, range(2, 3))
    assert_equal(still, moving)


def test_half_the_rate_is_half_the_step(net: nn.Sequential) -> None:
    other = copy.deepcopy(net)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer = Muon(net.parameters(), lr=0.04, adamw_lr=0.002)
    for group in optimizer.param_groups:
        group["lr"] /= 2
    halved, full = (
        train(net, optimizer, range(1)),
        train(other, Muon(other.parameters(), 0.04, adamw_lr=0.002), range(1)),
    )
    for name in before:
        torch.testing.assert_close(2 * (halved[name] - before[name]), full[name] - before[name], rtol=1e-3, atol=1e-6)


def test_the_groups_hold_the_networks_own_parameters(net: nn.Sequential) -> None:
    """What clips, scales and counts gradients finds them through the groups."""
    groups = Muon(net.parameters(), **OPTIONS).param_groups
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in net.parameters()}
    give_gradients(net, 0)
    torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
    norms = [p.grad.norm() for p in net.parameters() if p.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(1.0, rel=1e-4)


def test_a_closure_is_called_once_with_gradients_on(net: nn.Sequential) -> None:
    other = copy.deepcopy(net)
    images, targets = torch.randn(8, 3, 7, 7), torch.arange(8) % 5
    optimizer, plain = Muon(net.parameters(), **OPTIONS), Muon(other.parameters(), **OPTIONS)
    losses: list[float] = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), targets)
        loss.backward()
        losses.append(loss.item())
        return losses[-1]

    assert optimizer.step(closure) == losses[0]
    assert len(losses) == 1
    nn.functional.cross_entropy(other(images), targets).backward()
    assert plain.step() is None
    assert_equal(dict(net.named_parameters()), dict(other.named_parameters()))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_net_without_hidden_layers_is_adamws(layers: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*[nn.Conv2d(3, 3, 2) for _ in range(layers)])
    other = copy.deepcopy(net)
    adamw = torch.optim.AdamW(other.parameters(), lr=0.003, betas=(0.8, 0.9), weight_decay=0.02)
    optimizer = Muon(net.parameters(), **OPTIONS)
    assert_equal(train(net, optimizer), train(other, adamw))
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("stepped", [True, False])
def test_zero_grad_clears_every_gradient(net: nn.Sequential, set_to_none: bool, stepped: bool) -> None:
    optimizer = Muon(net.parameters(), **OPTIONS)
    give_gradients(net, 0)
    if stepped:
        optimizer.step()
    optimizer.zero_grad(set_to_none)
    for parameter in net.parameters():
        assert parameter.grad is None if set_to_none else not torch.as_tensor(parameter.grad).any()
    if set_to_none:  # no gradient of the step before is left anywhere
        before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        optimizer.step()
        assert_equal(dict(net.named_parameters()), before)


def test_a_filter_without_gradient_stays(net: nn.Sequential) -> None:
    optimizer = Muon(net.parameters(), **OPTIONS)
    train(net, optimizer, range(1))
    give_gradients(net, 1)
    unused = net.get_parameter("6.weight")
    unused.grad, before = None, unused.detach().clone()
    optimizer.step()
    assert torch.equal(unused, before)


def test_a_net_that_was_moved_later_is_refused(net: nn.Sequential) -> None:
    optimizer = Muon(net.parameters(), **OPTIONS)
    net.to(memory_format=torch.channels_last)
    give_gradients(net, 0)
    with pytest.raises(RuntimeError, match="moved after the optimizer was built"):
        optimizer.step()


def test_it_trains(net: nn.Sequential) -> None:
    torch.manual_seed(1)
    images, targets = torch.randn(32, 3, 7, 7), torch.arange(32) % 5
    optimizer = Muon(net.parameters())
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(net(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
