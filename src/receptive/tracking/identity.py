"""What a run is called in W&B, from its folder alone. Imports neither torch nor wandb."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receptive.config import NOT_FINGERPRINTED, leaves
from receptive.errors import InputError
from receptive.files import read_yaml
from receptive.manifest import NAME, Entry, Manifest
from receptive.runs import Run
from receptive.tracking.options import WandbOptions

# of a config: says how the run was asked for, not what it is; of trainer and data all is told
_LEFT_OUT = tuple(key for key in NOT_FINGERPRINTED if "." not in key)
_LONGEST_TAG = 64  # characters that W&B takes
_LONGEST_NAME = 120


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Under what a run stands in W&B.

    Args:
        id: that stays the same through all attempts.
        name: readable.
        group: the sweep or study; None of a single run.
        job_type: "train", or "sweep" of a sweep's own tables.
        tags: those of the config, then data and model.
        notes: free text.
        config: flat: `optimizer/lr` for Hydra's optimizer.lr (dots in keys are nested ones to W&B's filters).
    """

    id: str
    name: str
    group: str | None = None
    job_type: str = "train"
    tags: tuple[str, ...] = ()
    notes: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


def new_id(fingerprint: str) -> str:
    """An id for a run: the beginning of its fingerprint, and what no other run has."""
    return f"{fingerprint[:8]}-{secrets.token_hex(4)}"


def id_of_agent(run: Run) -> str | None:
    """The id that W&B's own sweep agent has given this process's run; None where none has started it.

    It is that of a single run: those of a sweep of ours have their own.
    """
    if "WANDB_SWEEP_ID" not in os.environ or (run.folder.absolute().parent / NAME).is_file():
        return None
    return os.environ.get("WANDB_RUN_ID")


def group_of(root: Path, manifest: Manifest | None = None) -> str:
    """The name of the study or sweep in a folder, of a study in small with its scale.

    Args:
        root: the folder.
        manifest: what its sweep.json holds; None: is read.

    Raises:
        InputError: its sweep.json is damaged.
    """
    manifest = manifest or Manifest.read(root)
    lines = {line for entry in manifest.entries.values() for line in entry.overrides if line.startswith("scale=")}
    scales = sorted(line.partition("=")[2] for line in lines) if manifest.name else []
    return " ".join([manifest.name or root.absolute().name, *scales])[:_LONGEST_NAME]


def identity_of(run: Run, options: WandbOptions, wandb_id: str) -> Identity:
    """The identity of a run.

    Raises:
        InputError: config.yaml is damaged.
    """
    root = run.folder.absolute().parent
    manifest = _manifest(root)
    entry = next((entry for entry in manifest.entries.values() if entry.folder == run.folder.absolute().name), None)
    config = read_yaml(run.config_path)
    sweep = group_of(root, manifest) if entry is not None else None
    model, data = _class(config.get("model")), _class((config.get("data") or {}).get("source"))
    tags = [*(config.get("tags") or ()), *options.tags, *(name for name in (data, model) if name)]
    told: dict[str, Any] = {"fingerprint": run.status().fingerprint}
    known = flat(config)
    if entry is not None:  # a label may be of a variant, or of a group of the config, and stand nowhere else
        labels = {key.replace(".", "/"): value for key, value in entry.labels.items()}
        told |= {"sweep": sweep} | {key: value for key, value in labels.items() if key not in known}
    return Identity(
        id=wandb_id,
        name=(options.name or _name(entry, model, data, config))[:_LONGEST_NAME],
        group=(options.group or "")[:_LONGEST_NAME] or sweep,
        tags=shortened(tags),
        notes=options.notes,
        config=known | told,
    )


def shortened(tags: Iterable[Any]) -> tuple[str, ...]:
    """Tags as W&B takes them, each once."""
    return tuple(dict.fromkeys(str(tag)[:_LONGEST_TAG] for tag in tags if str(tag)))


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as W&B can filter by it: `model` for the class, `optimizer/lr` for its values."""
    kept = {key: value for key, value in config.items() if key not in _LEFT_OUT}
    found = {}
    for key, value in leaves(kept).items():
        if key.endswith("._target_"):
            key, value = key.removesuffix("._target_"), str(value).rpartition(".")[2]
        found[key.replace(".", "/")] = value
    return found


def _manifest(root: Path) -> Manifest:
    """That of a sweep's folder; an empty one where there is none that can be read."""
    try:
        return Manifest.read(root)
    except InputError:
        return Manifest()


def _name(entry: Entry | None, model: str, data: str, config: Mapping[str, Any]) -> str:
    if entry is None or not entry.labels:
        return f"{model} {data} seed={config.get('seed')}".strip()
    words = (value if key == "variant" else f"{key.rpartition('.')[2]}={value}" for key, value in entry.labels.items())
    return " ".join(words)


def _class(node: Any) -> str:
    """The class that a node of a config names; "" where it names none."""
    return str(node.get("_target_", "")).rpartition(".")[2] if isinstance(node, Mapping) else ""
