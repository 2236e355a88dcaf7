"""Feature maps of single images: every channel of every layer, raw and absolute (R1.12, R2.16)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from receptive.activations.context import Context
from receptive.activations.survey import sheet
from receptive.figures.feature_maps import save_overview, save_sheet
from receptive.recording.layers import outputs_of


def check(context: Context, places: Sequence[int]) -> None:
    """Raise InputError where there is no such image, or it cannot be read."""
    if places:
        context.images.examples(places)


def report(context: Context, places: Sequence[int]) -> None:
    """Draw into maps/IMAGE/ a sheet a layer, and overview.png with one map a layer.

    Args:
        context: network and images.
        places: of the images, counted from 0; `check` has seen them.
    """
    if not places:
        return
    found = context.images.examples(places)
    for place, name, pixels, inputs in zip(places, found.names, found.pixels, found.inputs, strict=True):
        maps = feature_maps(context, inputs)
        folder = context.output / "maps" / f"{place}_{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}"
        folder.mkdir(parents=True, exist_ok=True)
        title = f"{context.name}, {name}"
        for number, (layer, values) in enumerate(maps.items()):
            raw = values.numpy()
            row = {"place": number, "layer": layer, "kind": context.kind(layer)}
            save_sheet(raw, abs(raw), f"{title}: {context.label(layer)}", sheet(folder, row))
        cells = [
            (context.label(layer), values.mean(0).numpy(), values.abs().mean(0).numpy())
            for layer, values in maps.items()
            if values.ndim == 3 and values[0].numel() > 1
        ]
        save_overview(pixels.numpy(), cells, title, folder / "overview.png")


def feature_maps(context: Context, inputs: Tensor) -> dict[str, Tensor]:
    """What every layer gives for a normalised image (C, H, W): float32 (channels, *positions), on the CPU."""
    predictor = context.predictor
    return outputs_of(predictor.task.model, context.layers, lambda: predictor.outputs(inputs.unsqueeze(0)))
