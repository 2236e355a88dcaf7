"""What `conf/logger` holds, checked against these signatures. Imports neither torch nor wandb."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receptive.config import conf_dir
from receptive.files import read_yaml


@dataclass(frozen=True, kw_only=True)
class WandbOptions:
    """How a run is mirrored to Weights & Biases; conf/logger/wandb.yaml says what each means."""

    project: str | None = None
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    figures: bool = True
    feature_maps: bool = False
    checkpoint: bool = False
    system_metrics: bool = False


@dataclass(frozen=True, kw_only=True)
class TensorboardOptions:
    """How a run is shown in TensorBoard; conf/logger/tensorboard.yaml says what each means."""

    figures: bool = True
    feature_maps: bool = False


def wandb_options(config: Mapping[str, Any]) -> WandbOptions | None:
    """What a run's config says of W&B; None where it is not asked for."""
    node = (config.get("logger") or {}).get("wandb")
    return None if node is None else WandbOptions(**_values(node))


def tensorboard_options(config: Mapping[str, Any]) -> TensorboardOptions | None:
    """What a run's config says of TensorBoard; None where it is not asked for."""
    node = (config.get("logger") or {}).get("tensorboard")
    return None if node is None else TensorboardOptions(**_values(node))


def switched_off() -> bool:
    """Whether the environment wants nothing mirrored to W&B."""
    off = os.environ.get("WANDB_MODE", "").lower() == "disabled"
    return off or os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes")


def keep_below(outputs: Path) -> dict[str, str]:
    """Environment with which W&B's client writes its cache and its logs below a folder, if the user names no other."""
    places = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data"}
    return {name: os.environ.get(name) or str(outputs / "wandb" / place) for name, place in places.items()}


def default_wandb_options() -> WandbOptions:
    """Those of conf/logger/wandb.yaml, for runs that were trained without."""
    return WandbOptions(**_values(read_yaml(conf_dir() / "logger" / "wandb.yaml")["wandb"]))


def project_of(named: str | None) -> str:
    """W&B's project: the one that is named, else the environment's, else ours."""
    return named or os.environ.get("WANDB_PROJECT") or "receptive"


def entity_of(named: str | None) -> str | None:
    """W&B's user or team: the one that is named, else the environment's; None: the key's own."""
    return named or os.environ.get("WANDB_ENTITY")


def wants_feature_maps(config: Mapping[str, Any]) -> bool:
    """Whether a logger is to show what the layers make of a few images."""
    loggers = (wandb_options(config), tensorboard_options(config))
    return any(options is not None and options.feature_maps for options in loggers)


def shown_figures(folder: Path, options: WandbOptions | TensorboardOptions) -> list[Path]:
    """The pictures of a run's figures/ that a logger is to show; those of the feature maps are asked for apart."""
    return [
        path
        for path in sorted(folder.glob("*.png"))
        if (options.feature_maps if path.stem == "feature_maps" else options.figures)
    ]


def _values(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "_target_"}
