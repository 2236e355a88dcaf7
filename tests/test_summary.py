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


def test_it_needs_no_file_of_the_data(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("summary", "data=cifar10", "model=net_b", f"paths.data_dir={tmp_path}", "depth=1")
    assert (code, err) == (0, "")
    assert re.search(r"Total params: 295,770$", out, re.MULTILINE)
    assert not any(tmp_path.iterdir())


def test_depth_limits_the_levels(table: Callable[..., str]) -> None:
    assert "Conv2d" not in table("model=net_a", "depth=1")


def test_a_model_that_does_not_fit_is_one_message(cli: Cli) -> None:
    code, out, err = cli("summary", "data=digits", "model=sign_net")
    assert (code, out) == (1, "")
    assert "images with a side of 8 pixels are too small" in err
    assert "Traceback" not in err
