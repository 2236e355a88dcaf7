"""Any net of segmentation_models_pytorch from YAML alone, fitted to the data's channels and classes.

The library is imported only when a net of it is built. On the meta device, where only shapes count, no weights are
downloaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from receptive.models.adapters import require_known
from receptive.models.layers import Activation, Count, activation_layer
from receptive.models.padding import padded_to_multiple

Interpolation = Literal["nearest", "bilinear", "bicubic", "area"]

# arguments of the library's classes that are ours to give, or that would make something else of the logits
_GIVEN = {"encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"}


class SmpNet(nn.Module):
    """A net of segmentation_models_pytorch: images (B, in_channels, H, W) to logits (B, num_classes, H, W).

    Images of any size: a side that the encoder cannot halve often enough is padded and the logits are cropped.

    Args:
        architecture: as in `smp.MODEL_ARCHITECTURES_MAPPING`, for example "unet" or "deeplabv3plus".
        in_channels: channels of the images.
        num_classes: number of logits a pixel, background included.
        encoder_name: as in `smp.encoders.get_encoder_names()`, for example "resnet18"; "tu-NAME" is timm's NAME.
        encoder_weights: a name of the encoder's pretrained weights, for example "imagenet"; None for random ones.
        upsampling: the library's `decoder_interpolation`; None: its default.
        activation: takes the place of the ReLUs that the library hard-wires into its decoders; None leaves them. The
            encoder keeps its own.
        arguments: passed to the library's class, for example {"decoder_attention_type": "scse"}.

    Raises:
        ValueError: the library has no architecture, encoder or weights of that name, or the decoder no interpolation to
            choose, no ReLU to replace, or none of these arguments (the library itself would swallow them).
    """

    def __init__(
        self,
        architecture: str,
        *,
        in_channels: Count,
        num_classes: Count,
        encoder_name: str = "resnet18",
        encoder_weights: str | None = None,
        upsampling: Interpolation | None,
        activation: Activation | None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        architectures = smp.MODEL_ARCHITECTURES_MAPPING
        require_known(architecture, architectures, "architecture of segmentation_models_pytorch")
        if not encoder_name.startswith("tu-"):
            require_known(encoder_name, smp.encoders.get_encoder_names(), "encoder of segmentation_models_pytorch")
            if encoder_weights is not None:
                weights = smp.encoders.encoders[encoder_name]["pretrained_settings"]
                require_known(encoder_weights, weights, f"name of weights for {encoder_name}")
        extra = _arguments(architectures[architecture], arguments, upsampling)
        self.net: nn.Module = smp.create_model(
            architecture,
            encoder_name=encoder_name,
            encoder_weights=None if torch.get_default_device().type == "meta" else encoder_weights,
            in_channels=in_channels,
            classes=num_classes,
            **extra,
        )
        self.multiple = int(self.net.encoder.output_stride)
        if activation is not None:
            _replace_relu(self.net.decoder, activation)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes, H, W)."""
        return padded_to_multiple(self.net, images, self.multiple)


def _arguments(
    architecture: type[nn.Module], arguments: Mapping[str, Any] | None, upsampling: Interpolation | None
) -> dict[str, Any]:
    """The arguments of the library's class, all of which its signature names."""
    known = {
        name
        for name, parameter in inspect.signature(architecture).parameters.items()
        if name not in _GIVEN and parameter.kind is not parameter.VAR_KEYWORD
    }
    extra = dict(arguments or {})
    for name in extra:
        require_known(name, known, f"argument of {architecture.__name__}")
    if upsampling is not None:
        if "decoder_interpolation" not in known:
            raise ValueError(
                f"upsampling={upsampling!r}: the decoder of {architecture.__name__} has no choice; use null"
            )
        extra["decoder_interpolation"] = upsampling
    return extra


def _replace_relu(decoder: nn.Module, activation: Activation) -> None:
    """Put another activation in the place of every ReLU."""
    paths = [path for path, layer in decoder.named_modules() if isinstance(layer, nn.ReLU)]
    if not paths:
        raise ValueError(f"activation={activation!r}: {type(decoder).__name__} has no ReLU to replace; use null")
    for path in paths:
        decoder.set_submodule(path, activation_layer(activation))
