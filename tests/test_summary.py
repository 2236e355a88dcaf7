"""The layer table against the figures that the report gives (R0.1, R2.12)."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def table(cli: Cli, cifar10_root: Path) -> Callable[..., str]:
    def summary(*overrides: str) -> str:
        code, out, err = cli("summary", "data=cifar10", f"paths.data_dir={cifar10_root}", *overrides)
        assert code == 0, err
        return out

    return summary


@pytest.mark.parametrize("option", ["trainer.precision=16-mixed", "trainer.accelerator=mps"])
def test_a_config_for_a_gpu_can_be_looked_at_without_one(table: Callable[..., str], option: str) -> None:
    assert "Conv2d" in table("model=net_a", option)


def test_net_a_has_22_layers_and_294810_parameters(table: Callable[..., str]) -> None:
    text = table("model=net_a")
    layers = re.findall(r"^│ +[├└]─(\w+): \S+ +(\[[\d, ]+\])", text, re.MULTILINE)
    assert len(layers) == 22
    kinds = [kind for kind, _ in layers]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Conv2d": 8,
        "ReLU": 8,
        "MaxPool2d": 3,
        "AdaptiveAvgPool2d": 1,
        "Flatten": 1,
        "Linear": 1,
    }
    assert layers[0] == ("Conv2d", "[1, 16, 32, 32]")
    assert layers[-4:] == [
        ("ReLU", "[1, 128, 4, 4]"),
        ("AdaptiveAvgPool2d", "[1, 128, 1, 1]"),
        ("Flatten", "[1, 128]"),
        ("Linear", "[1, 10]"),
    ]
    assert re.search(r"Total params: 294,810$", text, re.MULTILINE)
    parameters = [int(number.replace(",", "")) for number in re.findall(r"\] +(?:\[[\d, ]+\]|--) +([\d,]+) ", text)]
    assert sum(parameters[-22:]) == 294_810


def rows_of(text: str) -> list[tuple[str, list[int], int]]:
    """Each innermost layer: kind, output shape without the batch, parameters."""
    found = re.findall(
        r"^│ +[├└]─(\w+): \S+ +\[1, ([\d, ]+)\] +(?:\[[\d, ]+\]|\d+|--) +([\d,]+|--) ", text, re.MULTILINE
    )
    return [
        (kind, [int(side) for side in shape.split(", ")], int(count.replace(",", "").replace("--", "0")))
        for kind, shape, count in found
    ]


def report_2_12(norm: bool) -> list[tuple[str, list[int], int]]:
    """R2.12's table of A, and of B with the parameters of BatchNorm2d, which the report leaves out."""
    rows: list[tuple[str, list[int], int]] = []
    before, size = 3, 32
    for channels in (16, 32, 64, 128):
        if before > 3:
            size //= 2
            rows.append(("MaxPool2d", [before, size, size], 0))
        for _ in range(2):
            shape = [channels, size, size]
            rows += [("Conv2d", shape, channels * (9 * before + 1)), ("ReLU", shape, 0)]
            rows += [("BatchNorm2d", shape, 2 * channels)] * norm
            before = channels
    return [*rows, ("AdaptiveAvgPool2d", [128, 1, 1], 0), ("Flatten", [128], 0), ("Linear", [10], 1290)]


@pytest.mark.parametrize(
    ("model", "memory"),
    [
        ("net_a", "forward/backward 0.99, parameters 1.12, input 0.01, total 2.13"),
        # The report has parameters 1.12: without BatchNorm2d's 960; the total is the same.
        ("net_b", "forward/backward 1.46, parameters 1.13, input 0.01, total 2.60"),
    ],
)
def test_the_table_is_r2_12s(table: Callable[..., str], model: str, memory: str) -> None:
    text = table(f"model={model}")
    rows = rows_of(text)
    assert rows == report_2_12(norm=model == "net_b")
    assert sum(count for _, _, count in rows) == (294_810 if model == "net_a" else 295_770)
    assert (
        text.rstrip().splitlines()[-1]
        == f"Memory as R2.12 counts it (MiB, one image, float32, every output twice): {memory}"
    )


def test_the_sign_net_has_r4_6s_shapes(cli: Cli) -> None:
    code, out, err = cli("summary", "data=gtsrb", "model=sign_net")
    assert (code, err) == (0, "")
    shapes = [shape for kind, shape, _ in rows_of(out) if kind in ("Conv2d", "MaxPool2d", "Flatten", "Linear")]
    assert shapes == [[64, 24, 24], [32, 20, 20], [32, 10, 10], [32, 8, 8], [32, 4, 4], [512], [43]]
    assert re.search(r"Total params: 87,403$", out, re.MULTILINE)


def test_it_needs_no_file_of_the_data(cli: Cli, tmp_path: Path) -> None:
    net = ("data=cifar10", "model=net_b", "trainer=overfit", f"paths.data_dir={tmp_path}")
    code, out, err = cli("summary", *net, "depth=1")
    assert (code, err) == (0, "")
    assert re.search(r"Total params: 295,770$", out, re.MULTILINE)
    assert not any(tmp_path.iterdir())


def test_a_study_shows_the_model_of_its_base_config(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("summary", "study=search_b", "depth=1")
    assert (code, err) == (0, "")
    assert re.search(r"Total params: 295,770$", out, re.MULTILINE)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("study", [(), ("study=search_b",)], ids=str)
def test_it_is_no_sweep(cli: Cli, tmp_path: Path, study: tuple[str, ...]) -> None:
    assert cli("summary", "-m", *study) == (1, "", "receptive: summary shows one model: leave out -m\n")
    assert not any(tmp_path.iterdir())


def test_depth_limits_the_levels(table: Callable[..., str]) -> None:
    assert "Conv2d" not in table("model=net_a", "depth=1")


def test_a_model_that_does_not_fit_is_one_message(cli: Cli) -> None:
    code, out, err = cli("summary", "data=digits", "model=sign_net")
    assert (code, out) == (1, "")
    assert "images with a side of 8 pixels are too small" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("depth", ["many", "0", "1.5", "true"])
def test_a_depth_that_is_none(cli: Cli, depth: str) -> None:
    code, out, err = cli("summary", f"depth={depth}")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"receptive: depth={depth}: must be ")
