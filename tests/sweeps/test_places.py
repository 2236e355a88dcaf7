"""Packed workers: what each is given of cores, threads, GPUs and their memory. The GPUs are made up."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from tests.conftest import Cli

from hydra_plugins.receptive_plugins import PackedLauncher
from receptive.sweeps.launchers import run_packed
from receptive.sweeps.places import WorkerPlace, dealt_out, places, visible_gpus

SWEEP = ("train", "-m", "trainer=debug", "hydra.sweep.dir=sweep", "seed=range(8)", "hydra/launcher=packed")


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {9, 1, 2, 3, 4, 5, 6, 7})


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("receptive.sweeps.places.visible_gpus", lambda: ["0", "1"])


def placed(found: list[WorkerPlace]) -> list[tuple[tuple[int, ...], int, str | None, int]]:
    return [(place.cores, place.threads, place.gpu, place.sharing) for place in found]


@pytest.mark.parametrize(
    ("listed", "count", "names"),
    [
        (None, 0, []),
        (None, 3, ["0", "1", "2"]),
        ("", 0, []),
        ("3,1", 2, ["3", "1"]),
        (" 3, 1,-1,0", 2, ["3", "1"]),  # as many as torch makes of it
        ("5,6", 0, []),
        ("GPU-8932f937,GPU-d72c12f2", 2, ["GPU-8932f937", "GPU-d72c12f2"]),
        ("MIG-1a2b,MIG-3c4d,MIG-1a2b", 1, ["MIG-1a2b", "MIG-3c4d"]),  # a process sees one of them
        ("MIG-1a2b", 0, []),  # torch without CUDA
    ],
)
def test_gpus_keep_the_names_that_they_were_given(
    monkeypatch: pytest.MonkeyPatch, listed: str | None, count: int, names: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible_gpus() == names


@pytest.mark.slow
def test_a_system_that_pins_no_processes_packs_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS."""
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert [place.cores for place in places(None, 1, ())] == [(0,), (1,)]
    code, out, err = cli(*SWEEP, "seed=0", "trainer.accelerator=cpu")
    assert (code, "1/1 done" in out) == (0, True), err


def test_counting_makes_no_context() -> None:
    visible_gpus()
    assert not torch.cuda.is_initialized()


@pytest.mark.usefixtures("eight_cores")
class TestPlaces:
    def test_without_gpus_one_core_and_one_thread(self) -> None:
        everyone = [((core,), 1, None, 1) for core in (1, 2, 3, 4, 5, 6, 7, 9)]
        assert placed(places(None, 1, [])) == everyone
        assert placed(places(None, 3, [])) == everyone  # of GPUs alone
        assert placed(places(10, 1, [])) == everyone + everyone[:2]

    def test_one_worker_a_gpu(self) -> None:
        assert placed(places(None, 1, ["3", "GPU-a"])) == [((1, 2, 3, 4), 4, "3", 1), ((5, 6, 7, 9), 4, "GPU-a", 1)]

    def test_several_workers_a_gpu(self) -> None:
        assert placed(places(None, 2, ["0", "1"])) == [
            ((1, 2), 2, "0", 2),
            ((3, 4), 2, "1", 2),
            ((5, 6), 2, "0", 2),
            ((7, 9), 2, "1", 2),
        ]

    def test_a_number_of_workers_is_dealt_out(self) -> None:
        """Three share eight cores: none is idle, and all compute with as many threads."""
        assert placed(places(3, 4, ["0", "1"])) == [
            ((1, 2), 2, "0", 2),
            ((3, 4, 5), 2, "1", 1),
            ((6, 7, 9), 2, "0", 2),
        ]
        assert [place.gpu for place in places(2, 1, ["0", "1", "2"])] == ["0", "1"]

    def test_more_workers_than_cores(self) -> None:
        found = places(None, 12, ["0"])
        assert [place.cores for place in found] == [(core,) for core in (1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3, 4)]
        assert {(place.threads, place.sharing) for place in found} == {(1, 12)}

    def test_every_core_is_of_one_worker(self) -> None:
        for count in range(1, 9):
            cores = [core for place in places(count, 1, ["0", "1", "2"]) for core in place.cores]
            assert cores == [1, 2, 3, 4, 5, 6, 7, 9]

    def test_what_is_told(self) -> None:
        assert dealt_out(places(None, 1, [])) == ""
        assert dealt_out(places(None, 1, ["0"])) == "1 worker on 1 GPU, 8 threads each"
        assert dealt_out(places(None, 4, ["0", "1"])) == "8 workers on 2 GPUs, 1 thread and 1/4 of a GPU's memory each"


