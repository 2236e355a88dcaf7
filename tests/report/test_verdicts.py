"""Verdicts on claims, from values whose answer is plain."""

import itertools
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from receptive.errors import InputError
from receptive.files import read_csv
from receptive.report.claims import parse_claims
from receptive.report.collection import Collection, Record
from receptive.report.selections import note_disagreements
from receptive.report.verdicts import judge
from receptive.runs import Run, Status

Values = Mapping[str, Sequence[float]]

HIGH, LOW = [0.90, 0.91, 0.905, 0.902], [0.80, 0.81, 0.79, 0.805]
WIDE = [0.70, 0.95, 0.80, 0.99]
NO_SCATTER = "fewer than two finished runs with a finite value of it on a side, or no scatter on either"


def record_of(labels: dict[str, str], seed: int, value: float, root: Path = Path("sweep")) -> Record:
    name = "-".join([*labels.values(), str(seed)])
    result = {"metrics": {"val/accuracy": value, "val/loss": 1 - value}, "monitor": "val/accuracy"}
    config = {**labels, "seed": seed}
    return Record(Run(root / name), labels | {"seed": str(seed)}, "done", Status(state="done"), config, result)


def collection_of(values: Values, claims: Sequence[dict[str, Any]], root: Path = Path("sweep")) -> Collection:
    """Runs of variants, a value each seed."""
    records = [
        record_of({"variant": name}, seed, value, root)
        for name, group in values.items()
        for seed, value in enumerate(group)
    ]
    return Collection(root, "study", tuple(records), tuple(claims))


def claim(**says: Any) -> dict[str, Any]:
    return {"id": "X1", "text": "it is so", "metric": "val/accuracy", **says}


def verdict(values: Values, **says: Any) -> str:
    [judged] = judge(collection_of(values, [claim(**says)]))
    return judged.verdict


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"of": "high", "figure": 0.905, "tolerance": 0.02}, "holds"),
        ({"of": "high", "figure": 0.95, "tolerance": 0.02}, "does not hold"),
        ({"of": "high", "figure": 0.92, "tolerance": 0.015}, "undecided"),  # the edge lies within the interval
        ({"of": "one", "figure": 0.9, "tolerance": 0.5}, "undecided"),  # one run has no interval
        ({"of": "absent", "figure": 0.9, "tolerance": 0.5}, "undecided"),
        ({"of": "high", "at_least": 0.85}, "holds"),
        ({"of": "high", "at_least": 0.95}, "does not hold"),
        ({"of": "high", "below": 0.85}, "does not hold"),
        ({"of": "low", "below": 0.85}, "holds"),
        ({"of": "wide", "below": 0.85}, "undecided"),
        ({"better": "high", "than": "low"}, "holds"),
        ({"better": "low", "than": "high"}, "does not hold"),
        ({"better": "high", "than": "wide"}, "undecided"),
        ({"better": "high", "than": "one"}, "undecided"),
        ({"better": "low", "than": "high", "metric": "val/loss"}, "does not hold"),
        ({"better": "high", "than": "low", "metric": "val/loss"}, "holds"),  # of a loss less is better
        ({"ranking": ["high", "middle", "low"]}, "holds"),
        ({"ranking": ["middle", "high", "low"]}, "does not hold"),
        ({"ranking": ["high", "wide", "low"]}, "undecided"),
        ({"best": "high"}, "holds"),
        ({"best": "low"}, "does not hold"),
        ({"best": "wide"}, "undecided"),
        ({"best": "middle"}, "does not hold"),
        ({"best": "high3"}, "undecided"),  # its mean is the best, by less than the seeds scatter
        ({"best": "one"}, "undecided"),  # one run is no evidence
        ({"close": ["high", "high2"], "tolerance": 0.02}, "holds"),
        ({"close": ["high", "low"], "tolerance": 0.02}, "does not hold"),
        ({"close": ["high", "wide"], "tolerance": 0.02}, "undecided"),
        ({"steadier": "still", "than": "wild"}, "holds"),
        ({"steadier": "wild", "than": "still"}, "does not hold"),
        ({"steadier": "high", "than": "low"}, "undecided"),
    ],
)
def test_a_verdict(says: dict[str, Any], expected: str) -> None:
    middle = [0.85, 0.855, 0.845, 0.852]
    names = ["high", "low", "wide", "middle", "high2", "high3", "still", "wild", "one"]
    wild = [0.1, 0.9, 0.2, 0.8, 0.15, 0.85]
    still = [0.5, 0.501, 0.499, 0.5005, 0.4995, 0.5]
    nearly = [value + 0.001 for value in HIGH]
    samples = [HIGH, LOW, WIDE, middle, nearly, nearly, still, wild, [0.95]]
    asked = {part for value in says.values() for part in (value if isinstance(value, list) else [value])}
    values = {name: sample for name, sample in zip(names, samples, strict=True) if name in asked}
    if "best" in says:
        values = {"high": HIGH, "low": LOW} | values
    assert verdict(values, **says) == expected


