"""Labels and names of small panels, and axes."""

import pytest

from receptive.figures.style import MOST_OF_TITLE, cut_middle, fold_labels, new_figure, tidy, turn_labels


@pytest.mark.parametrize(
    ("labels", "folded"),
    [
        ([], []),
        (["0 Conv2d", "1 ReLU"], ["0 Conv2d", "1 ReLU"]),
        (["encoder.0.1 BatchNorm2d", "head Conv2d"], ["encoder.0.1\nBatchNorm2d", "head\nConv2d"]),
        (["layer1.0.downsample.0 Conv2d"], ["…r1.0.downsample.0\nConv2d"]),
    ],
)
def test_names_stand_above_kinds_where_one_is_long(labels: list[str], folded: list[str]) -> None:
    assert fold_labels(labels) == folded
    assert all(len(line) <= 18 for label in fold_labels(labels) for line in label.splitlines())


def test_a_long_name_goes_without_its_middle() -> None:
    assert cut_middle("w" * 24, MOST_OF_TITLE) == "w" * 24
    assert cut_middle("patient_0001_" + "w" * 40 + "_frontal", MOST_OF_TITLE) == "patient_000…wwww_frontal"
    assert cut_middle("abcdefghij", 5) == "a…hij"
    assert cut_middle("a\n b", 9) == "a b"


def test_tidy_axes_have_small_type_no_box_and_the_lines_that_are_asked_for() -> None:
    plain, lined = new_figure(2).subplots(1, 2)
    tidy(plain, "$\\frac{1", "epoch", size=9)
    tidy(lined, "share", grid="x")
    assert (plain.get_xlabel(), plain.get_ylabel(), lined.get_xlabel()) == ("epoch", "$\\frac{1", "")
    assert [axes.xaxis.label.get_fontsize() for axes in (plain, lined)] == [10, 8]
    assert [axes.get_yticklabels()[0].get_fontsize() for axes in (plain, lined)] == [9, 7]
    assert not any(axes.spines[side].get_visible() for axes in (plain, lined) for side in ("top", "right"))
    assert [axes.get_xgridlines()[0].get_visible() for axes in (plain, lined)] == [False, True]
    assert not lined.get_ygridlines()[0].get_visible()
    plain.figure.draw_without_rendering()  # the label is no formula


def test_turned_labels_end_at_their_tick() -> None:
    axes = new_figure(2).subplots()
    axes.set_xticks([0, 1], ["a long name", "b"])
    turn_labels(axes)
    assert {(label.get_rotation(), label.get_ha()) for label in axes.get_xticklabels()} == {(45.0, "right")}
