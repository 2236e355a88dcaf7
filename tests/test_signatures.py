"""Config values against signatures: options of a data class, which value an error of another library is about."""

import re
from dataclasses import dataclass
from typing import Any

import pytest

from receptive.errors import InputError
from receptive.journal import PrunerOptions
from receptive.signatures import guilty, locate, option_faults, options_of, target_faults


@dataclass(frozen=True, kw_only=True)
class More(PrunerOptions):
    """Inherits fields whose annotations this module could not evaluate."""

    flag: bool


class Net:
    """Has two constructors, as a network may have."""

    class Inner:
        """A class within a class."""

    @classmethod
    def small(cls, width: int) -> "Net":
        return cls()

    depth = 3


@pytest.mark.parametrize("name", ["Net", "Net.small", "Net.Inner"])
def test_what_hangs_below_a_class_may_be_named(name: str) -> None:
    found = locate("model._target_", f"{__name__}.{name}", ["tests"])
    assert found.__qualname__ == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"{__name__}.Net.smal", f"{__name__}.Net has no 'smal', did you mean 'small'?"),
        (f"{__name__}.Nett", f"{__name__} has no 'Nett', did you mean 'Net'?"),
        (f"{__name__}.Nett.small", f"No module named '{__name__}.Nett'"),
        (f"{__name__}.Net.depth.real", f"No module named '{__name__}.Net'"),
        (f"{__name__}.Net.depth", f"{__name__}.Net has no 'depth'"),
        ("tests.nowhere.Net", "No module named 'tests.nowhere'"),
        ("elsewhere.Net", "only names below tests may be used"),
    ],
)
def test_a_name_that_is_none(name: str, told: str) -> None:
    with pytest.raises(InputError, match=f"^model._target_={re.escape(name)}: {re.escape(told)}"):
        locate("model._target_", name, ["tests"])


def test_the_values_of_a_second_constructor_are_checked() -> None:
    node = {"_target_": f"{__name__}.Net.small", "width": "ten", "height": 1}
    faults = target_faults("model", node, ("tests",))
    assert [fault.partition(":")[0] for fault in faults] == ["model.width=ten", "model.height"]


def test_options_that_are_inherited_from_another_module_are_known() -> None:
    good = {"pruner": "none", "startup_trials": 0, "warmup_epochs": 3, "flag": True}
    assert option_faults(More, good) == []
    bad = good | {"pruner": "nome", "warmup_epochs": -1, "flag": 3, "flat": 1}
    assert [fault.partition(":")[0] for fault in option_faults(More, bad)] == [
        *("flat", "pruner=nome", "warmup_epochs=-1", "flag=3"),
    ]


@pytest.mark.parametrize("word", ["no", "off", "maybe"])
def test_words_for_true_and_false_are_no_booleans(word: str) -> None:
    """A text that is not empty would count as true."""
    good = {"pruner": "none", "startup_trials": 0, "warmup_epochs": 3}
    for key, told in (("", ""), ("sweeper", "sweeper.")):
        with pytest.raises(InputError, match=f"^{told}flag={word}: must be true or false$"):
            options_of(More, good | {"flag": word}, key)
    assert options_of(More, good | {"flag": False}).flag is False


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
