"""Figures that are read off learning curves."""

from pathlib import Path

import pytest

from receptive.errors import InputError
from receptive.report.collection import Collection, Record
from receptive.report.curves import Measure
from receptive.runs import Run, Status

ACCURACY = [0.2, 0.5, 0.4, 0.8]
LOSS = [2.0, 1.0, 1.5, 0.5]


def record_of(tmp_path: Path, **changes: object) -> Record:
    history = [
        {"epoch": float(epoch), "val/accuracy": accuracy, "val/loss": loss}
        for epoch, (accuracy, loss) in enumerate(zip(ACCURACY, LOSS, strict=True), 1)
    ]
    result = {"metrics": {"val/accuracy": 0.8}, "monitor": "val/accuracy", "seconds_per_epoch": 1.5, "best_epoch": 2}
    values = {"state": "done", "status": Status(state="done"), "config": {}, "result": result, "history": history}
    return Record(Run(tmp_path), {}, **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value", "smaller"),
    [
        ("val/accuracy", 0.8, False),
        ("seconds_per_epoch", 1.5, True),
        ("best_epoch", 2, True),
        ("epochs", None, True),
        ("last(val/loss)", 0.5, True),
        ("mean(val/loss)", 1.25, True),
        ("mean(val/loss, 3)", 1.5, True),
        ("mean(val/accuracy, 99)", pytest.approx(0.475), False),
        ("epochs_to(val/accuracy, 0.5)", 2, True),
        ("epochs_to(val/accuracy, 0.9)", 5, True),  # never: one more than all
        ("epochs_to(val/loss, 1.2)", 2, True),
        ("roughness(val/accuracy)", pytest.approx((0.3 + 0.1 + 0.4) / 3), True),
        ("drop(val/loss, 2)", 1.0, False),
        ("drop(val/loss)", 1.5, False),
        ("drop(val/loss, 1)", None, False),
        ("val/f1_mean", None, False),
        ("last(val/f1_mean)", None, False),
        ("gradient_norm(Conv2d)", None, False),  # nothing was recorded
    ],
)
def test_a_measure(tmp_path: Path, text: str, value: float | None, smaller: bool) -> None:
    measure = Measure.parse(text)
    assert measure.of(record_of(tmp_path)) == value
    assert measure.smaller(Collection(tmp_path, "", ())) is smaller
    assert Measure.parse(str(measure)) == measure


def test_a_run_says_whether_less_of_its_monitored_metric_is_better(tmp_path: Path) -> None:
    """A task of one's own may choose by an error; a name tells nothing."""
    history = [{"epoch": epoch, "val/error": error} for epoch, error in enumerate((0.9, 0.4, 0.2), 1)]
    result = {"metrics": {"val/error": 0.2}, "monitor": "val/error"}
    record = record_of(tmp_path, config={"trainer.monitor_mode": "min"}, result=result, history=history)
    collection = Collection(tmp_path, "", (record,))
    assert Measure.parse("epochs_to(val/error, 0.4)").of(record) == 2
    assert [Measure.parse(f"last({part}/error)").smaller(collection) for part in ("val", "test")] == [True, True]
    assert not Measure.parse("last(val/accuracy)").smaller(collection)


def test_the_norm_of_gradients_is_of_the_layers_of_a_kind(tmp_path: Path) -> None:
    (tmp_path / "activations.csv").write_text(
        "epoch,layer,kind,gradient_norm\n0,a,Conv2d,\n1,a,Conv2d,2\n1,b,Linear,50\n2,a,Conv2d,4\n"
    )
    assert Measure.parse("gradient_norm(Conv2d)").of(record_of(tmp_path)) == 3.0
    assert Measure.parse("gradient_norm(Conv2d, 2)").of(record_of(tmp_path)) == 4.0
    assert Measure.parse("gradient_norm(Conv2d, 3)").of(record_of(tmp_path)) is None
    for damaged in ("epoch,layer\n1,a\n", "kind,gradient_norm\nConv2d,many\n"):
        (tmp_path / "activations.csv").write_text(damaged)
        with pytest.raises(InputError, match=r"activations\.csv cannot be read"):
            Measure.parse("gradient_norm(Conv2d)").of(record_of(tmp_path))


@pytest.mark.parametrize("content", [b"epoch,layer\n1,a\n", b"kind,gradient_norm\nConv2d,x\n", b"\xff\n\xfe"])
def test_damaged_norms_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "activations.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"activations\.csv cannot be read"):
        Measure.parse("gradient_norm(Conv2d)").of(record_of(tmp_path))


def test_a_run_that_is_not_done_has_no_figure(tmp_path: Path) -> None:
    for state in ("failed", "pruned", "running"):
        assert Measure.parse("last(val/loss)").of(record_of(tmp_path, state=state)) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "last(", "last val/loss", "middle(val/loss)", "epochs_to(val/loss)", "mean(val/loss, 1-2)"),
        *("val/loss, 3", "last(val/loss, 3)", "roughness(val/loss, 3)"),
    ],
)
def test_what_is_no_measure_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(InputError, match="metric="):
        Measure.parse(text)
