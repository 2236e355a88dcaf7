"""Every network of conf/model in every format: parity is part of the export, so that an exit code of 0 says it all."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torchvision
from safetensors.torch import load_file
from tests.conftest import Cli
from tests.export.conftest import MakeRun

FORMATS = ("onnx", "torch_export", "safetensors")
MASKS = ("data=phantoms", "data.source.image_size=64", "data.source.test_images=3")
DATA: dict[str, tuple[str, ...]] = {
    "mnist_net": ("data=mnist",),
    "mnist_global_max": ("data=mnist",),
    "mnist_global_avg": ("data=mnist",),
    "net_a": ("data=cifar10",),
    "net_b": ("data=cifar10",),
    "resnet18": ("data=cifar10",),
    "timm_mobilenetv3": ("data=cifar10",),
    "sign_net": ("data=gtsrb",),
    "sign_net_bn": ("data=gtsrb",),
    "unet": MASKS,
    "smp_unet": MASKS,
    "smp_unetplusplus": MASKS,
    "smp_fpn": MASKS,
    "smp_deeplabv3plus": MASKS,
}
FIXED = {"mnist_net", "sign_net", "sign_net_bn"}  # a linear layer behind the last map takes one size
SMALL_UNET = ("model=unet", "model.base_channels=4", "model.depth=2", *MASKS)

# options of the networks -> whether height and width vary
VARIANTS: dict[str, tuple[tuple[str, ...], bool]] = {
    "a ReLU on the logits": (("model=sign_net", "data=gtsrb", "model.logits_relu=true"), False),
    "contiguous": (("model=net_b", "data=cifar10", "trainer.channels_last=false"), True),
    "group normalisation": (("model=net_a", "data=cifar10", "model.norm=group", "model.activation=gelu"), True),
    "instance normalisation": (("model=net_a", "data=cifar10", "model.norm=instance", "model.activation=silu"), True),
    "average pooling": (("model=net_a", "data=cifar10", "model.pooling=avg", "model.activation=elu"), True),
    "several sizes": (("model=mnist_global_max", "data=digits_varres"), True),
    "the smallest images": (("model=mnist_global_avg", "data=digits"), True),
    "transposed": ((*SMALL_UNET, "model.upsampling=transposed", "model.activation=leaky_relu"), True),
    "nearest": ((*SMALL_UNET, "model.upsampling=nearest", "model.norm=instance"), True),
    "three classes": ((*SMALL_UNET, "data.source.heart=true", "model.norm=group"), True),
    "padded": ((*SMALL_UNET, "data.source.image_size=66"), False),
    "nearest of smp": (("model=smp_unet", *MASKS, "model.upsampling=nearest"), True),
}


def test_every_model_is_here() -> None:
    conf = Path(__file__).parents[2] / "conf" / "model"
    assert {path.stem for path in conf.glob("*.yaml")} == DATA.keys()


def exported(cli: Cli, make_run: MakeRun, kind: str, *overrides: str) -> dict[str, Any]:
    """The specification of what the command has written."""
    run = make_run(*overrides)
    code, _, err = cli("export", "run=run", f"format={kind}")
    assert (code, err) == (0, "")
    [path] = (run.folder / "export").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["parity"]["largest"] > 0.01  # else nothing was compared
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("model", DATA)
def test_every_model_in_every_format(cli: Cli, make_run: MakeRun, model: str, kind: str) -> None:
    found = exported(cli, make_run, kind, f"model={model}", *DATA[model])
    assert (found["input"]["shape"][2:] == ["height", "width"]) == (model not in FIXED)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_models_can_be_told(cli: Cli, make_run: MakeRun, variant: str) -> None:
    options, vary = VARIANTS[variant]
    found = exported(cli, make_run, "onnx", *options)
    assert (found["input"]["shape"][2:] == ["height", "width"]) == vary


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "timm_mobilenetv3"])
def test_weights_go_into_the_libraries_own_networks(cli: Cli, make_run: MakeRun, model: str) -> None:
    exported(cli, make_run, "safetensors", f"model={model}", "data=cifar10")
    if model == "resnet18":
        network = torchvision.models.resnet18(num_classes=10)
    else:
        network = timm.create_model("mobilenetv3_small_050", in_chans=3, num_classes=10)
    network.load_state_dict(load_file("run/export/model.safetensors"))
