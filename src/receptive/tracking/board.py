"""What a dashboard shows of a folder of runs, read from the folder alone. Imports neither torch nor wandb."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from receptive.errors import InputError
from receptive.manifest import NAME as MANIFEST
from receptive.manifest import Manifest, commands_of
from receptive.report.bands import curve_metrics
from receptive.report.collection import Collection, collect
from receptive.report.series import factors
from receptive.report.tables import (
    LEGEND,
    causes,
    claims_markdown,
    markdown_table,
    shown_metrics,
    summary_cells,
    summary_lines,
)
from receptive.report.verdicts import judge
from receptive.runs import shown
from receptive.tracking.identity import group_of

_OWN_CURVES = ("lr", "gradient_norm")


@dataclass(frozen=True)
class Axis:
    """A key that was swept, beside the seed.

    Args:
        key: of the config in W&B.
        title: short.
        numeric: whether its values are numbers.
        log: whether they span orders of magnitude.
    """

    key: str
    title: str
    numeric: bool
    log: bool


@dataclass(frozen=True)
class Board:
    """A study, a sweep or a run as a dashboard shows it.

    Args:
        title: of the study, else the folder's name.
        about: what is compared, in a sentence.
        where: attributes of a run in W&B -> what they are in all of the runs shown.
        axes: what was swept, beside the seed.
        runs: how many there are.
        repeated: whether points were run several times, say with several seeds.
        metric: by which runs are compared: the monitored one's counterpart on the test set, where there is one.
        smaller: whether less of the metric is better.
        monitor: the metric by which the best checkpoint was chosen.
        curves: metrics that there is a value of for each epoch, the monitored one first.
        own_curves: the same that are no metric: learning rate, norm of the gradients.
        confusion: whether there are confusion matrices.
        classes: whether there are tables of the classes.
        pictures: keys of images.
        summary: the report's table of groups, in Markdown; "" of a single run.
        claims: the report's table of claims; "" without.
        troubles: what went wrong, a sentence each.
        commands: what was typed, as far as the folder knows.
        project: of W&B, that most of the runs' configs name; None where none does.
        entity: likewise.
    """

    title: str
    about: str
    where: Mapping[str, str]
    axes: tuple[Axis, ...]
    runs: int
    repeated: bool
    metric: str
    smaller: bool
    monitor: str
    curves: tuple[str, ...]
    own_curves: tuple[str, ...]
    confusion: bool
    classes: bool
    pictures: tuple[str, ...]
    summary: str
    claims: str
    troubles: tuple[str, ...]
    commands: tuple[str, ...]
    project: str | None
    entity: str | None


def board_of(root: Path) -> Board:
    """The board of a folder.

    Raises:
        InputError: there is no run in it, it is the folder of single runs, sweep.json is damaged, or W&B does not know
            a single run.
    """
    collection = collect(root)
    if not any((root / name).is_file() for name in (MANIFEST, "config.yaml")):
        raise InputError(f"{shown(root)} is neither a sweep's folder nor a run's: single runs have no page in common")
    single = (root / "config.yaml").is_file()
    axes = tuple(
        Axis(_config_key(collection, factor.key), factor.title, factor.numbers is not None, factor.logarithmic)
        for factor in factors(collection)
    )
    claims, trouble = _claims(collection)
    details = [record.told("details") or {} for record in collection.records]
    group = _named(collection, "group") or group_of(root)
    metric = shown_metrics(collection)[-1]
    return Board(
        title=collection.title,
        about=_about(collection),
        where={"ID": _id_of(collection)} if single else {"Group": group, "JobType": "train"},
        axes=axes,
        runs=len(collection.records),
        repeated=any(len(group.records) > 1 for group in collection.groups),
        metric=metric,
        smaller=collection.smaller(metric),
        monitor=collection.monitor,
        curves=tuple(curve_metrics(collection)) or (collection.monitor,),
        own_curves=tuple(key for key in _OWN_CURVES if _has_curve(collection, key)),
        confusion=any("confusion_matrix" in one for one in details),
        classes=any("confusion_matrix" in one or "by_class" in one for one in details),
        pictures=_pictures(collection),
        summary=""
        if single
        else markdown_table(*summary_cells(collection, summary_lines(collection))) + f"\n\n{LEGEND}",
        claims=claims,
        troubles=tuple(" ".join(text.split()) for text in (*causes(collection), *collection.notes, *trouble)),
        commands=() if single else commands_of(Manifest.read(root)),
        project=_named(collection, "project"),
        entity=_named(collection, "entity"),
    )


def _config_key(collection: Collection, key: str) -> str:
    """The key of the config in W&B that tells the values of a label apart.

    A label may name a group of configs (data=mnist,cifar10), which is no value: then a class within it does, or the
    first value that has one to one what the label says.
    """
    records = [record for record in collection.records if key in record.labels and record.config]
    labels = [record.labels[key] for record in records]
    inside = [f"{key}._target_", *(name for record in records for name in record.config if name.startswith(f"{key}."))]
    inside.sort(key=lambda name: not name.endswith("._target_"))
    for name in dict.fromkeys([key, *inside]):
        values = [json.dumps(record.config.get(name), default=str) for record in records]
        known = any(name in record.config for record in records)
        if name == key and known:
            break
        if known and len(set(zip(labels, values, strict=True))) == len(set(values)) == len(set(labels)):
            key = name.removesuffix("._target_")
            break
    return key.replace(".", "/")


def _has_curve(collection: Collection, key: str) -> bool:
    return any(key in row for record in collection.records for row in record.history[-1:])


def _pictures(collection: Collection) -> tuple[str, ...]:
    """Keys of the images, those of masks first."""
    masks = any(record.told("data", "facts", "target") == "mask" for record in collection.records)
    names = {path.stem for record in collection.records for path in record.run.figures.glob("*.png")}
    return (*(["masks"] if masks else []), *(f"figures/{name}" for name in sorted(names)))


def _id_of(collection: Collection) -> str:
    [record] = collection.records
    if not record.status.wandb_id:
        raise InputError(
            f"W&B does not know this run: receptive wandb sync {shlex.quote(str(collection.root))} brings it there"
        )
    return record.status.wandb_id


def _claims(collection: Collection) -> tuple[str, list[str]]:
    """The table of claims, and why there is none."""
    try:
        judged = judge(collection)
    except InputError as error:
        return "", [f"the claims cannot be judged: {error}"]
    return claims_markdown(judged) if judged else "", []


def _about(collection: Collection) -> str:
    """What differs between the runs, and how many there are of them."""
    count = len(collection.records)
    found = factors(collection)
    listed = "; ".join(
        f"{factor.key}: {', '.join(factor.values[:8])}{', …' if len(factor.values) > 8 else ''}" for factor in found
    )
    seeds = {record.seed for record in collection.records}
    runs = f"{count} runs" if count > 1 else "One run"
    repeated = f" with {len(seeds)} seeds" if len(seeds) > 1 else ""
    return f"{runs}{repeated}, compared by {collection.monitor}" + (f". {listed}." if listed else ".")


def _named(collection: Collection, what: str) -> str | None:
    """The project, entity or group that most configs name; None where none does."""
    values = (record.config.get(f"logger.wandb.{what}") for record in collection.records)
    known = Counter(str(value) for value in values if value)
    return known.most_common(1)[0][0] if known else None
