"""Colours and the choice of groups: by the order of the sweep, evenly from each variant."""

from tests.report.conftest import RunFolders

from receptive.figures.style import COLORS
from receptive.report.series import ranked
from receptive.report.styles import MOST_CURVES, Style, chosen, hues, kind, styles, told

LR = "optimizer.lr"
RATES = [f"0.{number}" for number in range(1, 8)]


def test_colours_follow_the_order_of_the_sweep_and_not_the_rank(folders: RunFolders) -> None:
    for name, score in (("bad", 0.2), ("good", 0.9), ("even", 0.5)):
        folders.add({"variant": name}, score=score)
    collection = folders.collection()
    shown = chosen(collection, ranked(collection), MOST_CURVES)
    assert [group.name for group in shown] == ["bad", "good", "even"]
    assert styles(collection, shown) == [Style(color, "solid") for color in COLORS[:3]]
    assert hues(collection, ranked(collection)) == [COLORS[1], COLORS[2], COLORS[0]]
    folders.add({"variant": "bad"}, seed=1, score=1.0)
    folders.add({"variant": "bad"}, seed=2, score=1.0)
    folders.add({"variant": "bad"}, seed=3, score=1.0)  # it comes to be the second
    assert hues(folders.collection(), folders.collection().groups) == list(COLORS[:3])


def test_the_groups_of_a_variant_share_its_hue(folders: RunFolders) -> None:
    folders.add_grid({"act": ["relu", "elu"], "variant": ["a", "b"], LR: ["0.1", "0.2"]}, seeds=1)
    collection = folders.collection()
    first = kind(collection)
    assert first is not None and first.key == "variant"
    found = dict(zip((group.name for group in collection.groups), styles(collection, collection.groups), strict=True))
    assert found["act=relu, a, lr=0.1"] == Style(COLORS[0], "solid")
    assert found["act=relu, a, lr=0.2"] == Style("#80B8D8", "solid")
    assert found["act=elu, a, lr=0.1"] == Style(COLORS[0], "dashed")
    assert found["act=relu, b, lr=0.1"] == Style(COLORS[1], "solid")
    assert len(set(found.values())) == 8


def test_numbers_alone_have_each_their_own_style(folders: RunFolders) -> None:
    folders.add_grid({"model.width": [str(width) for width in range(16)]}, seeds=1)
    collection = folders.collection()
    assert kind(collection) is None
    assert len(set(styles(collection, collection.groups))) == 16
    assert set(hues(collection, collection.groups)) == {COLORS[0]}


def test_variants_too_many_for_colours_have_each_their_own_style(folders: RunFolders) -> None:
    folders.add_grid({"variant": [f"v{number}" for number in range(9)]}, seeds=1)
    collection = folders.collection()
    assert kind(collection) is None
    assert len(set(styles(collection, collection.groups))) == 9


def test_shown_groups_are_taken_evenly_from_each_variant(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["good", "bad"], LR: RATES}, seeds=1)  # all of the first are better
    collection = folders.collection()
    shown = chosen(collection, ranked(collection), 8)
    assert [group.name for group in shown] == [f"{name}, lr={lr}" for name in ("good", "bad") for lr in RATES[:4]]
    assert [group.labels["variant"] for group in chosen(collection, ranked(collection), 5)] == ["good"] * 3 + [
        "bad"
    ] * 2
    assert chosen(collection, ranked(collection), 99) == list(collection.groups)
    assert told(collection, 8, 14, "groups") == "; 8 of 14 groups, the best of each variant"
    assert told(collection, 14, 14, "groups") == ""


def test_a_variant_with_few_groups_leaves_its_room_to_the_others(folders: RunFolders) -> None:
    folders.add({"variant": "alone", LR: "0.1"}, score=0.1)
    folders.add_grid({"variant": ["many"], LR: RATES}, seeds=1)
    collection = folders.collection()
    assert [group.labels["variant"] for group in chosen(collection, ranked(collection), 4)] == ["alone"] + ["many"] * 3


def test_without_variants_the_best_are_shown_in_the_order_of_the_sweep(folders: RunFolders) -> None:
    for width, score in (("1", 0.1), ("2", 0.5), ("3", 0.9)):
        folders.add({"model.width": width}, score=score)
    collection = folders.collection()
    assert [group.name for group in chosen(collection, ranked(collection), 2)] == ["width=2", "width=3"]
    assert told(collection, 2, 3, "groups") == "; the best 2 of 3 groups"
