"""Whether a network takes the data's images, against the networks themselves."""

import dataclasses
from typing import Any

import pytest
import torch

from receptive.data.source import Facts
from receptive.model_check import model_faults, unweighted
from receptive.models.mnist_net import MnistNet

ONE = Facts(1, (28, 28), tuple("0123456789"), (0.5,), (0.5,))
SEVERAL = dataclasses.replace(ONE, image_size=(64, 64), image_sizes=((32, 32), (48, 48), (64, 64)))


def node(**options: Any) -> dict[str, Any]:
    return {"_target_": "receptive.models.mnist_net.MnistNet"} | options


@pytest.mark.parametrize("head", ["flatten", "global_max", "global_avg"])
@pytest.mark.parametrize("facts", [ONE, SEVERAL])
def test_is_what_the_network_says_of_every_size(facts: Facts, head: Any) -> None:
    network = MnistNet(in_channels=1, num_classes=10, image_size=facts.image_size, head=head)
    refused = False
    for size in facts.sizes:
        try:
            assert network(torch.zeros(2, 1, *size)).shape == (2, 10)
        except RuntimeError:
            refused = True
    assert bool(model_faults(facts, node(head=head))) == refused == (facts is SEVERAL and head == "flatten")


def test_a_net_of_one_size_and_one_that_is_too_small_have_different_remedies() -> None:
    [tied] = model_faults(SEVERAL, node())
    assert "takes images of one size alone" in tied and "model=mnist_global_max" in tied and "resize=32" in tied
    small = dataclasses.replace(SEVERAL, image_sizes=((4, 4), (64, 64)))
    [message] = model_faults(small, node(head="global_avg"))
    assert "1x4x4" in message and "leave the size out of data.source.sizes" in message
    [message] = model_faults(small, node())
    assert "too small for 3 poolings" in message and "leave the size out of data.source.sizes" in message


def test_the_network_is_built_once_and_tried_with_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    built, seen = [], []

    def build(model: Any, facts: Facts) -> torch.nn.Module:
        built.append(facts.image_size)
        network = MnistNet(in_channels=1, num_classes=10, head="global_max")
        network.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[2:])))
        return network

    monkeypatch.setattr("receptive.build.build_model", build)
    assert model_faults(SEVERAL, node()) == []
    assert built == [(64, 64)] and seen == [(64, 64), (32, 32), (48, 48)]


def test_nothing_is_allocated() -> None:
    network, device = unweighted(SEVERAL, node(head="global_max"))
    assert device == "meta" and all(weight.is_meta for weight in network.parameters())