@pytest.mark.parametrize(
    ("epochs", "expected", "why"),
    [
        (20, "holds", "95 % interval of the mean"),
        (21, "undecided", "it speaks of 21 epochs, the runs have 20"),
    ],
)
def test_a_claim_on_longer_runs_is_left_open(epochs: int, expected: str, why: str) -> None:
    collection = collection_of({"a": HIGH, "b": LOW}, [claim(of="a", at_least=0.85, epochs=epochs)])
    for record in collection.records:
        record.config["trainer.max_epochs"] = 20 if record.labels["variant"] == "a" else 200
    [judged] = judge(collection)
    assert (judged.verdict, judged.why.startswith(why)) == (expected, True)
    assert judged.ours == "90.42 % ± 0.43 % (n=4)"


@pytest.mark.parametrize("short", ["a", "b"])
def test_a_claim_on_longer_runs_needs_them_on_both_sides(short: str) -> None:
    collection = collection_of({"a": HIGH, "b": LOW}, [claim(better="a", than="b", epochs=200)])
    for record in collection.records:
        record.config["trainer.max_epochs"] = 20 if record.labels["variant"] == short else 200
    [judged] = judge(collection)
    assert (judged.verdict, judged.why) == ("undecided", "it speaks of 200 epochs, the runs have 20")


@pytest.mark.parametrize("config", [{}, {"trainer.max_epochs": 1}], ids=["damaged", "short"])
def test_the_length_of_a_run_that_gives_no_figure_does_not_count(config: dict[str, Any]) -> None:
    done = collection_of({"a": HIGH}, ()).records
    long = [replace(one, config=one.config | {"trainer.max_epochs": 20}) for one in done]
    asked = claim(of="a", at_least=0.85, epochs=20)
    failed = replace(done[0], state="failed", config=config, result={})
    [judged] = judge(Collection(Path("sweep"), "study", (*long, failed), (asked,)))
    assert (judged.verdict, judged.ours) == ("holds", "90.42 % ± 0.43 % (n=4)")


def test_a_claim_on_longer_runs_of_which_none_has_ended_lacks_a_figure() -> None:
    running = [replace(one, state="running") for one in collection_of({"a": HIGH}, ()).records]
    [judged] = judge(Collection(Path("sweep"), "study", tuple(running), (claim(of="a", at_least=0.85, epochs=20),)))
    assert (judged.verdict, judged.ours) == ("undecided", "no finished run has it")
    assert "the runs have" not in judged.why


def test_runs_that_never_come_there_are_told() -> None:
    collection = collection_of({"fast": HIGH, "slow": LOW}, [claim(better="fast", than="slow")])
    curves = {"fast": [0.4, 0.6, 0.7], "slow": [0.2, 0.3, 0.4]}
    records = []
    for record in collection.records:
        curve = curves[record.labels["variant"]] if record.seed != "0" else [0.2, 0.3, 0.5]
        history = [{"epoch": epoch, "val/accuracy": value} for epoch, value in enumerate(curve, 1)]
        records.append(replace(record, history=history))
    asked = claim(better="fast", than="slow", metric="epochs_to(val/accuracy, 0.5)")
    [judged] = judge(replace(collection, records=tuple(records), claims=(asked,)))
    assert judged.ours == "fast: 2.25 ± 0.5 (n=4); slow: 3.75 ± 0.5 (n=4, 3 of them never)"


