import inspect
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError
from torch import nn

MODEL = Path(__file__).parents[2] / "conf" / "model"


class Expected(NamedTuple):
    in_channels: int
    num_classes: int
    image_size: tuple[int, int]
    parameters: int
    claims: list[str]
    masks: bool = False  # logits for each pixel


EXPECTED = {
    "net_a": Expected(3, 10, (32, 32), 294_810, ["R0.1", "R2.12"]),
    "net_b": Expected(3, 10, (32, 32), 295_770, ["R0.2", "R2.15"]),
    "mnist_net": Expected(1, 10, (28, 28), 29_066, ["R3.2"]),
    "mnist_global_max": Expected(1, 10, (28, 28), 29_029, ["R3.6"]),
    "mnist_global_avg": Expected(1, 10, (28, 28), 29_029, ["R3.6"]),
    "sign_net": Expected(3, 43, (28, 28), 87_403, ["R4.1", "R4.6"]),
    "sign_net_bn": Expected(3, 43, (28, 28), 87_659, ["R4.2"]),
    "resnet18": Expected(3, 10, (32, 32), 11_181_642, ["1512.03385"]),
    "timm_mobilenetv3": Expected(3, 10, (32, 32), 578_474, ["1905.02244"]),
    "unet": Expected(1, 2, (48, 40), 1_965_298, ["1505.04597", "R4.7"], masks=True),
    "smp_unet": Expected(1, 2, (48, 40), 14_322_082, ["Iakubovskii"], masks=True),
    "smp_unetplusplus": Expected(1, 2, (48, 40), 15_964_322, ["1807.10165"], masks=True),
    "smp_fpn": Expected(1, 2, (48, 40), 13_041_090, ["1612.03144"], masks=True),
    "smp_deeplabv3plus": Expected(1, 2, (48, 40), 12_323_282, ["1802.02611"], masks=True),
}
FACTS = {"in_channels", "num_classes", "image_size"}


def read(name: str) -> dict[str, Any]:
    values = OmegaConf.to_container(OmegaConf.load(MODEL / f"{name}.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def signature(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(get_object(read(name)["_target_"]), eval_str=True).parameters)


def build(name: str) -> nn.Module:
    facts = EXPECTED[name]._asdict()
    taken = {key: facts[key] for key in FACTS & signature(name).keys()}
    model = instantiate(read(name), **taken, _convert_="all")
    assert isinstance(model, nn.Module)
    return model


def test_every_file_has_its_expectation():
    assert {path.stem for path in MODEL.glob("*.yaml")} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_values_give_the_parameters_of_the_comment(name: str):
    expected = EXPECTED[name]
    with torch.device("meta"):
        model = build(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected.parameters
    header = "".join(line for line in (MODEL / f"{name}.yaml").read_text().splitlines() if line.startswith("#"))
    assert f"{expected.parameters:,} parameters" in header
    assert all(claim in header for claim in expected.claims)


@pytest.mark.parametrize("name", EXPECTED)
def test_meta_device_gives_the_shape_of_the_logits(name: str):
    expected = EXPECTED[name]
    with torch.device("meta"):
        logits = build(name)(torch.randn(2, expected.in_channels, *expected.image_size))
    assert logits.is_meta
    assert logits.shape == (2, expected.num_classes, *(expected.image_size if expected.masks else ()))


@pytest.mark.parametrize("name", EXPECTED)
def test_every_argument_but_the_facts_stands_in_the_file(name: str):
    assert read(name).keys() - {"_target_"} == signature(name).keys() - FACTS


@pytest.mark.parametrize("name", EXPECTED)
def test_values_fit_the_annotations(name: str):
    for key, value in read(name).items():
        if key != "_target_":
            TypeAdapter(signature(name)[key].annotation).validate_python(value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("net_a", "activation", "relo"),
        ("net_a", "norm_position", "between"),
        ("net_a", "kernel_size", 4),
        ("net_a", "convs_per_stage", 0),
        ("net_a", "stage_channels", [16, -1]),
        ("mnist_net", "head", "max"),
        ("sign_net", "channels", [64, 32]),
        ("sign_net", "logits_relu", "perhaps"),
        ("unet", "upsampling", "bicubic"),
        ("unet", "depth", 0),
        ("unet", "depth", 9),
        ("unet", "base_channels", 0),
        ("unet", "norm", "layer"),
        ("smp_unet", "activation", "tanh"),
        ("smp_unet", "arguments", ["scse"]),
    ],
)
def test_annotations_refuse_what_cannot_work(name: str, key: str, value: Any):
    with pytest.raises(ValidationError):
        TypeAdapter(signature(name)[key].annotation).validate_python(value)
