"""From `conf/trainer` to a Lightning Trainer: where and how a run is computed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from annotated_types import Ge, Gt, Lt
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from pytorch_lightning.profilers import PassThroughProfiler
from torch.optim.swa_utils import get_ema_multi_avg_fn

from receptive.callbacks.checkpoints import RunCheckpoints
from receptive.callbacks.interruption import Interruption
from receptive.callbacks.progress import ProgressStyle
from receptive.checkpoints import AtomicCheckpointIO
from receptive.metrics import smaller_is_better
from receptive.ranks.place import Place
from receptive.ranks.strategy import RankStrategy

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """The trainer's options; conf/trainer/default.yaml says what each means.

    Raises:
        ValueError: options that exclude one another.
    """

    max_epochs: Annotated[int, Ge(1)]
    accelerator: Device = "auto"
    devices: Annotated[int, Ge(1)] | Literal["auto"] = 1
    num_nodes: Annotated[int, Ge(1)] = 1
    threads: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    precision: Precision = "auto"
    channels_last: bool = True
    deterministic: bool = True
    gradient_clip_val: Annotated[float, Gt(0)] | None = None
    early_stopping_patience: Annotated[int, Ge(1)] | None = None
    ema_decay: Annotated[float, Gt(0), Lt(1)] | None = None
    monitor: str | None = None
    monitor_mode: Literal["min", "max"] | None = None
    val_every_n_epochs: Annotated[int, Ge(1)] = 1
    limit_train_batches: Annotated[int, Ge(1)] | None = None
    limit_eval_batches: Annotated[int, Ge(1)] | None = None
    overfit_batches: Annotated[int, Ge(1)] | None = None
    checkpoint_minutes: Annotated[float, Gt(0)] | None = 0.2
    checkpoint_steps: Annotated[int, Ge(1)] | None = None
    log_gradient_norm: bool = False
    progress: ProgressStyle = "auto"

    def __post_init__(self) -> None:
        if self.val_every_n_epochs > self.max_epochs:
            raise ValueError(
                f"trainer.val_every_n_epochs={self.val_every_n_epochs} is more than trainer.max_epochs="
                f"{self.max_epochs}: no validation would ever run"
            )

    def mode(self, monitor: str) -> str:
        """Whether the smaller or the larger value of `monitor` is better."""
        return self.monitor_mode or ("min" if smaller_is_better(monitor) else "max")

    def device(self) -> str:
        """The accelerator that `auto` stands for here: cuda, mps or cpu."""
        if self.accelerator != "auto":
            return self.accelerator
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def has_device(self) -> bool:
        """Whether this machine has the accelerator."""
        device = self.device()
        if device == "cuda":
            return torch.cuda.is_available()
        return device == "cpu" or torch.backends.mps.is_available()

    def actual_precision(self) -> str:
        """The precision that `auto` stands for here; on a CPU 32-true for a GPU's 16-mixed."""
        device = self.device()
        if self.precision == "16-mixed" and device == "cpu":
            return "32-true"
        if self.precision != "auto":
            return self.precision
        fast = torch.cuda.is_bf16_supported() if device == "cuda" else device == "cpu" and has_fast_bf16_cpu()
        return "bf16-mixed" if fast else "32-true"

    def actual_threads(self, sharing: int = 1) -> int:
        """The CPU threads that `auto` stands for: the cores of the process, or OMP_NUM_THREADS where less.

        Args:
            sharing: processes that share these cores.
        """
        if self.threads != "auto":
            return self.threads
        affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # may be a list, one a nesting level
        return max(1, min(cores // sharing, int(wanted or cores)))

    def apply_to_process(self, sharing: int = 1) -> None:
        """Set threads and determinism, which hold for the whole process; `sharing`: see `actual_threads`."""
        torch.set_num_threads(self.actual_threads(sharing))
        # lightning_fabric sets it; without a GPU it makes torch's optimizers look for NVML at every step (0.3 ms)
        if not torch.cuda.is_available():
            os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
        # deterministic algorithms also fill new memory by default, which costs time and changes no result of ours
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def has_fast_bf16_cpu() -> bool:
    """Whether the CPU multiplies in bf16 (AMX, AVX512-BF16); without that it is often slower than float32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


class _ExponentialMovingAverage(WeightAveraging):
    """Lightning's weight averaging with torch's EMA over all tensors at once (one by one costs several times more)."""

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=_ema_of_floats(decay))


class _NoProfiler(PassThroughProfiler):
    """Lightning asks for forty contexts a step; here they are one object."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._nothing


def _ema_of_floats(decay: float) -> Callable[..., None]:
    average = get_ema_multi_avg_fn(decay)

    def update(averages: Any, current: Any, num_averaged: Any) -> None:  # lists of tensors of one dtype
        if averages[0].is_floating_point():
            average(averages, current, num_averaged)
        else:  # counters, such as batch normalisation's: torch would average them too, and cut off the fraction
            torch._foreach_copy_(averages, current)

    return update


def build_trainer(
    options: TrainerOptions,
    *,
    checkpoints: Path,
    monitor: str,
    callbacks: list[pl.Callback],
    interruption: Interruption | None = None,
    place: Place | None = None,
) -> pl.Trainer:
    """A Trainer of one device that writes its checkpoints below `checkpoints` and shows nothing of its own.

    Args:
        options: from `conf/trainer`.
        checkpoints: folder of last.ckpt and best.ckpt.
        monitor: metric that chooses the best checkpoint and stops early.
        callbacks: more callbacks, called before ours.
        interruption: tells whether the run is to stop.
        place: of this process, where it trains together with others.
    """
    own = _own_callbacks(options, checkpoints, monitor, interruption)
    # on a cluster's login node Lightning advises srun at every fit and test, which one process does not need
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")
    # metrics are of all processes when they are logged
    warnings.filterwarnings("ignore", "It is recommended to use `self.log")
    cuda = options.device() == "cuda"
    environment: list[Any] = [LightningEnvironment()]
    strategy: Any = "auto"
    if place is not None and place.ranks > 1:
        environment = []
        strategy = RankStrategy(
            place, torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
        )
    return pl.Trainer(
        accelerator="gpu" if cuda else options.device(),
        devices=1,
        strategy=strategy,
        precision=options.actual_precision(),  # type: ignore[arg-type]
        max_epochs=options.max_epochs,
        deterministic=options.deterministic,
        gradient_clip_val=options.gradient_clip_val,
        check_val_every_n_epoch=options.val_every_n_epochs,
        limit_train_batches=options.limit_train_batches,
        limit_val_batches=options.limit_eval_batches,
        limit_test_batches=options.limit_eval_batches,
        callbacks=[*callbacks, *own],
        plugins=[AtomicCheckpointIO(), *environment],
        profiler=_NoProfiler(),
        logger=False,
        default_root_dir=checkpoints.parent,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=10**9,
    )


def _own_callbacks(
    options: TrainerOptions, checkpoints: Path, monitor: str, interruption: Interruption | None
) -> list[pl.Callback]:
    """What the options ask for; the checkpoints last, so that they hold what all others did in a step."""
    mode = options.mode(monitor)
    own: list[pl.Callback] = []
    if options.ema_decay is not None:
        own.append(_ExponentialMovingAverage(options.ema_decay))
    if options.early_stopping_patience is not None:
        own.append(
            EarlyStopping(
                monitor,
                mode=mode,
                patience=options.early_stopping_patience,
                check_on_train_epoch_end=monitor.startswith("train/"),
            )
        )
    if interruption is not None:
        own.append(interruption)
    own.append(
        RunCheckpoints(
            checkpoints,
            monitor=monitor,
            mode=mode,
            minutes=options.checkpoint_minutes,
            steps=options.checkpoint_steps,
            interruption=interruption,
        )
    )
    return own
