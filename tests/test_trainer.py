"""What `auto` stands for, and what each option does to a real fit."""

import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from receptive.data.digits import Digits
from receptive.data.module import ImageData
from receptive.models.mnist_net import MnistNet
from receptive.optimizers import schedules
from receptive.optimizers.muon import Muon
from receptive.tasks.classification import ClassificationTask
from receptive.trainer import TrainerOptions, build_trainer, has_fast_bf16_cpu

Train = Callable[..., pl.Trainer]
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """Put back what a trainer sets for the whole process."""
    threads = torch.get_num_threads()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
    memory.fill_uninitialized_memory = fill
    if workspace is None:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Train a small net on digits, three batches an epoch; checkpoints go below `tmp_path / folder`."""

    def run(
        *callbacks: pl.Callback,
        optimizer: Any = None,
        monitor: str = "val/accuracy",
        folder: str = "run",
        **options: Any,
    ) -> pl.Trainer:
        torch.manual_seed(0)
        task = ClassificationTask(
            MnistNet(in_channels=1, num_classes=10, image_size=(8, 8), channels=(4, 6, 6), norm="batch"),
            optimizer=optimizer or partial(torch.optim.SGD, lr=0.1),
            schedule=schedules.constant,
            class_names=tuple("0123456789"),
        )
        data = ImageData(Digits(), batch_size=64, eval_batch_size=237, validation=237, split_seed=0)
        defaults: dict[str, Any] = {
            "max_epochs": 1,
            "accelerator": "cpu",
            "precision": "32-true",
            "limit_train_batches": 3,
        }
        (tmp_path / folder).mkdir(exist_ok=True)
        trainer = build_trainer(
            TrainerOptions(**(defaults | options)),
            checkpoints=tmp_path / folder / "checkpoints",
            monitor=monitor,
            callbacks=list(callbacks),
        )
        trainer.fit(task, datamodule=data)
        return trainer

    return run


class Weights(pl.Callback):
    """Copies of the network's state after every step, and as every epoch's validation saw it."""

    def __init__(self) -> None:
        self.steps: list[State] = []
        self.validated: list[State] = []
        self.scores: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.steps.append(state_of(module))

    def on_validation_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.validated.append(state_of(module))

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.scores.append(float(trainer.callback_metrics["val/accuracy"]))


def state_of(module: pl.LightningModule) -> State:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_states_equal(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def checkpoint(tmp_path: Path, name: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(tmp_path / "run" / "checkpoints" / name, weights_only=True)
    return state


# options


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend to be on a machine with or without bf16 on its CPU, CUDA and MPS."""

    def pretend(
        *, amx: bool = False, avx: bool = False, cuda: bool = False, mps: bool = False, cuda_bf16: bool = True
    ) -> None:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: cuda_bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("machine_has", "device", "precision"),
    [
        ({"amx": True}, "cpu", "bf16-mixed"),
        ({"avx": True}, "cpu", "bf16-mixed"),
        ({"amx": False}, "cpu", "32-true"),
        ({"cuda": True}, "cuda", "bf16-mixed"),
        ({"cuda": True, "cuda_bf16": False, "amx": True}, "cuda", "32-true"),
        ({"mps": True, "amx": True}, "mps", "32-true"),
        ({"cuda": True, "mps": True}, "cuda", "bf16-mixed"),
    ],
)
def test_auto_takes_what_the_machine_computes_fast(
    machine: Callable[..., None], machine_has: dict[str, bool], device: str, precision: str
) -> None:
    machine(**machine_has)
    assert has_fast_bf16_cpu() == (machine_has.get("amx", False) or machine_has.get("avx", False))
    options = TrainerOptions(max_epochs=1)
    assert (options.device(), options.actual_precision()) == (device, precision)


def test_what_is_said_is_taken(machine: Callable[..., None]) -> None:
    machine(amx=True, cuda=True)
    options = TrainerOptions(max_epochs=1, accelerator="cpu", precision="32-true", threads=7)
    assert (options.device(), options.actual_precision(), options.actual_threads()) == ("cpu", "32-true", 7)
    assert TrainerOptions(max_epochs=1, precision="16-mixed").actual_precision() == "16-mixed"
    assert TrainerOptions(max_epochs=1, accelerator="cpu").actual_precision() == "bf16-mixed"


def test_a_cpu_computes_in_float32_what_a_gpu_computed_in_float16(machine: Callable[..., None]) -> None:
    machine(amx=True)
    assert TrainerOptions(max_epochs=1, precision="16-mixed").actual_precision() == "32-true"