class TestMemory:
    """The cap is read by torch; it would refuse a key that it does not know."""

    @pytest.fixture(autouse=True)
    def nothing_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
            monkeypatch.delenv(name, raising=False)

    def test_one_that_has_the_gpu_alone_is_not_capped(self) -> None:
        assert not any("ALLOC_CONF" in name for name in WorkerPlace((0,), 1, "0", 1).environment())

    def test_an_equal_part(self) -> None:
        assert WorkerPlace((0,), 1, "0", 3).environment()["PYTORCH_ALLOC_CONF"] == "per_process_memory_fraction:0.3333"

    @pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
    def test_beside_the_users_own_settings(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "expandable_segments:True")
        made = WorkerPlace((0,), 1, "0", 2).environment()
        assert {key: value for key, value in made.items() if "ALLOC_CONF" in key} == {
            name: "expandable_segments:True,per_process_memory_fraction:0.5000"
        }

    def test_the_users_own_cap_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTORCH_ALLOC_CONF", "per_process_memory_fraction:0.2")
        assert WorkerPlace((0,), 1, "0", 2).environment()["PYTORCH_ALLOC_CONF"] == "per_process_memory_fraction:0.2"

    def test_torch_knows_the_key(self) -> None:
        known, unknown = "per_process_memory_fraction:1.0", "per_process_memory_part:1.0"
        torch._C._accelerator_setAllocatorSettings(known)
        with pytest.raises(ValueError, match="per_process_memory_part"):
            torch._C._accelerator_setAllocatorSettings(unknown)


WORKER = f"""#!{sys.executable} -S
import json, os, sys
for line in sys.stdin:
    names = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_ALLOC_CONF"
    seen = {{name: os.environ.get(name) for name in names}}
    seen |= {{"pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0))}}
    with open(os.path.join(line.strip(), "seen.json"), "w") as file:
        json.dump(seen, file)
    os._exit(3)
"""


def test_workers_get_what_their_place_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Processes that tell what they see and die; what takes a dead one's place sees the same."""
    worker = tmp_path / "worker"
    worker.write_text(WORKER)
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    found = places(None, 2, ["3", "GPU-a"])
    folders = [tmp_path / str(number) for number in range(9)]
    for folder in folders:
        folder.mkdir()
    run_packed(iter(folders), len(folders), found)
    seen = [json.loads((folder / "seen.json").read_text()) for folder in folders]
    where = [(one["CUDA_VISIBLE_DEVICES"], tuple(one["cores"])) for one in seen]
    assert where[:4] == [(place.gpu, place.cores) for place in found] and set(where[4:]) <= set(where[:4])
    assert len({one["pid"] for one in seen}) == 9
    assert {(one["OMP_NUM_THREADS"], one["MKL_NUM_THREADS"]) for one in seen} == {(str(found[0].threads),) * 2}
    assert {one["PYTORCH_ALLOC_CONF"] for one in seen} == {"per_process_memory_fraction:0.5000"}
    out = capsys.readouterr().out
    assert out.startswith("4 workers on 2 GPUs, ") and "1/2 of a GPU's memory each\n" in out


@pytest.mark.usefixtures("eight_cores", "two_gpus")
@pytest.mark.parametrize(
    ("arguments", "at_once"),
    [
        (["hydra.launcher.jobs_per_device=3"], 6),
        (["trainer.accelerator=cpu", "hydra.launcher.jobs_per_device=3"], 8),
    ],
)
def test_a_dry_run_counts_gpus_too(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], at_once: int
) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr("receptive.sweeps.sweep.tell_of_sweep", lambda *given: asked.append(given[4]))
    code, _, err = cli(*SWEEP, "dry_run=true", *arguments)
    assert (code, err, asked) == (0, "", [at_once])


@pytest.mark.usefixtures("eight_cores", "two_gpus")
@pytest.mark.parametrize(
    ("accelerator", "options", "at_once"),
    [
        ("auto", {}, 2),
        ("cuda", {"jobs_per_device": 3}, 6),
        ("auto", {"jobs_per_device": 3, "workers": 5}, 5),
        ("cpu", {"jobs_per_device": 3}, 8),
        ("mps", {}, 8),
    ],
)
def test_gpus_count_where_the_sweep_computes_on_them(accelerator: str, options: dict[str, int], at_once: int) -> None:
    launcher = PackedLauncher(**options)
    config = OmegaConf.create({"trainer": {"accelerator": accelerator, "devices": 1}})
    launcher.setup(hydra_context=None, task_function=lambda _: None, config=config)  # type: ignore[arg-type]
    assert launcher.processes == at_once


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("trainer.devices=2", "trainer.devices=2: hydra/launcher=packed gives each job one GPU"),
        ("hydra.launcher.jobs_per_device=0", "hydra.launcher.jobs_per_device=0: must be greater than or equal to 1"),
        ("hydra.launcher.jobs_per_device=null", "hydra.launcher.jobs_per_device=null: must be a valid integer"),
        ("hydra.launcher.workers=true", "hydra.launcher.workers=true: must be a whole number"),
        ("hydra.launcher.workers=0", "hydra.launcher.workers=0: must be greater than or equal to 1"),
        ("hydra.launcher.jobs_per_device=1.5", "hydra.launcher.jobs_per_device=1.5: must be a valid integer"),
    ],
)
def test_what_no_worker_can_be_given_is_refused(cli: Cli, tmp_path: Path, argument: str, told: str) -> None:
    code, out, err = cli(*SWEEP, argument)
    assert (code, out) == (1, "")
    assert err.startswith(f"receptive: {told}")
    assert not (tmp_path / "sweep").exists()
