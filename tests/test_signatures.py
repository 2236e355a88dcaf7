"""Config values against signatures: which value an error of another library is about."""

from typing import Any

import pytest

from receptive.signatures import guilty


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