@pytest.mark.parametrize("there", [(), ("cuda",), ("mps",), ("cuda", "mps")], ids=str)
def test_a_machine_has_its_devices(machine: Callable[..., None], there: tuple[str, ...]) -> None:
    machine(**dict.fromkeys(there, True))
    assert TrainerOptions(max_epochs=1).has_device()
    for kind in ("cpu", "cuda", "mps"):
        assert TrainerOptions(max_epochs=1, accelerator=kind).has_device() == (kind in ("cpu", *there))


@pytest.mark.parametrize(
    ("cores", "variable", "threads"),
    [(8, None, 8), (8, "", 8), (8, "2", 2), (2, "16", 2), (1, None, 1), (4, "0", 1), (8, "2,4", 2)],
)
def test_auto_threads_are_the_processs_cores_or_fewer(
    monkeypatch: pytest.MonkeyPatch, cores: int, variable: str | None, threads: int
) -> None:
    """OMP_NUM_THREADS may be a list, one number a nesting level."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(10, 10 + cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert TrainerOptions(max_epochs=1).actual_threads() == threads
    assert TrainerOptions(max_epochs=1).actual_threads(sharing=2) == max(1, min(cores // 2, threads))


def test_auto_threads_where_a_process_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert TrainerOptions(max_epochs=1).actual_threads() == 6


def test_threads_hold_for_the_process() -> None:
    TrainerOptions(max_epochs=1, threads=2).apply_to_process()
    assert torch.get_num_threads() == 2
    memory: Any = torch.utils.deterministic
    assert memory.fill_uninitialized_memory is False


def test_smaller_is_better_for_losses_and_deviations_unless_said() -> None:
    options = TrainerOptions(max_epochs=1)
    modes = [options.mode(monitor) for monitor in ("val/loss", "val/f1_std", "val/accuracy", "val/f1_mean")]
    assert modes == ["min", "min", "max", "max"]
    assert TrainerOptions(max_epochs=1, monitor_mode="min").mode("val/accuracy") == "min"
    assert TrainerOptions(max_epochs=1, monitor_mode="max").mode("val/loss") == "max"


def test_a_validation_that_would_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.val_every_n_epochs=3 is more than trainer\.max_epochs=2"):
        TrainerOptions(max_epochs=2, val_every_n_epochs=3)
    TrainerOptions(max_epochs=3, val_every_n_epochs=3)


# fits


def test_a_fit_writes_its_checkpoints_and_nothing_else(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    train(max_epochs=2)
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == [f"run/checkpoints/{name}.ckpt" for name in ("best", "last", "last.previous")]
    assert capsys.readouterr().out == ""


def test_options_reach_the_trainer(tmp_path: Path) -> None:
    trainer = build_trainer(
        TrainerOptions(
            max_epochs=7,
            accelerator="cpu",
            precision="bf16-mixed",
            val_every_n_epochs=2,
            limit_eval_batches=5,
        ),
        checkpoints=tmp_path / "checkpoints",
        monitor="val/loss",
        callbacks=[],
    )
    assert trainer.max_epochs == 7
    assert trainer.precision == "bf16-mixed"
    assert trainer.check_val_every_n_epoch == 2
    assert (trainer.limit_val_batches, trainer.limit_test_batches) == (5, 5)
    assert trainer.limit_train_batches == 1.0  # all
    assert trainer.loggers == []
    assert trainer.checkpoint_callback is not None
    assert (trainer.checkpoint_callback.monitor, trainer.checkpoint_callback.mode) == ("val/loss", "min")  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_bits(train: Train) -> None:
    states = []
    for folder in ("one", "two"):
        pl.seed_everything(3, verbose=False)
        states.append(state_of(train(folder=folder, max_epochs=2, threads=1).lightning_module))
        torch.rand(17)
    assert_states_equal(*states)
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("deterministic", [True, False])
def test_determinism_is_as_asked_whatever_the_run_before_asked(train: Train, deterministic: bool) -> None:
    torch.use_deterministic_algorithms(not deterministic)
    train(deterministic=deterministic, limit_train_batches=1)
    assert torch.are_deterministic_algorithms_enabled() == deterministic


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_gradients_are_clipped_to_their_norm_together(train: Train, name: str) -> None:
    class Norm(pl.Callback):
        def __init__(self) -> None:
            self.found: list[float] = []

        def on_before_zero_grad(self, trainer: pl.Trainer, module: pl.LightningModule, _: Any) -> None:
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            if gradients:
                self.found.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))

    optimizer: Any = partial(Muon, lr=1e-4) if name == "muon" else partial(torch.optim.SGD, lr=1e-4)
    for clip in (None, 0.05):
        norm = Norm()
        train(norm, optimizer=optimizer, gradient_clip_val=clip, folder=f"{clip}")
        assert len(norm.found) == 2
        if clip is None:
            assert min(norm.found) > 0.2
        else:
            assert norm.found == pytest.approx([clip] * 2, rel=1e-3)


class Scores(pl.Callback):
    """Logs a score from a script at the end of every epoch's validation and of its training."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        module.log("val/score", self.scores[trainer.current_epoch])

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        module.log("train/score", self.scores[trainer.current_epoch])


