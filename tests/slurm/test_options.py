"""What is asked of sbatch."""

import pytest

from receptive.errors import InputError
from receptive.signatures import options_of
from receptive.slurm.options import SlurmOptions


def test_what_is_not_given_is_the_clusters_affair() -> None:
    given = SlurmOptions().directives()
    assert given == [
        "--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--signal=B:USR1@120", "--requeue",
        "--open-mode=append",
    ]  # fmt: skip


def test_options_are_sbatchs_own() -> None:
    options = SlurmOptions(
        partition="gpu", account="lab", qos="long", constraint="a100", time="1-12:00:00", mem="16G", cpus_per_task=8,
        gpus_per_node="a100:2", nodes=2, ntasks_per_node=2, requeue=False, sbatch=["--exclusive"], signal_seconds=60,
    )  # fmt: skip
    given = options.directives()
    for text in ("partition=gpu", "account=lab", "qos=long", "constraint=a100", "time=1-12:00:00", "mem=16G",
                 "cpus-per-task=8", "gpus-per-node=a100:2", "nodes=2", "ntasks-per-node=2", "signal=B:USR1@60",
                 "no-requeue", "exclusive"):  # fmt: skip
        assert f"--{text}" in given
    assert "--requeue" not in given
    assert options.tasks == 4


@pytest.mark.parametrize("time", [5, "90", "1:30", "01:00:00", "2-0", "2-12:30", "1-00:00:00"])
def test_times_as_sbatch_takes_them(time: int | str) -> None:
    assert f"--time={time}" in SlurmOptions(time=time).directives()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"time": "2 hours"}, "hydra.launcher.time=2 hours: give minutes"),
        ({"mem": "8 GB"}, "hydra.launcher.mem=8 GB: give megabytes"),
        ({"sbatch": ["exclusive"]}, "hydra.launcher.sbatch"),
        ({"cpus_per_task": 0}, "hydra.launcher.cpus_per_task"),
        ({"array_parallelism": -1}, "hydra.launcher.array_parallelism"),
        ({"setup": "module load python"}, "hydra.launcher.setup"),
        ({"partitoin": "gpu"}, "did you mean 'partition'"),
    ],
)
def test_bad_options(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as raised:
        options_of(SlurmOptions, values, "hydra.launcher")
    assert said in str(raised.value)
