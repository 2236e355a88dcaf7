"""`receptive activations compare=[RUN_A,RUN_B]`: the layers of networks side by side, with the spread over seeds."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console

from receptive.activations.inspection import Options, default_output, inspect, look_at, surveyed
from receptive.activations.maps import feature_maps
from receptive.config import differences, leaves, plain
from receptive.errors import InputError
from receptive.figures.activations import SHARES
from receptive.figures.networks import save_comparison, save_side_by_side
from receptive.files import write_csv
from receptive.runs import Run, open_run, shown, warn_of_unfinished

Array = NDArray[Any]

# of layers.csv -> what it is called on the axis
QUANTITIES = {"mean_absolute": "mean |activation|", **SHARES}
# name and pixels (C, H, W) of an image; label and average (H, W) of the absolute maps of each layer that has maps
_Picture = tuple[str, Array, list[tuple[str, Array] | None]]

COLUMNS = ("layer", "name", "network", "quantity", "mean", "std", "runs")


@dataclass(frozen=True)
class Network:
    """Runs that differ in the seed alone.

    Args:
        name: what sets them apart from the other networks.
        runs: one a seed.
    """

    name: str
    runs: tuple[Run, ...]


def networks_of(folders: Sequence[str]) -> list[Network]:
    """The networks that the runs are of, in the order in which they are named.

    Args:
        folders: of runs, or of sweeps: then of all their runs that are done.

    Raises:
        InputError: a folder is none of a run, or all runs are of one network.
    """
    runs = [run for folder in folders for run in _runs_in(Path(folder))]
    groups: list[tuple[DictConfig, list[Run]]] = []
    for run in runs:
        config = run.config()
        group = next((members for first, members in groups if _changes(first, config) <= {"seed"}), None)
        if group is None:
            groups.append((config, [run]))
        elif run.folder.resolve() not in [member.folder.resolve() for member in group]:
            group.append(run)
    if len(groups) < 2:
        raise InputError("compare: all these runs are of one network; give the folders of two or more networks")
    configs = [config for config, _ in groups]
    return [Network(name, tuple(members)) for name, (_, members) in zip(_names(configs), groups, strict=True)]


def _runs_in(folder: Path) -> list[Run]:
    if (folder / "config.yaml").is_file() or not folder.is_dir():
        return [open_run(folder, "compare")]
    runs = [Run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
    done = [run for run in runs if run.state() == "done"]
    if runs and not done:
        raise InputError(f"compare={folder}: none of its {len(runs)} runs is done")
    if left := len(runs) - len(done):
        print(f"receptive: {shown(folder)}: {left} of {len(runs)} runs are not done and left out", file=sys.stderr)
    return done or [open_run(folder, "compare")]


def _changes(first: DictConfig, second: DictConfig) -> set[str]:
    return {line.partition(":")[0] for line in differences(first, second)}


def _names(configs: Sequence[DictConfig]) -> list[str]:
    """The fewest values that tell the networks apart; of the model's alone where those do."""
    values = [leaves(plain(config)) for config in configs]
    keys = list(dict.fromkeys(key for config in configs for key in sorted(_changes(configs[0], config) - {"seed"})))
    own = [key for key in keys if key.startswith("model.")]
    for chosen in (own, keys):
        names = [
            ", ".join(f"{key.rpartition('.')[2]}={_word(key, found.get(key))}" for key in chosen) for found in values
        ]
        if chosen and len(set(names)) == len(names):
            return names
    return [f"network {place + 1}" for place in range(len(configs))]


def _word(key: str, value: Any) -> str:
    """A value as names have it: of a class its own name, without the module."""
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)


def aligned(sequences: Sequence[Sequence[str]]) -> list[list[int | None]]:
    """The places of one common order of layers that hold every sequence of kinds.

    Args:
        sequences: the kinds of each network's layers, in order.

    Returns:
        a row for each common layer: its place in every sequence, None where that has not got it.
    """
    rows: list[list[int | None]] = [[place] for place in range(len(sequences[0]))]
    common = list(sequences[0])
    for number, kinds in enumerate(sequences[1:], 1):
        matcher = difflib.SequenceMatcher(None, common, kinds, autojunk=False)
        merged: list[list[int | None]] = []
        words: list[str] = []
        for kind, first, last, start, end in matcher.get_opcodes():
            if kind == "equal":
                merged += [[*row, start + step] for step, row in enumerate(rows[first:last])]
                words += common[first:last]
            else:
                merged += [[*row, None] for row in rows[first:last]]
                merged += [[None] * number + [place] for place in range(start, end)]
                words += [*common[first:last], *kinds[start:end]]
        rows, common = merged, words
    return rows


def compare(folders: Sequence[str], output: Path, options: Options, console: Console) -> list[dict[str, str | float]]:
    """Write comparison.csv, comparison.png and maps_IMAGE.png; gives a row a network and kind of layer.

    Statistics that a run's folder already holds for the same question are not computed again; others are kept in its
    activations/compared/, beside what was asked of that run alone.

    Args:
        folders: of runs, or of sweeps.
        output: folder, made where it does not exist.
        options: what is looked at.
        console: shows progress.

    Raises:
        InputError: a folder cannot be used, there are not two networks, runs of one have not the same layers, there is
            no such image, or the output cannot be written.
    """
    if chosen := [key for key in ("probe", "correlation", "batch_norm") if getattr(options, key)]:
        raise InputError(f"{chosen[0]}=true is of one network: give run=FOLDER instead of compare")
    networks = networks_of(folders)
    for run in (run for network in networks for run in network.runs):
        warn_of_unfinished(run, "activations")
    with _writing(output):  # what cannot be is told before anything is surveyed
        output.mkdir(parents=True, exist_ok=True)
    pictures = [_pictures(network, output, options, console) for network in networks] if options.places else []
    parts = []
    for network in networks:
        tables: list[Sequence[Mapping[str, Any]]] = []
        for run in network.runs:
            console.print(f"{network.name}: {shown(run.folder)}")
            tables.append(_table(run, options, console))
        parts.append(_Part(network, tables))
    rows = aligned([part.kinds for part in parts])
    with _writing(output):
        _write(parts, rows, f"{parts[0].images:,} images of {options.input or options.split}", output)
        for number, place in enumerate(options.places):
            _draw_maps(networks, rows, [own[number] for own in pictures], output / f"maps_{place}.png")
    return [
        {"network": part.network.name, "runs": len(part.network.runs), "kind": kind, **part.means(kind)}
        for part in parts
        for kind in dict.fromkeys(part.kinds)
    ]


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"output={output} cannot be written: {error}") from None


