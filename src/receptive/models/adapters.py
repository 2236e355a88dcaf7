"""Any classifier of torchvision.models or timm from YAML alone, fitted to the data's channels and classes.

Both libraries are imported only when a model of theirs is built: they are slow to load. On the meta device,
where only shapes count, no weights are downloaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from receptive.models.layers import Count


def torchvision_classifier(
    name: str,
    *,
    in_channels: Count,
    num_classes: Count,
    weights: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a classifier of torchvision.models: images (B, in_channels, H, W) to logits (B, num_classes).

    torchvision's nets take three channels; for another number the first convolution gets new filters: random
    ones, or with `weights` the pretrained ones spread over the channels, so that a grey image in all of them
    gives what its RGB copy gave. With `weights`, a classifier of another size than theirs starts anew.

    Args:
        name: as in `torchvision.models.list_models`, for example "resnet18".
        in_channels: channels of the images.
        num_classes: number of logits.
        weights: a name of the model's pretrained weights, for example "DEFAULT"; None for random ones.
        arguments: passed to torchvision's builder, for example {"zero_init_residual": true}.

    Raises:
        ValueError: torchvision has no classifier, or no weights of it, of that name.
        TypeError: torchvision's builder does not know one of `arguments`.
    """
    from torchvision import models

    require_known(name, models.list_models(module=models), "classifier of torchvision")
    if weights is not None:
        require_known(weights, models.get_model_weights(name).__members__, f"name of weights for {name}")
    extra = dict(arguments or {})
    model: nn.Module
    if weights is None or _on_meta_device():
        model = models.get_model(name, num_classes=num_classes, **extra)
    else:
        model = models.get_model(name, weights=weights, **extra)
        _fit_classifier(model, num_classes)
    _fit_first_convolution(model, in_channels, pretrained=weights is not None)
    return model


def timm_classifier(
    name: str,
    *,
    in_channels: Count,
    num_classes: Count,
    pretrained: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a classifier of timm: images (B, in_channels, H, W) to logits (B, num_classes).

    timm itself fits pretrained weights to the channels and classes.

    Args:
        name: as in `timm.list_models`, for example "resnet10t", or with its weights' tag "resnet10t.c3_in1k".
        in_channels: channels of the images.
        num_classes: number of logits.
        pretrained: whether to load the weights of the tag, or timm's default ones.
        arguments: passed to timm's builder, for example {"drop_path_rate": 0.1}.

    Raises:
        ValueError: timm has no classifier of that name.
        TypeError: timm's builder does not know one of `arguments`.
    """
    import timm

    if not timm.is_model(name):  # knows the tags too, which the list of names leaves out
        require_known(name, timm.list_models(), "classifier of timm")
    model: nn.Module = timm.create_model(
        name,
        pretrained=pretrained and not _on_meta_device(),
        in_chans=in_channels,
        num_classes=num_classes,
        **dict(arguments or {}),
    )
    return model


def _on_meta_device() -> bool:
    return torch.get_default_device().type == "meta"


def require_known(name: str, known: Iterable[str], what: str) -> None:
    """Raise ValueError with the closest names unless `name` is a known one."""
    names = sorted(known)
    if name not in names:
        matches = difflib.get_close_matches(name, names) or names[:5]
        raise ValueError(f"{name!r} is no {what}; did you mean {', '.join(matches)}?")


def _fit_first_convolution(model: nn.Module, in_channels: int, *, pretrained: bool) -> None:
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    if first.in_channels == in_channels:
        return
    filters = first.weight.detach()
    first.in_channels = in_channels
    first.weight = nn.Parameter(filters.sum(dim=1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels)
    if not pretrained:
        first.reset_parameters()


def _fit_classifier(model: nn.Module, num_classes: int) -> None:
    """Make the last layer with weights anew: linear in nearly all nets, a 1x1 convolution in SqueezeNet."""
    path, last = [(p, m) for p, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    if last.weight.shape[0] == num_classes:
        return
    if isinstance(last, nn.Linear):
        model.set_submodule(path, nn.Linear(last.in_features, num_classes))
    else:
        model.set_submodule(path, nn.Conv2d(last.in_channels, num_classes, kernel_size=1))
