"""What is measured and what is asked: a row is a set of contestants and goals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from scripts.contestants import grid, looking, processes, saving, training

from receptive.build import build

OURS = "receptive"
LIGHTNING = "Lightning, defaults"
RAW = "raw loop"
EMA = "receptive with EMA"
MINIMAL = "minimal Lightning script"
EVALUATION = "network alone"
WITHOUT = "receptive without W&B"
AUGMENT = ("augment=[horizontal_flip,rotation]", "augment.rotation.degrees=15")


@dataclass(frozen=True)
class Goal:
    """What is asked of receptive.

    Args:
        kind: "speed": the other's time over ours, at least `bound`; "cost": ours over the other's, at most
            `bound`; "seconds": ours alone, at most `bound`.
        bound: None: nothing is asked, the figure is for information.
        against: the other.
        needs_amx: asked only of a CPU with AMX, or of a GPU.
    """

    kind: Literal["speed", "cost", "seconds"]
    bound: float | None
    against: str = OURS
    needs_amx: bool = False

    def figures(self, times: dict[str, list[float]]) -> list[float]:
        """Return the figure of each round."""
        pairs = zip(times[OURS], times[self.against], strict=True)
        return [{"speed": other / ours, "cost": ours / other, "seconds": ours}[self.kind] for ours, other in pairs]

    def verdict(self, figure: float) -> str:
        """Return held or missed, or why it is neither."""
        if self.bound is None:
            return "for information"
        if self.needs_amx and not (has_amx() or torch.cuda.is_available()):
            return "not asked: no AMX"
        return "held" if (figure >= self.bound if self.kind == "speed" else figure <= self.bound) else "missed"

    def __str__(self) -> str:
        unit = " s" if self.kind == "seconds" else "x"
        return "" if self.bound is None else f"{'>=' if self.kind == 'speed' else '<='} {self.bound:g}{unit}"


def has_amx() -> bool:
    """Return whether the CPU has AMX tiles."""
    return bool(torch.cpu._is_amx_tile_supported())


@dataclass(frozen=True)
class Row:
    """Contestants by name, each a turn that gives seconds; `batch`: images of the step that is timed."""

    contestants: dict[str, Callable[[], float]]
    goals: tuple[Goal, ...]
    batch: int | None = None


def steps_row(*goals: Goal, steps: int, overrides: tuple[str, ...], quick: bool) -> Row:
    """Return the row of an experiment's training steps."""
    steps = 6 if quick else 5 * steps if torch.cuda.is_available() else steps
    short = (f"trainer.limit_train_batches={steps}", "trainer.max_epochs=2", "test=false")
    config = training.composed(*overrides, *short, "data.validation=0", "trainer.monitor=train/loss")
    experiment = build(config)
    experiment.trainer.apply_to_process()  # threads, for all contestants
    turn = training.Turn(steps, warmup=min(10, steps // 2), full_epoch=len(experiment.data.train_dataloader()))
    averaged = config.copy()
    averaged.trainer.ema_decay = 0.999
    known: dict[str, Callable[[], float]] = {
        OURS: partial(training.ours, config, turn),
        LIGHTNING: partial(training.lightning_defaults, config, turn),
        RAW: partial(training.raw_loop, config, turn),
        EMA: partial(training.ours, averaged, turn),
    }
    return Row(
        {name: known[name] for name in (OURS, *(goal.against for goal in goals))},
        goals,
        config.data.batch_size,
    )


def cifar10_row(model: str, quick: bool) -> Row:
    """Return the row of a CIFAR-10 net, augmented."""
    goals = Goal("speed", 3.5, LIGHTNING, needs_amx=True), Goal("speed", 0.95, RAW), Goal("speed", None, EMA)
    return steps_row(*goals, steps=50, overrides=("data=cifar10", f"model={model}", *AUGMENT), quick=quick)


def mnist_row(quick: bool) -> Row:
    """Return the row of the MNIST net, whose steps are the smallest."""
    goals = Goal("speed", 0.9, RAW), Goal("speed", None, EMA)
    return steps_row(*goals, steps=500, overrides=("experiment=mnist_baseline",), quick=quick)


UNET = ("experiment=jsrt_unet", "data=phantoms")
VARIANTS = ("model.upsampling=nearest", "model.upsampling=transposed", "model.activation=elu", "model.activation=gelu")


def unet_row(quick: bool) -> Row:
    """Return the row of the U-Net on phantoms, 256x256, batch 4."""
    goals = Goal("speed", 2.8, LIGHTNING, needs_amx=True), Goal("speed", 0.97, RAW)
    return steps_row(*goals, steps=8, overrides=UNET, quick=quick)


def unet_variants_row(quick: bool) -> Row:
    """Return the row of the U-Net's upsampling modes and activations beside bilinear and ReLU."""
    steps = 6 if quick else 40 if torch.cuda.is_available() else 8
    short = (f"trainer.limit_train_batches={steps}", "trainer.max_epochs=2", "test=false")
    turn = training.Turn(steps, warmup=min(4, steps // 2), full_epoch=31)
    configs = {
        name: training.composed(*UNET, *short, "data.validation=0", "trainer.monitor=train/loss", *change)
        for name, change in {OURS: (), **{variant: (variant,) for variant in VARIANTS}}.items()
    }
    contestants: dict[str, Callable[[], float]] = {
        name: partial(training.ours, config, turn) for name, config in configs.items()
    }
    return Row(contestants, tuple(Goal("speed", None, variant) for variant in VARIANTS), configs[OURS].data.batch_size)


def activations_row(model: str, quick: bool) -> Row:
    """Return the row of the statistics of every layer, beside the network alone."""
    images = 1_000 if quick else 10_000
    ours, alone = looking.statistics_and_evaluation(model, images)
    return Row({OURS: ours, EVALUATION: alone}, (Goal("speed", 0.5, EVALUATION),), images)


def checkpoint_row(quick: bool) -> Row:
    """Return the row of a checkpoint within an epoch: 1 % of the 12 s that lie between two at least."""
    turn = partial(saving.seconds_of_a_checkpoint, "net_b", 12 if quick else 60)
    return Row({OURS: turn}, (Goal("seconds", 0.12),))


def start_row(quick: bool) -> Row:
    """Return the row from the launch to the first training step."""
    minimal = partial(processes.first_step_of_minimal_script, training.composed().paths.data_dir)
    return Row({OURS: processes.first_step_of_receptive, MINIMAL: minimal}, (Goal("cost", 1.15, MINIMAL),))


def command_row(*arguments: str, quick: bool) -> Row:
    """Return the row of a command that imports no torch."""
    return Row({OURS: partial(processes.receptive, *arguments)}, (Goal("seconds", 0.5),))


def sweep_row(quick: bool) -> Row:
    """Return the row of a further job of a sweep in one process."""
    turn = partial(processes.overhead_of_sweep_job, *((1, 3) if quick else (2, 12)))
    return Row({OURS: turn}, (Goal("seconds", 0.2),))


def wandb_row(quick: bool) -> Row:
    """Return the row of training epochs with W&B beside those without, a training on each core."""
    steps = 6 if quick else 60
    contestants: dict[str, Callable[[], float]] = {
        OURS: partial(processes.epochs_on_all_cores, "wandb", steps),
        WITHOUT: partial(processes.epochs_on_all_cores, "[]", steps),
    }
    return Row(contestants, (Goal("cost", 1.02, WITHOUT),))


def wandb_run_row(quick: bool) -> Row:
    """Return the row of what W&B adds to a further run."""
    turn = partial(processes.cost_of_mirrored_job, *((1, 3) if quick else (2, 22)))
    return Row({OURS: turn}, (Goal("seconds", 0.3),))


def grid_row(quick: bool) -> Row:
    """Return the row of a grid of 10,000 points, composed and checked before a sweep's first job."""
    return Row({OURS: partial(grid.composed_and_checked, 100 if quick else 10_000)}, (Goal("seconds", 30.0),))


def dry_run_row(quick: bool) -> Row:
    """Return the row of the command that composes and checks a grid of 10,000 points and foretells its cost."""
    return Row({OURS: partial(processes.dry_run, 500 if quick else 10_000)}, (Goal("seconds", 30.0),))


ROWS: dict[str, Callable[..., Row]] = {
    "cifar10_a": partial(cifar10_row, "net_a"),
    "cifar10_b": partial(cifar10_row, "net_b"),
    "mnist": mnist_row,
    "unet": unet_row,
    "unet_variants": unet_variants_row,
    "activations_a": partial(activations_row, "net_a"),
    "activations_b": partial(activations_row, "net_b"),
    "checkpoint": checkpoint_row,
    "start": start_row,
    "cfg": partial(command_row, "train", "--cfg", "job"),
    "help": partial(command_row, "--help"),
    "sweep_job": sweep_row,
    "wandb": wandb_row,
    "wandb_run": wandb_run_row,
    "grid": grid_row,
    "dry_run": dry_run_row,
}