def test_claims_that_are_left_open_do_not_weaken_the_others() -> None:
    """Holm's correction counts the tests that are made."""
    near = [value - 0.012 for value in HIGH]
    asked, early = claim(better="a", than="b"), claim(better="b", than="a", epochs=9)
    alone = judge(collection_of({"a": HIGH, "b": near}, [asked]))[0]
    among = judge(collection_of({"a": HIGH, "b": near}, [asked, *[early] * 20]))
    assert among[0] == alone and alone.verdict == "holds"
    assert {judged.verdict for judged in among[1:]} == {"undecided"}


def test_best_among_a_part_of_the_runs() -> None:
    records = [
        record_of({"variant": name, "optimizer.lr": lr}, seed, value)
        for (name, lr), group in {("a", "0.1"): HIGH, ("a", "0.2"): LOW, ("b", "0.1"): [0.99] * 4}.items()
        for seed, value in enumerate(group)
    ]
    says = claim(best={"variant": "a", "optimizer.lr": 0.1})
    of_all, of_some = judge(Collection(Path("sweep"), "", tuple(records), (says, says | {"among": "a"})))
    assert (of_all.verdict, of_some.verdict) == ("does not hold", "holds")


@pytest.mark.parametrize("rival", [[], [0.5], [math.nan, 0.5]])
def test_best_is_undecided_while_a_rival_cannot_be_judged(rival: list[float]) -> None:
    records = [record_of({"variant": "a"}, seed, value) for seed, value in enumerate(HIGH)]
    records += [record_of({"variant": "b"}, seed, value) for seed, value in enumerate(LOW)]
    records += [record_of({"variant": "c"}, seed, value) for seed, value in enumerate(rival)]
    if not rival:
        records.append(replace(record_of({"variant": "c"}, 0, 0.5), state="waiting"))
    best, worst = judge(Collection(Path("sweep"), "", tuple(records), (claim(best="a"), claim(best="b"))))
    assert best.verdict == "undecided"
    assert f"; against c: {NO_SCATTER}" in best.why
    assert worst.verdict == "does not hold"  # whatever c will give


def test_flatter_compares_ranges_over_a_key_seed_by_seed() -> None:
    table = {("flat", "0.1"): [0.90, 0.91, 0.92], ("flat", "0.2"): [0.89, 0.91, 0.90]}
    table |= {("steep", "0.1"): [0.9, 0.91, 0.92], ("steep", "0.2"): [0.5, 0.52, 0.51]}
    records = [
        record_of({"variant": name, "optimizer.lr": lr}, seed, value)
        for (name, lr), group in table.items()
        for seed, value in enumerate(group)
    ]
    says = claim(flatter="flat", than="steep", over="optimizer.lr")
    [judged] = judge(Collection(Path("sweep"), "", tuple(records), (says,)))
    assert judged.verdict == "holds"
    assert "flat: 1.00 % ± 1.00 % (n=3)" in judged.ours


@pytest.mark.parametrize(
    "says",
    [
        {"flatter": "a", "than": "b", "over": "lr"},
        {"agree": ["a", "b"], "below": 0.1},
        {"of": "a", "at_least": 0.1},
        {"better": "a", "than": "b"},
        {"best": "a"},
        {"close": ["a", "b"], "tolerance": 0.5},
        {"steadier": "a", "than": "b"},
    ],
)
def test_groups_that_are_several_are_not_mixed(says: dict[str, Any]) -> None:
    records = [
        record_of({"variant": name, "lr": lr, "width": width}, 0, 0.9)
        for name, lr, width in itertools.product("ab", ("1", "2"), ("8", "16"))
    ]
    [judged] = judge(Collection(Path("sweep"), "", tuple(records), (claim(**says),)))
    assert judged.verdict == "undecided" and judged.why.startswith("a: ") and "labels too" in judged.why


