"""Which process of a run this is, from the variables that torchrun, srun and others set."""

import pytest

from receptive.errors import InputError
from receptive.ranks.place import Place, place_of, refuse_started_by_others

ONE, TWO = {"devices": 1, "num_nodes": 1}, {"devices": 2, "num_nodes": 1}
TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1",
    "MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "29500",
}  # fmt: skip
BATCH = {
    "SLURM_JOB_ID": "81234", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
    "SLURM_NODELIST": "node[07-08]",
}  # fmt: skip
SRUN = BATCH | {
    "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "node[07-08]",
}  # fmt: skip


@pytest.mark.parametrize("variables", [{}, BATCH, BATCH | {"SLURM_ARRAY_TASK_ID": "3", "SLURM_STEP_NUM_TASKS": "1"}])
def test_a_process_that_nobody_started_is_rank_0(variables: dict[str, str]) -> None:
    """A batch script and an element of an array have variables of Slurm's too."""
    assert place_of(ONE, variables) == Place()
    assert place_of({}, variables) == Place()  # a folder of an older version
    assert place_of(TWO, variables) == Place(ranks=2, sharing=2)


def test_torchruns_variables() -> None:
    found = place_of({"devices": 2, "num_nodes": 2}, TORCHRUN | SRUN)
    assert found == Place(3, 4, 1, 1, 2, "torchrun", "10.0.0.7", 29500)
    assert place_of({"devices": "auto", "num_nodes": 2, "accelerator": "cpu"}, TORCHRUN).ranks == 4


def test_those_that_rank_0_sets() -> None:
    own = TORCHRUN | {"WORLD_SIZE": "2", "RANK": "1", "GROUP_RANK": "0", "RECEPTIVE_LEADER": "77"}
    assert place_of(TWO, own) == Place(1, 2, 1, 0, 2, "us", "10.0.0.7", 29500)


def test_sruns_variables() -> None:
    found = place_of({"devices": 2, "num_nodes": 2}, SRUN)
    assert found == Place(3, 4, 1, 1, 1, "srun", "node07", 15000 + 81234 % 15000)
    again = place_of({"devices": 2, "num_nodes": 2}, SRUN | {"SLURM_STEP_ID": "1"})
    assert again.port != found.port  # two steps of a job at a time
    alone = SRUN | {"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
    assert place_of(TWO, alone).address == "127.0.0.1"
    chosen = place_of({"devices": 2, "num_nodes": 2}, SRUN | {"MASTER_ADDR": "ib7", "MASTER_PORT": "4000"})
    assert (chosen.address, chosen.port) == ("ib7", 4000)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a", "a"), ("a,b", "a"), ("node[07-09,12],x", "node07"), ("n[3,5]-ib", "n3-ib"), ("gpu-1-[2]", "gpu-1-2")],
)
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    assert place_of({"devices": 2, "num_nodes": 2}, SRUN | {"SLURM_STEP_NODELIST": nodes}).address == first


@pytest.mark.parametrize(
    ("trainer", "variables", "told"),
    [
        (ONE, TORCHRUN, "1 process, but torchrun has started 4: give torchrun --nnodes=1 --nproc-per-node=1"),
        (TWO, TORCHRUN, "2 processes, but torchrun has started 4"),
        (TWO, TORCHRUN | {"WORLD_SIZE": "1"}, "torchrun has started 1"),
        (ONE, SRUN, "srun has started 4: give srun --nodes=1 --ntasks-per-node=1"),
        ({"devices": 4, "num_nodes": 2}, SRUN, "trainer.devices=4 and trainer.num_nodes=2 make 8 processes"),
        ({"devices": 1, "num_nodes": 2}, {}, "started by srun or torchrun"),
    ],
)
def test_what_does_not_fit_is_told_with_the_remedy(
    trainer: dict[str, int], variables: dict[str, str], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        place_of(trainer, variables)


def test_receptive_train_is_not_started_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_started_by_others()
    for key, value in TORCHRUN.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(InputError, match=r"receptive\.job FOLDER"):
        refuse_started_by_others()
