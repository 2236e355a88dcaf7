"""`receptive export`: write, open again, compare, and only then put in place."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from rich.console import Console
from torch import nn

from receptive.build import Checkpoint, build_model
from receptive.data.module import ImageData
from receptive.errors import InputError
from receptive.export.formats import FORMATS, Format, Opened, Subject, reason_of
from receptive.export.parity import Parity, compare
from receptive.export.specification import specification
from receptive.files import replacing, write_atomically
from receptive.provenance import versions
from receptive.reuse import TrainedModel, load_run
from receptive.runs import Run, shown


@dataclass(frozen=True, kw_only=True)
class Options:
    """What conf/export.yaml tells."""

    format: Literal["onnx", "torch_export", "safetensors"]
    checkpoint: Checkpoint
    dynamic_size: bool
    opset: Annotated[int, Ge(1)] | None
    tolerance: Annotated[float, Gt(0)]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: of the file.
        specification: what stands beside it.
    """

    path: Path
    specification: dict[str, Any]

    @property
    def specification_path(self) -> Path:
        """NAME.json beside the file NAME."""
        return self.path.with_name(f"{self.path.name}.json")


def export(run: Run, options: Options, output: Path | None, data_dir: str | None) -> Exported:
    """Write a trained run as one file, with its specification beside it, and check it against the run.

    Args:
        run: the folder of a run that has saved a checkpoint.
        options: format and what may vary.
        output: the file; None: export/model.SUFFIX in the run's folder.
        data_dir: where the data lie now, whose images the check takes; None: where they lay when the run was trained.

    Raises:
        InputError: the run cannot be read, the format not be written, or the file does not give what the run gives;
            an older file of the same name is then as it was.
    """
    kind = FORMATS[options.format]
    path = _checked_path(run, kind, output)
    kind.require()
    model = load_run(run, checkpoint=options.checkpoint, device="cpu", precision="32-true", data_dir=data_dir)
    form = kind(_subject(model, options))
    told = specification(model, form)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            part = Path(scratch) / path.name
            form.write(part, told)
            if len(list(Path(scratch).iterdir())) > 1:
                raise InputError(f"format={kind.NAME}: the weights do not fit into one file")
            parity = compare(model, _opened(form, part), form.sizes, options.tolerance)
            parity.require()
            exported = Exported(path, told | _of_the_file(part, form, parity))
            with replacing(path) as file, open(part, "rb") as checked:
                shutil.copyfileobj(checked, file)
        write_atomically(exported.specification_path, json.dumps(exported.specification, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"output={path} cannot be written: {error}") from None
    return exported


def _opened(form: Format, part: Path) -> Opened:
    try:
        return form.open(part)
    except Exception as error:  # every reader raises its own
        raise InputError(f"format={form.NAME}: the exported file cannot be opened again: {reason_of(error)}") from None


def _checked_path(run: Run, kind: type[Format], output: Path | None) -> Path:
    if output is None:
        return run.folder / "export" / f"model{kind.SUFFIX}"
    if output.suffix != kind.SUFFIX:
        raise InputError(f"output={output}: with format={kind.NAME} give a file whose name ends in {kind.SUFFIX}")
    if output.is_dir():
        raise InputError(f"output={output}: is a folder; give a file")
    return output


def _subject(model: TrainedModel, options: Options) -> Subject:
    facts = model.facts
    mean, std = _statistics(model.experiment.data)
    node = model.run.config().model

    def fresh() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return build_model(node, facts)

    return Subject(
        network=model.network,
        fresh=fresh,
        facts=facts,
        mean=mean,
        std=std,
        vary=options.dynamic_size,
        opset=options.opset,
    )


def _statistics(data: ImageData) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel by which the run normalises; 0 and 1 where it does not."""
    if not data.normalize:
        return (0.0,) * data.facts.in_channels, (1.0,) * data.facts.in_channels
    mean, std = data.mean or data.facts.mean, data.std or data.facts.std
    return tuple(mean), tuple(std)


def _of_the_file(part: Path, form: Format, parity: Parity) -> dict[str, Any]:
    content, known = part.read_bytes(), versions()
    return {
        "written_by": {name: known[name] for name in ("receptive", "torch")} | form.versions(),
        "parity": dataclasses.asdict(parity),
        "file": {"name": part.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }


def print_export(exported: Exported, console: Console) -> None:
    """What was written and how it was checked, a line each."""
    told = exported.specification
    parity, given, gives = told["parity"], told["input"], told["output"]
    sizes = ", ".join("x".join(map(str, size)) for size in parity["sizes"])
    ranges = [
        f"{name} from {one['min']}" + (f" in steps of {one['multiple_of']}" if one.get("multiple_of", 1) > 1 else "")
        for name, one in given["dynamic"].items()
    ]
    inside = "normalised within" if given["normalization"]["where"] == "in the file" else "to be normalised before"
    lines = {
        told["format"]: f"{shown(exported.path)}, {told['file']['bytes']:,} bytes",
        "spec": shown(exported.specification_path),
        "input": f"{_shape(given)} in [0, 1], {given['channels']}, {inside}; {', '.join(ranges)}",
        "output": f"{_shape(gives)}, {len(told['class_names'])} classes",
        "parity": f"logits differ by at most {parity['difference']:.2g} (up to {parity['tolerance']:.2g} is let pass): "
        f"{parity['count']} {parity['images']}, batches of {' and '.join(map(str, parity['batches']))}, at {sizes}",
    }
    if reason := given.get("fixed_size_because"):
        lines["size"] = f"fixed: {reason}"
    for name, text in lines.items():
        console.print(f"{name:<12} {text}")


def _shape(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} ({', '.join(map(str, tensor['shape']))}) {tensor['dtype']}"
