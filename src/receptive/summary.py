"""The layers of a model: output shape, parameters, multiply-adds, memory."""

from __future__ import annotations

import math
from typing import Annotated, Any

from annotated_types import Ge
from omegaconf import DictConfig

from receptive.build import build_data, build_model
from receptive.check import Checker
from receptive.errors import InputError
from receptive.signatures import option_faults


def summary(config: DictConfig, *, depth: Annotated[int, Ge(1)] = 3) -> str:
    """A table of the model of `config` for one image of its data, and below it memory as report R2.12 counts it.

    Of data with several sizes one image of the largest.

    Args:
        config: as `receptive train` composes it.
        depth: levels of nested modules shown.

    Raises:
        InputError: the model does not fit the data, or `depth` is no number of levels.
    """
    from torchinfo import summary as torchinfo_summary

    if faults := option_faults(summary, {"depth": depth}):
        raise InputError("\n".join(faults))
    if found := Checker(files=False, here=False).faults(config):  # shapes need neither pixels nor the device
        raise InputError("\n".join(found))
    facts = build_data(config).facts
    report = torchinfo_summary(
        build_model(config.model, facts),
        input_size=(1, facts.in_channels, *facts.image_size),
        col_names=("output_size", "kernel_size", "num_params", "mult_adds"),
        depth=depth,
        device="cpu",
        verbose=0,
    )
    return f"{report}\n{_memory(report)}"


def _memory(report: Any) -> str:
    """Memory by the convention of torchsummary, in which R2.12 has it (torchinfo counts in another).

    One image in float32, in MiB (2 ** 20 bytes): every innermost layer's output twice, once forward and once
    backward, those computed in place too; all parameters; the image.
    """
    numbers = {
        "forward/backward": 2
        * sum(math.prod(layer.output_size) for layer in report.summary_list if layer.is_leaf_layer),
        "parameters": report.total_params,
        "input": math.prod(report.summary_list[0].input_size),
    }
    numbers["total"] = sum(numbers.values())
    listed = ", ".join(f"{name} {4 * number / 2**20:.2f}" for name, number in numbers.items())
    return f"Memory as R2.12 counts it (MiB, one image, float32, every output twice): {listed}"
