"""The nets of segmentation_models_pytorch as we fit them, against the library's own."""

import os
import subprocess
import sys
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from receptive.models.smp import SmpNet, _replace_relu

FILES = ("unet", "unetplusplus", "fpn", "deeplabv3plus")  # conf/model/smp_*.yaml


def make(architecture: str = "unet", **options: Any) -> SmpNet:
    defaults: dict[str, Any] = {"in_channels": 1, "num_classes": 2, "encoder_name": "tu-resnet10t"}
    defaults |= {"upsampling": None, "activation": None}
    return SmpNet(architecture, **(defaults | options))


def relus(net: nn.Module) -> int:
    return sum(isinstance(layer, nn.ReLU) for layer in net.modules())


def test_the_library_loads_only_when_a_net_is_built() -> None:
    source = "import sys, receptive.models.smp; print('segmentation_models_pytorch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_is_the_librarys_net_with_its_initialisation() -> None:
    torch.manual_seed(0)
    ours = make(in_channels=3, num_classes=4, upsampling="bilinear", arguments={"decoder_attention_type": "scse"})
    torch.manual_seed(0)
    theirs = smp.Unet(
        "tu-resnet10t",
        encoder_weights=None,
        decoder_interpolation="bilinear",
        decoder_attention_type="scse",
        in_channels=3,
        classes=4,
    )
    weights = theirs.state_dict()
    assert ours.net.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in ours.net.state_dict().items())
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("architecture", FILES)
def test_training_reaches_every_parameter_at_an_odd_size(architecture: str, step_of_training: Any) -> None:
    torch.manual_seed(0)
    # timm's own nets begin with residual branches that give nothing
    net = make(architecture, num_classes=3, activation="silu", encoder_name="mobilenet_v2")
    step_of_training(net, torch.randn(3, 1, 37, 50), 3, torch.randint(3, (3, 37, 50)))


@pytest.mark.parametrize("architecture", sorted(set(smp.MODEL_ARCHITECTURES_MAPPING) - {"dpt", "pan"}))
def test_relus_of_the_decoder_alone_are_replaced(architecture: str) -> None:
    with torch.device("meta"):
        theirs = make(architecture, encoder_name="resnet18")
        ours = make(architecture, encoder_name="resnet18", activation="elu")
        shape = ours(torch.randn(2, 1, 70, 41)).shape
    assert shape == (2, 2, 70, 41)
    assert relus(theirs.net.decoder) > 0
    assert relus(ours.net.decoder) == 0
    replaced = sum(isinstance(layer, nn.ELU) for layer in ours.net.decoder.modules())
    assert replaced == relus(theirs.net.decoder)
    assert relus(ours.net.encoder) == relus(theirs.net.encoder) > 0


def test_relu_leaves_the_librarys_logits_and_another_activation_changes_them() -> None:
    images, logits = torch.randn(2, 1, 64, 64), []
    for activation in (None, "relu", "elu"):
        torch.manual_seed(0)
        logits.append(make(activation=activation).eval()(images))
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "fpn"])
@pytest.mark.parametrize("upsampling", ["nearest", "area"])
def test_the_interpolation_reaches_the_decoder(
    architecture: str, upsampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []
    original = nn.functional.interpolate

    def interpolate(*arguments: Any, **options: Any) -> torch.Tensor:
        modes.append(options["mode"])
        return original(*arguments, **options)

    with torch.device("meta"):
        net = make(architecture, upsampling=upsampling)
        maps = net.net.encoder(torch.randn(2, 1, 64, 64))
        monkeypatch.setattr(nn.functional, "interpolate", interpolate)
        net.net.decoder(maps)
    hard_wired = {"bilinear"} if architecture == "fpn" else set()  # where its levels are brought to one size
    assert set(modes) - hard_wired == {upsampling} - hard_wired
    assert modes.count(upsampling) >= 3


@pytest.mark.parametrize("architecture", FILES)
def test_images_of_any_size_keep_it(architecture: str) -> None:
    with torch.device("meta"):
        net = make(architecture)
        for size in ((32, 64), (33, 31), (1, 65)):
            assert net(torch.randn(2, 1, *size)).shape == (2, 2, *size)


def test_no_more_is_padded_than_the_encoder_halves() -> None:
    with torch.device("meta"):
        shallow = make(arguments={"encoder_depth": 3, "decoder_channels": [32, 16, 8]})
    assert (shallow.multiple, make().multiple) == (8, 32)


def test_the_layout_in_memory_changes_no_logits() -> None:
    net, images = make("fpn", in_channels=3, activation="elu").eval(), torch.randn(2, 3, 40, 33)
    logits = net(images)
    other = net.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(other, logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("unte", {}, r"'unte' is no architecture of segmentation_models_pytorch; did you mean unet"),
        ("unet", {"encoder_name": "resnet81"}, r"'resnet81' is no encoder of .*; did you mean resnet18"),
        (
            "unet",
            {"encoder_name": "resnet18", "encoder_weights": "imagenett"},
            "'imagenett' is no name of weights for resnet18; did you mean imagenet",
        ),
        (
            "unet",
            {"arguments": {"decoder_atention_type": "scse"}},
            "'decoder_atention_type' is no argument of Unet; did you mean decoder_attention_type",
        ),
        # what is ours to give, and what would make something else of the logits
        ("unet", {"arguments": {"classes": 3}}, "'classes' is no argument of Unet"),
        ("unet", {"arguments": {"activation": "sigmoid"}}, "'activation' is no argument of Unet"),
        ("unet", {"arguments": {"aux_params": {"classes": 3}}}, "'aux_params' is no argument of Unet"),
        ("deeplabv3plus", {"upsampling": "nearest"}, "the decoder of DeepLabV3Plus has no choice; use null"),
        ("unet", {"activation": "tanh"}, "activation='tanh': choose relu"),
    ],
)
def test_what_the_library_does_not_know_is_refused(architecture: str, options: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        make(architecture, **options)


def test_a_decoder_without_relu_has_none_to_replace() -> None:
    with pytest.raises(ValueError, match="activation='elu': Sequential has no ReLU to replace; use null"):
        _replace_relu(nn.Sequential(nn.GELU()), "elu")


@pytest.mark.parametrize("encoder_name", ["resnet18", "tu-resnet10t"])
def test_meta_device_asks_for_no_weights(encoder_name: str, monkeypatch: pytest.MonkeyPatch, no_weights: None) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a download was started"))
    with torch.device("meta"):
        net = make(encoder_name=encoder_name, encoder_weights="imagenet")
        logits = net(torch.randn(2, 1, 32, 32))
    assert logits.is_meta
    assert logits.shape == (2, 2, 32, 32)


def test_the_name_of_the_weights_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def create_model(*arguments: Any, **options: Any) -> nn.Module:
        asked.append(options["encoder_weights"])
        return original(*arguments, **(options | {"encoder_weights": None}))

    original = smp.create_model
    monkeypatch.setattr(smp, "create_model", create_model)
    make(encoder_name="resnet18", encoder_weights="imagenet")
    with torch.device("meta"):
        make(encoder_name="resnet18", encoder_weights="imagenet")
    assert asked == ["imagenet", None]
