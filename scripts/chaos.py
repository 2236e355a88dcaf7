"""Runs that are killed at random moments, and end where the runs end that nobody killed: bit for bit.

    python scripts/chaos.py 100 --seed 0 --folder outputs/chaos

Real jobs, `python -m receptive.job FOLDER`, classification and segmentation in turn. Each gets SIGKILL, with all its
processes, up to --each times, is started again after each and then left to end. Moments are drawn from the seed: one
in six while the job starts, the others within 8 seconds of its first checkpoint, early ones more often. Then last.ckpt
and best.ckpt with all that they hold, metrics.csv, activations.csv and result.json are compared with those of a
straight run, but for times. Where the folder holds finished runs of an earlier call their kills count. Exit code 1
when a run differs.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from torch import Tensor

from receptive.checkpoints import HEADER, load_state
from receptive.config import conf_dir, freeze, register_resolvers
from receptive.errors import InputError
from receptive.files import read_csv, write_atomically
from receptive.runs import Run

EVERY = ("trainer.threads=1", "trainer.checkpoint_minutes=0.005", "trainer.ema_decay=0.99", "scheduler=one_cycle")
KINDS = {
    "classification": (
        *EVERY, "data=digits", "data.batch_size=8", "model.norm=batch", "augment=[affine,cutout]", "optimizer=sgd",
        "optimizer.momentum=0.9", "trainer.gradient_clip_val=1.0",
    ),
    "segmentation": (
        *EVERY, "data=phantoms", "data.source.image_size=32", "data.source.train_images=132", "model=unet",
        "data.source.test_images=12", "data.batch_size=2", "model.base_channels=4", "model.depth=2",
        "augment=[rotation]", "optimizer=adamw", "record=activations",
    ),
}  # fmt: skip
WINDOW = 8.0  # seconds after the first checkpoint of an attempt in which it is killed
STARTS = 6  # one of so many attempts is killed while it starts


@dataclass(frozen=True)
class Kill:
    """A kill: the seconds after the job's start, the phase that it fell into, and what stands in last.ckpt then."""

    seconds: float
    phase: str
    place: str


def prepare(folder: Path, *overrides: str) -> Run:
    """A folder with a frozen config, as the command writes it; one that is there stays."""
    run = Run(folder)
    if not run.config_path.is_file():
        register_resolvers()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = freeze(compose("train", list(overrides)))
        folder.mkdir(parents=True)
        OmegaConf.save(config, run.config_path)
    return run


