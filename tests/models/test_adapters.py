import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from receptive.models.adapters import timm_classifier, torchvision_classifier


def test_libraries_load_only_when_a_model_is_built():
    source = "import sys, receptive.models.adapters; print({'timm', 'torchvision'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize(("name", "in_channels"), [("resnet18", 1), ("squeezenet1_1", 3), ("shufflenet_v2_x0_5", 5)])
def test_torchvision_trains_on_any_channels(name: str, in_channels: int, step_of_training):
    torch.manual_seed(0)
    # SqueezeNet's dropout and its ReLU on the logits leave a part without gradient now and then.
    arguments = {"dropout": 0.0} if name == "squeezenet1_1" else {}
    model = torchvision_classifier(name, in_channels=in_channels, num_classes=4, arguments=arguments)
    step_of_training(model, torch.randn(8, in_channels, 32, 32), 4)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_timm_trains_on_any_channels(in_channels: int, step_of_training):
    torch.manual_seed(0)
    model = timm_classifier("mobilenetv3_small_050", in_channels=in_channels, num_classes=4)
    step_of_training(model, torch.randn(8, in_channels, 32, 32), 4)


def test_torchvision_keeps_its_own_net_and_initialisation_at_three_channels():
    torch.manual_seed(0)
    ours = torchvision_classifier("resnet18", in_channels=3, num_classes=10).state_dict()
    torch.manual_seed(0)
    theirs = models.resnet18(num_classes=10).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_arguments_reach_the_builders():
    def last_norm_weights(**arguments: Any) -> torch.Tensor:
        model = torchvision_classifier("resnet18", in_channels=3, num_classes=4, arguments=arguments)
        return model.get_parameter("layer4.1.bn2.weight")

    assert last_norm_weights().all()
    assert not last_norm_weights(zero_init_residual=True).any()
    model = timm_classifier("resnet10t", in_channels=3, num_classes=4, arguments={"drop_rate": 0.5})
    assert model.drop_rate == 0.5


@pytest.mark.parametrize(
    ("build", "name", "message"),
    [
        (
            torchvision_classifier,
            "resnet81",
            r"'resnet81' is no classifier of torchvision; did you mean .*resnet18",
        ),
        (torchvision_classifier, "unet", "'unet' is no classifier of torchvision; did you mean"),
        (
            timm_classifier,
            "mobilenetv3_smal_050",
            "no classifier of timm; did you mean .*mobilenetv3_small_050",
        ),
    ],
)
def test_unknown_name_is_refused_with_the_closest(build: Any, name: str, message: str):
    with pytest.raises(ValueError, match=message):
        build(name, in_channels=3, num_classes=10)


def test_unknown_weights_are_refused_with_the_closest():
    with pytest.raises(ValueError, match=r"'IMAGENET1K_V9' is no name of weights.*IMAGENET1K_V1"):
        torchvision_classifier("resnet18", in_channels=3, num_classes=10, weights="IMAGENET1K_V9")


@pytest.mark.parametrize("build", [torchvision_classifier, timm_classifier])
def test_unknown_argument_is_refused(build: Any):
    with pytest.raises(TypeError, match="wings"):
        build("resnet18", in_channels=3, num_classes=10, arguments={"wings": 2})


def test_timm_knows_names_with_the_tag_of_their_weights():
    assert timm_classifier("resnet10t.c3_in1k", in_channels=1, num_classes=4) is not None


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lay a net's weights where torchvision keeps its downloads, and return the net."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def lay(name: str) -> nn.Module:
        net: nn.Module = models.get_model(name).eval()
        url = models.get_model_weights(name).DEFAULT.url
        file = tmp_path / "hub" / "checkpoints" / url.rsplit("/", 1)[1]
        file.parent.mkdir(parents=True)
        torch.save(net.state_dict(), file)
        return net

    return lay


@pytest.mark.parametrize(("name", "classifier"), [("shufflenet_v2_x0_5", "fc"), ("squeezenet1_1", "classifier.1")])
def test_weights_are_kept_but_for_a_classifier_of_another_size(name: str, classifier: str, pretrained):
    theirs = pretrained(name).state_dict()
    same = torchvision_classifier(name, in_channels=3, num_classes=1000, weights="DEFAULT").state_dict()
    fitted = torchvision_classifier(name, in_channels=3, num_classes=4, weights="DEFAULT")
    ours = fitted.state_dict()
    assert list(ours) == list(same) == list(theirs)
    assert all(torch.equal(same[key], theirs[key]) for key in theirs)
    changed = {key for key in theirs if ours[key].shape != theirs[key].shape}
    assert changed == {f"{classifier}.weight", f"{classifier}.bias"}
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs.keys() - changed)
    assert fitted(torch.randn(2, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("in_channels", [1, 4])
def test_pretrained_filters_see_a_grey_image_as_its_rgb_copy(in_channels: int, pretrained):
    theirs = pretrained("squeezenet1_1")
    ours = torchvision_classifier("squeezenet1_1", in_channels=in_channels, num_classes=1000, weights="DEFAULT").eval()
    grey = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(
        ours(grey.expand(-1, in_channels, -1, -1)), theirs(grey.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-4
    )


def test_meta_device_gives_shapes_and_downloads_nothing(monkeypatch: pytest.MonkeyPatch, no_weights: None):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a download was started"))
    with torch.device("meta"):
        nets = [
            torchvision_classifier("resnet18", in_channels=1, num_classes=4, weights="DEFAULT"),
            timm_classifier("mobilenetv3_small_050", in_channels=1, num_classes=4, pretrained=True),
        ]
        for net in nets:
            logits = net(torch.randn(2, 1, 32, 32))
            assert logits.shape == (2, 4)
            assert logits.is_meta
