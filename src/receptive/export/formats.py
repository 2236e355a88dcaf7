"""The three kinds of files: how each is written, and how it is opened again to see what it gives."""

from __future__ import annotations

import abc
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from receptive.data.source import Facts
from receptive.errors import InputError
from receptive.export.graph import Normalised, portable, sizes_of, traced

INPUT, OUTPUT = "images", "logits"
METADATA = "receptive"  # the name that the specification has within a file
Opened = Callable[[Tensor], Tensor]  # from images (B, C, H, W) in [0, 1] to logits


@dataclass(frozen=True)
class Subject:
    """What is to be exported.

    Args:
        network: with trained weights, as the run has it.
        fresh: builds the same network with other weights.
        facts: of the run's data.
        mean: of each channel, pixels in [0, 1].
        std: of each channel.
        vary: let height and width vary where the network takes other sizes.
        opset: of ONNX; None: torch's choice.
    """

    network: nn.Module
    fresh: Callable[[], nn.Module]
    facts: Facts
    mean: tuple[float, ...]
    std: tuple[float, ...]
    vary: bool
    opset: int | None


class Format(abc.ABC):
    """A kind of file.

    Args:
        subject: what is to be exported.

    Raises:
        InputError: the network cannot be exported like this.
    """

    NAME: ClassVar[str]
    SUFFIX: ClassVar[str]
    PACKAGES: ClassVar[tuple[str, ...]]  # that it takes beside torch
    NORMALISES: ClassVar[bool] = True  # whether the file holds the normalisation

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.sizes = sizes_of(subject.network, subject.facts, subject.vary)

    @classmethod
    def require(cls) -> None:
        """Raise InputError, with the remedy, where a package is missing."""
        if missing := [name for name in cls.PACKAGES if importlib.util.find_spec(name) is None]:
            raise InputError(f"format={cls.NAME}: not installed is what it needs: pip install {' '.join(missing)}")

    @abc.abstractmethod
    def write(self, path: Path, told: dict[str, Any]) -> None:
        """Write the file, `told` within it."""

    @abc.abstractmethod
    def open(self, path: Path) -> Opened:
        """What the file gives, by a reader that knows nothing of how it was written."""

    def versions(self) -> dict[str, str | int]:
        """Of what the file is written with, beside torch."""
        return {}


class _Traced(Format):
    """A file that holds the graph of the normalisation and the network."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        network = Normalised(portable(subject.network), subject.mean, subject.std).eval()
        with _quiet():
            self.program, self.sizes = traced(network, subject.facts, self.sizes)


class Onnx(_Traced):
    """ONNX, by torch's exporter; opened by onnxruntime."""

    NAME, SUFFIX = "onnx", ".onnx"
    PACKAGES = ("onnx", "onnxscript", "onnxruntime")

    def write(self, path: Path, told: dict[str, Any]) -> None:
        """One file, weights within; see Format.write."""
        names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
        try:
            with _quiet():
                program = torch.onnx.export(self.program, **names, opset_version=self.subject.opset, verbose=False)
        except Exception as error:  # of a dozen kinds
            hint = "; try dynamic_size=false" if self.sizes.vary else ""
            name = type(self.subject.network).__name__
            raise InputError(f"torch.onnx cannot translate {name}: {reason_of(error)}{hint}") from None
        assert program is not None  # so it is for a TorchScript file alone
        self._opset = program.model.opset_imports[""]
        if self.subject.opset not in (None, self._opset):  # torch then only warns
            raise InputError(f"opset={self.subject.opset}: torch.onnx writes {self._opset} of this network; give null")
        shape = program.model.graph.inputs[0].shape
        assert shape is not None
        axes = zip(shape, ("batch", "", "height", "width"), strict=True)
        program.rename_axes({axis: name for axis, name in axes if not isinstance(axis, int)})
        program.model.metadata_props[METADATA] = json.dumps(told)
        program.save(path)

    def open(self, path: Path) -> Opened:
        """Check the file by the rules of ONNX and open it with onnxruntime, on the CPU."""
        import onnx
        import onnxruntime

        onnx.checker.check_model(path, full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    def versions(self) -> dict[str, str | int]:
        """Opset, exporter and the runtime that checked."""
        return {"opset": self._opset} | {name: metadata.version(name) for name in self.PACKAGES}


class TorchExport(_Traced):
    """torch.export's archive; opened by torch.export.load, which needs none of our code."""

    NAME, SUFFIX = "torch_export", ".pt2"
    PACKAGES = ()

    def write(self, path: Path, told: dict[str, Any]) -> None:
        """See Format.write."""
        with _quiet():
            torch.export.save(self.program, path, extra_files={f"{METADATA}.json": json.dumps(told)})

    def open(self, path: Path) -> Opened:
        """Load the archive."""
        with _quiet():
            module = torch.export.load(path).module()
        return lambda images: module(images)


class Safetensors(Format):
    """The weights alone, under the names that the network gives them; the normalisation is left to the reader."""

    NAME, SUFFIX = "safetensors", ".safetensors"
    PACKAGES = ("safetensors",)
    NORMALISES = False

    def write(self, path: Path, told: dict[str, Any]) -> None:
        """See Format.write."""
        from safetensors.torch import save_file

        weights = {  # each laid out plainly and by itself, as the format wants it
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in self.subject.network.state_dict().items()
        }
        save_file(weights, path, {METADATA: json.dumps(told)})

    def open(self, path: Path) -> Opened:
        """Load the weights into a network that had others."""
        from safetensors.torch import load_file

        subject = self.subject
        network = subject.fresh().eval()
        network.load_state_dict(load_file(path))
        return Normalised(network, subject.mean, subject.std)

    def versions(self) -> dict[str, str | int]:
        """Of the library."""
        return {"safetensors": metadata.version("safetensors")}


FORMATS: dict[str, type[Format]] = {kind.NAME: kind for kind in (Onnx, TorchExport, Safetensors)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to the authors of exporters."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def reason_of(error: Exception) -> str:
    """The first line of what lies at the bottom: exporters wrap it in pages of advice."""
    below: BaseException = error
    while below.__cause__ is not None:
        below = below.__cause__
    lines = str(below).strip().splitlines()
    return f"{type(below).__name__}: {lines[0]}" if lines else type(below).__name__