@pytest.mark.parametrize("monitor", ["val/score", "train/score"])
@pytest.mark.parametrize(
    ("scores", "epochs"),
    [([0.5] * 6, 3), ([0.1, 0.5, 0.4, 0.3, 0.9, 0.9], 4), ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6)],
)
def test_a_run_stops_two_epochs_after_its_best(train: Train, monitor: str, scores: list[float], epochs: int) -> None:
    trainer = train(Scores(scores), max_epochs=6, early_stopping_patience=2, limit_train_batches=1, monitor=monitor)
    assert trainer.current_epoch == epochs


# average of the weights


def average(states: list[State], decay: float) -> dict[str, Tensor]:
    """The exponential moving average in float64, begun with the first state; counters are the last state's."""
    kept = {name: value.double() for name, value in states[0].items()}
    for state in states[1:]:
        for name, value in state.items():
            kept[name] = decay * kept[name] + (1 - decay) * value.double() if value.is_floating_point() else value
    return kept


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_the_average_of_the_weights_is_the_formulas(train: Train, tmp_path: Path, name: str) -> None:
    weights = Weights()
    optimizer: Any = partial(Muon, lr=0.02) if name == "muon" else partial(torch.optim.SGD, lr=0.3)
    trainer = train(weights, optimizer=optimizer, max_epochs=3, ema_decay=0.8)
    assert len(weights.steps) == 9
    for epoch, seen in enumerate(weights.validated, 1):  # validation sees the average, training goes on without
        wanted = average(weights.steps[: 3 * epoch], 0.8)
        for key, value in wanted.items():
            torch.testing.assert_close(seen[key].double(), value.double(), rtol=1e-4, atol=1e-6, msg=key)
            if key.endswith("num_batches_tracked"):
                assert int(seen[key]) == 3 * epoch
    distance = (weights.validated[-1]["model.layers.0.weight"] - weights.steps[-1]["model.layers.0.weight"]).norm()
    assert distance > 1e-3
    assert_states_equal(state_of(trainer.lightning_module), weights.validated[-1])


def test_the_average_changes_no_step_of_training(train: Train) -> None:
    with_average, without = Weights(), Weights()
    train(with_average, max_epochs=2, ema_decay=0.9, folder="with")
    train(without, max_epochs=2, folder="without")
    for one, other in zip(with_average.steps, without.steps, strict=True):
        assert_states_equal(one, other)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_best_holds_the_weights_that_were_validated(train: Train, tmp_path: Path, decay: float | None) -> None:
    weights = Weights()
    trainer = train(weights, optimizer=partial(torch.optim.SGD, lr=1.0), max_epochs=5, ema_decay=decay)
    best, last = checkpoint(tmp_path, "best.ckpt"), checkpoint(tmp_path, "last.ckpt")
    epoch = weights.scores.index(max(weights.scores))
    assert best["epoch"] == epoch
    assert_states_equal(best["state_dict"], weights.validated[epoch])
    assert_states_equal(last["state_dict"], weights.validated[-1])
    trainer.lightning_module.load_state_dict(best["state_dict"])
    [tested] = trainer.test(trainer.lightning_module, trainer.datamodule.val_dataloader(), verbose=False)  # type: ignore[attr-defined]
    assert tested["test/accuracy"] == pytest.approx(weights.scores[epoch])


@pytest.mark.parametrize("decay", [None, 0.9])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_checkpoints_are_plain_data(train: Train, tmp_path: Path, decay: float | None, name: str) -> None:
    optimizer: Any = {"adamw": torch.optim.AdamW, "muon": Muon}[name]
    train(optimizer=optimizer, ema_decay=decay, early_stopping_patience=2)
    for file in ("best.ckpt", "last.ckpt"):
        state = checkpoint(tmp_path, file)
        assert state["global_step"] == 3
        assert not any(math.isnan(float(value.sum())) for value in state["state_dict"].values())
        assert "hyper_parameters" not in state
