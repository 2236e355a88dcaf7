"""Names and titles in figures."""

from tests.report.conftest import RunFolders

from receptive.figures.style import cut_middle
from receptive.report.labels import axis_title, cut_names, title_of


def test_names_that_lose_their_middle_are_still_told_apart() -> None:
    """Four keys in a name: the one that differs stands in its middle."""
    one, other = (
        f"lr=0.01, batch_size=2, optimizer={name}, upsampling=bilinear, activation=elu" for name in ("a", "b")
    )
    assert cut_names([one, other], 40) == ["0.01, 2, a, bilinear, elu", "0.01, 2, b, bilinear, elu"]
    assert cut_names([one, "short"], 40) == [cut_middle(one, 40), "short"]


def test_a_title_names_the_study_and_is_folded(folders: RunFolders) -> None:
    folders.add()
    assert title_of(folders.collection("table_9"), "a line a run") == "table_9: a line a run"
    assert title_of(folders.collection(), "a line a run") == "sweep: a line a run"
    told = title_of(folders.collection(), f"{'a' * 80}; 8 of 20 groups, the best")
    assert told == f"sweep: {'a' * 80};\n8 of 20 groups, the best"
    long = title_of(folders.collection("w" * 200), "word " * 40)
    assert all(len(line) <= 100 for line in long.splitlines()) and "…" in long


def test_an_axis_names_the_unit_of_its_metric() -> None:
    assert [axis_title(metric) for metric in ("val/accuracy", "val/loss")] == ["val/accuracy (%)", "val/loss"]
