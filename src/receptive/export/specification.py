"""What a program has to know that feeds an exported file: a JSON object beside it, and within it."""

from __future__ import annotations

from typing import Any

from receptive.config import fingerprint, plain
from receptive.data.image_folder import ImageFolder
from receptive.data.source import Facts, Source
from receptive.data.variable import VariableResolution
from receptive.export.formats import INPUT, OUTPUT, Format
from receptive.export.graph import Sizes
from receptive.reuse import TrainedModel

FORMAT = 1  # of the specification; raised when an older reader would go wrong


def specification(model: TrainedModel, form: Format) -> dict[str, Any]:
    """All but what is known when the file is written and checked.

    Args:
        model: that is exported.
        form: of the file.
    """
    facts = model.facts
    return {
        "specification": FORMAT,
        "format": form.NAME,
        "task": "segmentation" if facts.target == "mask" else "classification",
        "class_names": list(facts.class_names),
        "input": _input(model, form),
        "output": _output(facts, form.sizes),
        "model": _model(model),
        "source": _source(model),
    }


def _input(model: TrainedModel, form: Format) -> dict[str, Any]:
    facts, sizes = model.facts, form.sizes
    mean, std = form.subject.mean, form.subject.std
    normalisation = {
        "mean": list(mean),
        "std": list(std),
        "where": "in the file" if form.NORMALISES else "left to the caller: (image - mean) / std, channel by channel",
    }
    return {
        "name": INPUT,
        "shape": ["batch", facts.in_channels, *_sides(sizes)],
        "dynamic": {"batch": {"min": 1}} | _ranges(sizes),
        "trained_size": list(facts.image_size),
        **({"trained_sizes": [list(size) for size in facts.image_sizes]} if facts.image_sizes else {}),
        **({"fixed_size_because": sizes.reason} if sizes.reason else {}),
        "dtype": "float32",
        "layout": "NCHW",
        "channels": "grey (L)" if facts.mode == "L" else "RGB, in this order",
        "range": [0.0, 1.0],
        "from_bytes": "divide by 255",
        "resize": resize_rule(model.experiment.data.source, facts),
        "normalization": normalisation,
    }


def _output(facts: Facts, sizes: Sizes) -> dict[str, Any]:
    masks = facts.target == "mask"
    meaning = "softmax over axis 1 gives the probability of each class, in the order of class_names"
    if masks:
        meaning += (
            ", at each pixel; for a mask in the image's own size resize the probabilities (bilinear, without "
            "antialiasing, half-pixel centres), then take the argmax over axis 1"
        )
    return {
        "name": OUTPUT,
        "shape": ["batch", facts.num_classes, *(_sides(sizes) if masks else ())],
        "dtype": "float32",
        "meaning": f"logits; {meaning}",
    }


def _sides(sizes: Sizes) -> list[str | int]:
    return ["height", "width"] if sizes.vary else list(sizes.trained)


def _ranges(sizes: Sizes) -> dict[str, dict[str, int]]:
    if sizes.multiple is None:
        return {}
    one = {"min": sizes.smallest, "multiple_of": sizes.multiple}
    return {"height": one, "width": one}


def resize_rule(source: Source, facts: Facts) -> str:
    """How an image of any size is brought into a trained one, in words."""
    how = "bilinear, antialiased (Pillow's Resampling.BILINEAR)"
    height, width = facts.image_size
    match source:
        case ImageFolder():
            return f"scale, {how}, until it covers {height}x{width}, and cut out the middle (Pillow's ImageOps.fit)"
        case VariableResolution() if facts.image_sizes:
            return f"to the nearest trained size by the root of its number of pixels, {how}, aspect ratio not kept"
        case _:
            return f"to {height}x{width} (height x width), {how}, aspect ratio not kept"


def _model(model: TrainedModel) -> dict[str, Any]:
    """What builds the same network: the class, its options, and what it was told of the data."""
    facts = model.facts
    told = {"in_channels": facts.in_channels, "num_classes": facts.num_classes, "image_size": list(facts.image_size)}
    parameters = sum(weight.numel() for weight in model.network.parameters())
    return {"config": plain(model.run.config(), resolve=True)["model"], "data": told, "parameters": parameters}


def _source(model: TrainedModel) -> dict[str, Any]:
    """The run, without where it lies."""
    config, result, status = model.run.config(), model.run.result(), model.run.status()
    return {
        "run": model.run.folder.resolve().name,
        "state": model.run.state(),
        "fingerprint": status.fingerprint or fingerprint(config),
        "checkpoint": model.checkpoint,
        "epoch": model.epoch,
        "seed": config.seed,
        "metrics": result.get("metrics", {}),
        "commit": result.get("code", {}).get("commit"),
        "data_checksums": result.get("data", {}).get("checksums", {}),
        "versions": result.get("versions", {}),
    }
