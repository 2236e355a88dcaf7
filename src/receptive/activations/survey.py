"""Statistics of every layer over a set of images, in one pass and in memory that does not grow with the set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from receptive.activations.context import Context
from receptive.errors import InputError
from receptive.figures.activations import save_channels, save_histograms, save_profile
from receptive.figures.feature_maps import save_sheet
from receptive.files import write_atomically
from receptive.inference import Predictor
from receptive.recording.layers import watching
from receptive.recording.memory import peak_memory
from receptive.recording.statistics import LayerSummary, NetworkStatistics

Row = dict[str, Any]

LAYER_COLUMNS = (
    *("place", "layer", "kind", "shape", "images", "mean", "std", "mean_absolute", "zeros"),
    *("sampled", "near_zeros", "dark", "blank"),
)
CHANNEL_COLUMNS = ("layer", "channel", "mean", "std", "mean_absolute", "zeros", "near_zeros", "dark", "blank")
HISTOGRAM_COLUMNS = ("layer", "channel", "left", "right", "count")


def survey(
    predictor: Predictor, batches: Iterable[Tensor], layers: Mapping[str, nn.Module], every: int
) -> dict[str, LayerSummary]:
    """What each layer gives over all images, in the order in which the layers run.

    Args:
        predictor: the trained network.
        batches: normalised images (B, C, H, W).
        layers: those that are looked at, by name.
        every: histogram, near-zero values, dark pixels and blank maps are of every so many-th image.

    Raises:
        InputError: an activation is NaN or infinite.
    """
    statistics = NetworkStatistics(layers, every)
    with watching(predictor.task.model, layers, statistics.visit):
        for inputs in batches:
            predictor.outputs(inputs)
    return statistics.summaries()


def report(context: Context, *, histogram_images: int, average_maps: bool) -> list[Row]:
    """Write layers.csv, channels.csv, histograms.csv and their figures; gives the rows of layers.csv.

    Args:
        context: network and images.
        histogram_images: so many, spread over the set, are looked at closer: see `survey`.
        average_maps: draw the average of every feature map as well.
    """
    size = len(context.images)
    batches = context.progress(context.images.batches(context.batch_size), size, "statistics")
    started = time.perf_counter()
    summaries = survey(context.predictor, batches, context.layers, max(1, -(-size // histogram_images)))
    seconds = time.perf_counter() - started
    if not summaries:
        raise InputError(f"layers: no image passes through {', '.join(context.layers)}")
    rows = layer_rows(summaries, context.kind)
    context.write("layers.csv", rows, LAYER_COLUMNS)
    context.write("channels.csv", channel_rows(summaries), CHANNEL_COLUMNS)
    context.write("histograms.csv", histogram_rows(summaries), HISTOGRAM_COLUMNS)
    facts = {
        "images": size,
        "of": context.described,
        "precision": context.experiment.trainer.actual_precision(),
        "seconds": round(seconds, 2),
        "images_per_second": round(size / seconds, 1),
        "peak_memory_mib": peak_memory(),
    }
    write_atomically(context.output / "survey.json", json.dumps(facts, indent=2) + "\n")
    context.console.print(
        f"{context.described}: {seconds:.1f} s, {facts['images_per_second']:,} images/s, "
        f"peak memory {facts['peak_memory_mib']:,.0f} MiB"
    )
    _draw(context, summaries, rows, average_maps and size > 1)
    return rows


def _draw(context: Context, summaries: Mapping[str, LayerSummary], rows: Sequence[Row], average_maps: bool) -> None:
    title, output = f"{context.name}: {context.described}", context.output
    labels = {name: context.label(name) for name in summaries}
    save_profile(rows, list(labels.values()), title, output / "profile.png")
    histograms = [(labels[name], found.edges, found.histogram.sum(0)) for name, found in summaries.items()]
    save_histograms(histograms, f"{title} ({rows[0]['sampled']:,} of them counted)", output / "histograms.png")
    channels = [(labels[name], found.mean_absolute) for name, found in summaries.items()]
    save_channels(channels, "mean absolute activation", title, output / "channels.png")
    if not average_maps:
        return
    folder = output / "average_maps"
    folder.mkdir(exist_ok=True)
    for row in rows:
        found = summaries[row["layer"]]
        raw, absolute = found.mean_map, found.mean_absolute_map
        if raw is not None and absolute is not None:
            save_sheet(raw, absolute, f"{labels[row['layer']]}: average over {context.described}", sheet(folder, row))


def sheet(folder: Path, row: Row) -> Path:
    """The file of a layer's feature maps."""
    return folder / f"{row['place']:02d}_{row['layer'].replace('/', '_')}_{row['kind']}.png"


def layer_rows(summaries: Mapping[str, LayerSummary], kind: Callable[[str], str]) -> list[Row]:
    """A row a layer; means over its channels, the deviation over all its activations."""
    rows = []
    for place, (name, found) in enumerate(summaries.items()):
        rows.append(
            {
                "place": place,
                "layer": name,
                "kind": kind(name),
                "shape": "x".join(str(side) for side in found.shape),
                "images": found.images,
                "mean": found.mean.mean(),
                "std": found.overall_std,
                "mean_absolute": found.mean_absolute.mean(),
                "zeros": found.zeros.mean(),
                "sampled": found.sampled,
                "near_zeros": found.near_zeros.mean(),
                "dark": found.dark.mean(),
                "blank": found.blank.mean(),
            }
        )
    return rows


def channel_rows(summaries: Mapping[str, LayerSummary]) -> Iterator[Row]:
    """A row a channel of every layer."""
    for name, found in summaries.items():
        columns = {key: getattr(found, key) for key in CHANNEL_COLUMNS[2:]}
        for channel in range(len(found.mean)):
            values = {key: values[channel] for key, values in columns.items()}
            yield {"layer": name, "channel": channel, **values}


def histogram_rows(summaries: Mapping[str, LayerSummary]) -> Iterator[Row]:
    """A row a bin of every channel of every layer, those left out that nothing fell into."""
    for name, found in summaries.items():
        for channel, counts in enumerate(found.histogram):
            for place in counts.nonzero()[0]:
                yield {
                    "layer": name,
                    "channel": channel,
                    "left": found.edges[place],
                    "right": found.edges[place + 1],
                    "count": counts[place],
                }
