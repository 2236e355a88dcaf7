"""Config values against signatures: options of a data class, which value an error of another library is about."""

from dataclasses import dataclass
from typing import Any

import pytest

from receptive.journal import PrunerOptions
from receptive.signatures import guilty, option_faults


@dataclass(frozen=True, kw_only=True)
class More(PrunerOptions):
    """Inherits fields whose annotations this module could not evaluate."""

    flag: bool


def test_options_that_are_inherited_from_another_module_are_known() -> None:
    good = {"pruner": "none", "startup_trials": 0, "warmup_epochs": 3, "flag": True}
    assert option_faults(More, good) == []
    bad = good | {"pruner": "nome", "warmup_epochs": -1, "flag": 3, "flat": 1}
    assert [fault.partition(":")[0] for fault in option_faults(More, bad)] == [
        *("flat", "pruner=nome", "warmup_epochs=-1", "flag=3"),
    ]


@pytest.mark.parametrize(
    ("values", "text", "blamed"),
    [
        ({"lr": -0.01, "weight_decay": 0.0, "eps": 0.01}, "Invalid learning rate: -0.01", "group.lr=-0.01"),
        ({"lr": 0.5, "epochs": 5, "eps": 0.05}, "0.5 is too much, 0.05e3 is not. ", "group.lr=0.5"),
        ({"momentum": 1.5, "size": 5}, "give less than 1.5.", "group.momentum=1.5"),
        ({"name": "elu", "other": "relu"}, "there is no 'relu'", "group.other=relu"),
        ({"_target_": "a.B", "sizes": [3, 4], "low": 3}, "[3, 4] does not fit", "group.sizes=[3, 4], group.low=3"),
        ({"padding": 8, "fill": 0.0}, "got: padding (8, 8) of input [1, 1, 8, 18]", "group.padding=8"),
        ({"lr": 0.1}, "Invalid beta parameter", "group"),
    ],
)
def test_a_key_is_blamed_where_its_whole_value_is_quoted(values: dict[str, Any], text: str, blamed: str) -> None:
    assert guilty("group", values, ValueError(text)) == f"{blamed}: {text}"