def test_runs_of_another_command_in_the_folder_are_no_seeds_of_a_variant() -> None:
    """As after `train study=NAME trainer.max_epochs=1`: what the study itself gives is named by that too."""
    epochs = "trainer.max_epochs"
    records = [
        replace(one, config=one.config | {epochs: number})
        for number, values in ((1, LOW), (20, HIGH))
        for one in collection_of({"plain": values}, ()).records
    ]
    asked = [claim(of=of, at_least=0.85) for of in ("plain", {"variant": "plain", epochs: 20})]
    mixed, named = judge(Collection(Path("sweep"), "study", tuple(records), tuple(asked)))
    names = "plain, max_epochs=1; plain, max_epochs=20"
    assert mixed.verdict == "undecided" and mixed.ours == ""
    assert mixed.why == f"plain: is several groups of runs ({names}): name their other labels too"
    assert (named.verdict, named.ours) == ("holds", "90.42 % ± 0.43 % (n=4)")


def test_runs_of_another_command_that_have_not_ended_do_not_count() -> None:
    epochs = "trainer.max_epochs"
    done = collection_of({"plain": HIGH}, ()).records
    left = [replace(one, state="interrupted", config=one.config | {epochs: 1}) for one in done]
    asked = claim(of="plain", at_least=0.85, epochs=20)
    whole = [replace(one, config=one.config | {epochs: 20}) for one in done]
    [judged] = judge(Collection(Path("sweep"), "study", (*left, *whole), (asked,)))
    assert (judged.verdict, judged.ours) == ("holds", "90.42 % ± 0.43 % (n=4)")


