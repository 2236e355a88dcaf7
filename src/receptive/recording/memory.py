"""How much memory a process has had."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")


def peak_memory(device: torch.device | None = None) -> float:
    """The most memory that this process has held so far, in MiB.

    Args:
        device: of a CUDA device its own memory, as torch gives it out; else, and None: that of the machine.
    """
    if device is not None and device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    if _STATUS.is_file():  # Linux' getrusage counts what the process held as a copy of its parent too
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
