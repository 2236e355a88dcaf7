"""The layers of a model: output shape, parameters, multiply-adds."""

from __future__ import annotations

from omegaconf import DictConfig

from receptive.build import build_data, build_model
from receptive.check import Checker
from receptive.errors import InputError


def summary(config: DictConfig, *, depth: int = 3) -> str:
    """A table of the model of `config` for one image of its data.

    Args:
        config: as `receptive train` composes it.
        depth: levels of nested modules shown.

    Raises:
        InputError: the model does not fit the data.
    """
    from torchinfo import summary as torchinfo_summary

    if found := Checker(files=False).faults(config):  # shapes need no pixel
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
    return str(report)