def _table(run: Run, options: Options, console: Console) -> Sequence[Mapping[str, Any]]:
    """The rows of a run's layers.csv, of an earlier call or computed."""
    own = default_output(run, options)
    kept = run.activations / "compared" / own.name
    alone = replace(options, maps=[], average_maps=False)
    return surveyed(run, options, own) or surveyed(run, options, kept) or inspect(run, kept, alone, console)


def _write(parts: Sequence[_Part], rows: Sequence[Sequence[int | None]], described: str, output: Path) -> None:
    labels = _numbered([_kind(parts, row) for row in rows])
    panels: dict[str, dict[str, tuple[Array, Array]]] = {}
    records = []
    for key, title in QUANTITIES.items():
        panels[title] = {}
        for number, part in enumerate(parts):
            places = [row[number] for row in rows]
            mean, std = panels[title][part.network.name] = part.over(places, key)
            several = len(part.network.runs) > 1
            records += [
                {
                    "layer": label,
                    "name": part.names[own],
                    "network": part.network.name,
                    "quantity": key,
                    "mean": f"{mean[place]:.6g}",
                    "std": f"{std[place]:.6g}" if several else "",
                    "runs": len(part.network.runs),
                }
                for place, (label, own) in enumerate(zip(labels, places, strict=True))
                if own is not None and not np.isnan(mean[place])
            ]
    write_csv(output / "comparison.csv", COLUMNS, records)
    names = " against ".join(f"{part.network.name} ({len(part.network.runs)})" for part in parts)
    spread = "; bands: ± the deviation over the seeds" if any(len(part.network.runs) > 1 for part in parts) else ""
    save_comparison(labels, panels, f"{names}: {described}{spread}", output / "comparison.png")


def _kind(parts: Sequence[_Part], row: Sequence[int | None]) -> str:
    return next(part.kinds[place] for part, place in zip(parts, row, strict=True) if place is not None)


def _pictures(network: Network, output: Path, options: Options, console: Console) -> list[_Picture]:
    """Of the network's first run, one an image; raises InputError where there is no such image."""
    context = look_at(network.runs[0], output, options, console)
    examples = context.images.examples(options.places)
    return [
        (
            name,
            pixels.numpy(),
            [
                (context.label(layer), maps.abs().mean(0).numpy()) if maps.ndim == 3 and maps[0].numel() > 1 else None
                for layer, maps in feature_maps(context, inputs).items()
            ],
        )
        for name, pixels, inputs in zip(examples.names, examples.pixels, examples.inputs, strict=True)
    ]


def _draw_maps(
    networks: Sequence[Network], rows: Sequence[Sequence[int | None]], pictures: Sequence[_Picture], path: Path
) -> None:
    """The average of the absolute feature maps of an image, a row a network."""
    cells = {
        network.name: [None if (spot := row[number]) is None else layers[spot] for row in rows]
        for number, (network, (_, _, layers)) in enumerate(zip(networks, pictures, strict=True))
    }
    name, pixels, _ = pictures[0]
    save_side_by_side(pixels, cells, f"{name}: average over the channels of the absolute feature maps", path)


def _numbered(kinds: Sequence[str]) -> list[str]:
    """Conv2d 1, ReLU 1, Conv2d 2 ..."""
    seen: dict[str, int] = {}
    names = []
    for kind in kinds:
        seen[kind] = seen.get(kind, 0) + 1
        names.append(f"{kind} {seen[kind]}")
    return names


class _Part:
    """The tables of one network's runs."""

    def __init__(self, network: Network, tables: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        self.network = network
        self.names = [str(row["layer"]) for row in tables[0]]
        self.kinds = [str(row["kind"]) for row in tables[0]]
        self.images = int(tables[0][0]["images"])
        if any([row["layer"] for row in table] != self.names for table in tables):
            raise InputError(f"compare: the runs of {network.name} have not the same layers")
        # quantity -> (runs, layers)
        self.values = {
            key: np.array([[float(row[key] if row[key] != "" else "nan") for row in table] for table in tables])
            for key in QUANTITIES
        }

    def over(self, places: Sequence[int | None], key: str) -> tuple[Array, Array]:
        """Mean and deviation (ddof 1; 0 of a single run) over the runs for the common layers."""
        values = np.stack(
            [np.full(len(self.network.runs), np.nan) if p is None else self.values[key][:, p] for p in places], axis=1
        )
        single = len(values) == 1
        return values.mean(0), np.zeros(values.shape[1]) if single else values.std(0, ddof=1)

    def means(self, kind: str) -> dict[str, float]:
        """Each quantity over the layers of a kind and the runs."""
        chosen = [place for place, own in enumerate(self.kinds) if own == kind]
        found = {key: values[:, chosen] for key, values in self.values.items()}
        return {key: float(np.nanmean(own)) if not np.isnan(own).all() else np.nan for key, own in found.items()}