def test_masks_agree_where_they_differ_in_few_pixels(tmp_path: Path) -> None:
    collection = collection_of(
        {"a": [0.9] * 3, "b": [0.9] * 3}, [claim(metric="masks", agree=["a", "b"], below=0.1)], tmp_path
    )
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(3):
        masks = rng.integers(0, 2, (4, 8, 8), dtype=np.uint8)
        other = masks.copy()
        other[0, 0, : seed + 2] ^= 1
        shares.append((seed + 2) / masks.size)
        for name, values in (("a", masks), ("b", other)):
            (tmp_path / f"{name}-{seed}").mkdir()
            np.savez_compressed(tmp_path / f"{name}-{seed}" / "test_masks.npz", masks=values)
    [judged] = judge(collection)
    assert judged.verdict == "holds"
    assert judged.ours.startswith(f"{np.mean(shares):.3g} ± ")
    note_disagreements(collection, [("a", "b")])
    for name in ("a-0", "b-2"):  # masks that are gone: what was noted
        shutil.move(tmp_path / name / "test_masks.npz", tmp_path / f"{name}.npz")
    assert judge(collection)[0].ours == judged.ours
    (tmp_path / "mask_disagreements.csv").write_text("run,other\na-0,b-0\n")
    assert judge(collection)[0].verdict == "undecided"
    note_disagreements(collection, [("a", "b"), ("a", "absent")])  # of what is left
    assert [row["run"] for row in read_csv(tmp_path / "mask_disagreements.csv")] == ["a-1"]
    for name in ("a-0", "b-2"):
        shutil.move(tmp_path / f"{name}.npz", tmp_path / name / "test_masks.npz")
    path = tmp_path / "a-1" / "test_masks.npz"
    whole = path.read_bytes()
    flipped = bytes(byte ^ 0x55 if 80 < place < 140 else byte for place, byte in enumerate(whole))
    for damaged in (b"no zip", b"", whole[: len(whole) // 2], flipped):
        path.write_bytes(damaged)
        [unread] = judge(collection)
        assert unread.verdict == "undecided" and "cannot be compared" in unread.why
    (tmp_path / "mask_disagreements.csv").unlink()
    (tmp_path / "a-1" / "test_masks.npz").unlink()
    (tmp_path / "a-2" / "test_masks.npz").unlink()
    assert judge(collection)[0].verdict == "undecided"


def test_a_best_of_single_runs_is_told_without_a_p_value() -> None:
    [judged] = judge(collection_of({"a": [0.8], "b": [0.9], "c": [math.nan]}, [claim(best="a")]))
    assert judged.verdict == "undecided"
    assert judged.why.startswith("fewer than two finished runs") and "p=" not in judged.why


def test_the_reason_of_a_best_is_the_group_that_decides() -> None:
    """Of the others the best mean may be one that scatters too much to say anything."""
    wild = [0.80, 0.99, 0.99, 0.99]
    [judged] = judge(collection_of({"a": LOW, "b": HIGH, "c": wild}, [claim(best="a")]))
    assert judged.verdict == "does not hold"
    assert judged.why.startswith("the best of the others that can be told from it is b: 90.42 %")
    [judged] = judge(collection_of({"a": LOW, "b": HIGH}, [claim(best="a")]))
    assert judged.why.startswith("the best of the others is b: 90.42 %")


@pytest.mark.parametrize(
    ("others", "told"),
    [(4, "any of the 4 others"), (1, "b"), (-4, "b, c, d and 1 more")],  # minus: and one that can be told from it
)
def test_a_best_names_what_it_cannot_be_told_from(others: int, told: str) -> None:
    values = {"a": HIGH} | {name: [value + 0.0001 for value in HIGH] for name in "bcdef"[: abs(others)]}
    values |= {"z": LOW} if others < 0 else {}
    [judged] = judge(collection_of(values, [claim(best="a")]))
    assert judged.why.endswith(f"cannot be told from {told}")


def test_reasons_tell_bounds_and_deviations_as_the_claim_has_them() -> None:
    below, figure, steadier = judge(
        collection_of(
            {"a": HIGH, "b": WIDE},
            [
                claim(of="a", below=0.95),
                claim(of="a", figure=0.9, tolerance=0.05),
                claim(steadier="a", than="b"),
            ],
        )
    )
    assert below.why.endswith("claimed: below 95.00 %")
    assert figure.why.endswith("claimed: at least 85.00 % and at most 95.00 %")
    assert steadier.why.startswith("deviation 0.43 % against 13.44 %, p=")


@pytest.mark.parametrize(
    ("values", "says", "why"),
    [
        ({"a": HIGH}, {"best": "a"}, "there is no other group"),
        ({"a": [0.9] * 3, "b": [0.8] * 3}, {"best": "a"}, NO_SCATTER),
        ({"a": [0.9] * 3, "b": [0.8] * 3}, {"steadier": "a", "than": "b"}, NO_SCATTER.replace("two", "three")),
        ({"a": [0.9, math.nan, 0.8], "b": HIGH}, {"steadier": "a", "than": "b"}, NO_SCATTER.replace("two", "three")),
    ],
)
def test_a_reason_is_true_of_runs_that_do_not_scatter(values: Values, says: dict[str, Any], why: str) -> None:
    [judged] = judge(collection_of(values, [claim(**says)]))
    assert (judged.verdict, judged.why) == ("undecided", why)


def test_the_tests_of_a_study_are_corrected_together() -> None:
    """A difference that one test would call significant is not, among ten."""
    values = {"a": [0.90, 0.92, 0.91, 0.93], "b": [0.88, 0.90, 0.89, 0.895]}
    says = claim(better="a", than="b")
    [alone] = judge(collection_of(values, [says]))
    assert alone.verdict == "holds"
    same = judge(collection_of(values, [says] * 10))
    assert {one.verdict for one in same} == {"undecided"}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"of": "a"}, "says no claim"),
        ({"of": "a", "figure": 0.9}, "says no claim"),
        ({"of": "a", "figure": 0.9, "tolerance": -1.0}, "tolerance"),
        ({"better": "a", "than": "b", "than_that": "c"}, "than_that"),
        ({"ranking": ["a"]}, "at least two"),
        ({"close": ["a"], "tolerance": 0.1}, "two selections"),
        ({"best": "a", "metric": "middle(val/loss)"}, "metric=middle"),
        ({"best": ["a"]}, "best"),
    ],
)
def test_a_claim_that_says_nothing_is_refused(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"hydra.sweeper.claims\[X1\]") as caught:
        parse_claims([claim(**broken)])
    assert words in str(caught.value)


@pytest.mark.parametrize("nothing", [None, 3, "X1", ["X1"]])
def test_what_is_no_claim_at_all(nothing: Any) -> None:
    with pytest.raises(InputError, match=r"hydra.sweeper.claims\[0\]"):
        parse_claims([nothing])
