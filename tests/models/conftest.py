"""What every net is asked: which shapes its layers give, and whether training reaches all of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

LayerShapes = Callable[[nn.Sequential, Tensor], list[tuple[int, ...]]]
StepOfTraining = Callable[..., None]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Weights and images are the same ones whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None lie where torch and Hugging Face keep their downloads: a net that wants some has to ask for them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.fixture
def layer_shapes() -> LayerShapes:
    """The output shape of every layer without the batch, as a report's table has it."""

    def shapes(layers: nn.Sequential, images: Tensor) -> list[tuple[int, ...]]:
        return [tuple((images := layer(images)).shape[1:]) for layer in layers]

    return shapes


@pytest.fixture
def step_of_training() -> StepOfTraining:
    """Take one step; every parameter has to get a finite gradient and to move.

    Without `masks` the logits are of a class for each image, with masks (B, H, W) of one for each pixel.
    """

    def step(model: nn.Module, images: Tensor, num_classes: int, masks: Tensor | None = None) -> None:
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        logits = model(images)
        targets = torch.arange(len(images)) % num_classes if masks is None else masks
        assert logits.shape == (len(images), num_classes, *targets.shape[1:])
        functional.cross_entropy(logits, targets).backward()
        optimizer.step()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert not torch.equal(parameter, before[name]), name

    return step