def start(run: Run) -> subprocess.Popen[bytes]:
    """The job of a folder as a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "receptive.job", str(run.folder)],
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def saved_at(run: Run) -> int:
    """When last.ckpt was written, in nanoseconds; 0: it is not there."""
    try:
        return (run.checkpoints / "last.ckpt").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def attempt(run: Run, draw: random.Random) -> Kill | None:
    """Start a job and kill it; None where it ended before that."""
    early, delay, before = draw.randrange(STARTS) == 0, draw.uniform(0, 1) ** 2, saved_at(run)
    process, started = start(run), time.monotonic()
    try:
        while process.poll() is None and not early and saved_at(run) == before:
            time.sleep(0.01)
        process.wait(timeout=delay * (4 if early else WINDOW))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    seconds = time.monotonic() - started
    if process.wait() >= 0:
        if process.returncode:
            raise RuntimeError(f"{run.folder} ended with {process.returncode}: {run.status().error}")
        return None
    return Kill(round(seconds, 2), phase(run, before), place(run))


def phase(run: Run, before: int) -> str:
    """What a dead job was doing: `before` is when last.ckpt was written before it was started."""
    if list(run.checkpoints.glob(".*")):
        return "saving"
    if saved_at(run) == before:
        return "starting"
    return "testing" if len(run.metrics()) == run.config().trainer.max_epochs else "training"


def place(run: Run) -> str:
    """Where the next attempt goes on."""
    try:
        header = load_state(run.checkpoints / "last.ckpt")[HEADER]
    except InputError as error:
        return "nothing" if not saved_at(run) else str(error)
    return f"epoch {header['epoch'] + 1}, batch {header['batch']}"


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nested containers differ, tensors by their bits; times and memory do not count."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if key not in ("seconds", "memory_mb")]
        return [found for key in keys for found in differences(one.get(key), other.get(key), f"{where}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for number, pair in pairs for found in differences(*pair, f"{where}[{number}]")]
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [where]
    return [] if type(one) is type(other) and (one == other or one != one) else [f"{where}: {one} {other}"]


def everything(run: Run) -> dict[str, Any]:
    """All that a run leaves, without the folder's name in Lightning's bookkeeping."""
    found: dict[str, Any] = {name: load_state(run.checkpoints / f"{name}.ckpt") for name in ("last", "best")}
    for state in found.values():
        for callback in state["callbacks"].values():
            for key in [key for key in callback if "path" in key or key in ("dirpath", "best_k_models")]:
                del callback[key]
    for path in (run.metrics_path, run.activations_path, run.test_images_path):
        found[path.name] = read_csv(path) if path.is_file() else None
    if run.test_masks_path.is_file():
        with np.load(run.test_masks_path) as masks:
            found["masks"] = {name: torch.from_numpy(masks[name]) for name in masks.files}
    found["result"] = {key: run.result()[key] for key in ("metrics", "best_epoch", "epochs", "steps", "details")}
    return found


def killed_run(run: Run, kills: int, draw: random.Random, tell: Callable[[str], None]) -> list[Kill]:
    """Kill a job at most `kills` times, then let it end; gives the kills."""
    found: list[Kill] = []
    while len(found) < kills and (kill := attempt(run, draw)) is not None:
        found.append(kill)
        tell(f"{run.folder.name}: {kill.phase}, after {kill.seconds:.2f} s; last.ckpt: {kill.place}")
    if code := start(run).wait():
        raise RuntimeError(f"{run.folder} ended with {code}: {run.status().error}")
    return found


def runs(kills: int, each: int, seed: int, folder: Path, tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Runs of both kinds in turn until `kills` kills have come; gives a record of each, which it also keeps."""
    number = 0
    straight = {}
    while kills > 0:
        kind, options = list(KINDS.items())[number % len(KINDS)]
        record = folder / f"{number}-{kind}.json"
        if not record.is_file():
            if kind not in straight:
                whole = prepare(folder / f"straight-{kind}", *options)
                killed_run(whole, 0, random.Random(), tell)
                straight[kind] = everything(whole)
            run = prepare(folder / f"{number}-{kind}", *options)
            if run.status().attempts:
                raise InputError(f"{run.folder} was begun by an earlier call: delete it")
            found = killed_run(run, min(each, kills), random.Random(f"{seed} {number}"), tell)
            differ = differences(straight[kind], everything(run))
            facts = {"attempts": run.status().attempts, "kills": [asdict(kill) for kill in found], "differ": differ}
            write_atomically(record, json.dumps(facts, indent=1) + "\n")
            tell(f"{run.folder.name}: {'identical' if not differ else 'DIFFERENT: ' + '; '.join(differ[:5])}")
        told = json.loads(record.read_text())
        kills -= len(told["kills"])
        number += 1
        yield told


def main() -> int:
    """Kill, compare, print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=10, help="most kills of one run")
    parser.add_argument("--folder", type=Path, default=Path("outputs/chaos"))
    given = parser.parse_args()
    started = time.monotonic()
    given.folder.mkdir(parents=True, exist_ok=True)
    found = list(
        runs(given.kills, given.each, given.seed, given.folder.absolute(), lambda line: print(line, flush=True))
    )
    kills = [kill for told in found for kill in told["kills"]]
    phases = collections.Counter(kill["phase"] for kill in kills)
    identical = sum(not told["differ"] for told in found)
    print(f"{len(kills)} kills ({', '.join(f'{count} {name}' for name, count in sorted(phases.items()))})")
    print(f"{len(found)} runs, {sum(told['attempts'] for told in found)} attempts, {time.monotonic() - started:.0f} s")
    print(f"identical to the straight run: {identical} of {len(found)}")
    return 0 if identical == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
