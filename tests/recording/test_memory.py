"""Memory, in MiB on every system."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from receptive.recording import memory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ballast() -> np.ndarray:
    """Memory of this process, which is none of those that it starts."""
    return np.ones(2**27)


@pytest.mark.usefixtures("ballast")
def test_it_is_that_of_this_process_and_only_grows() -> None:
    code = (
        "import torch; from receptive.recording.memory import peak_memory as peak\n"
        "before = peak(); held = torch.ones(64 * 2**20); among = peak(); del held; print(before, among, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, among, after = map(float, done.stdout.split())
    assert 50 < before < 20_000
    assert 250 < among - before < 300
    assert after > among - 5  # the kernel counts in batches of pages


@pytest.mark.parametrize(("system", "told"), [("linux", 3 * 2**10), ("darwin", 3 * 2**20)])
def test_systems_count_in_units_of_their_own(
    system: str, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(memory.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=told))
    assert [memory.peak_memory(), memory.peak_memory(CPU)] == [3.0, 3.0]


def test_of_a_cuda_device_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda asked: 5 * 2**20 if asked == device else 0)
    assert memory.peak_memory(device) == 5.0
