"""What the runs of a study say to its claims; `receptive.report.claims` tells what a claim is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from receptive.errors import InputError
from receptive.metrics import UNBOUNDED, bounds, metric_text
from receptive.report.claims import Claim, parse_claims
from receptive.report.collection import Collection, Group
from receptive.report.curves import Measure
from receptive.report.selections import (
    Selection,
    disagreements,
    figures,
    figures_over,
    finished,
    never,
    select,
    selection_name,
)
from receptive.report.statistics import ALPHA, difference, holm, spread, spread_ratio

Verdict = Literal["holds", "does not hold", "undecided"]

_EPOCHS = "trainer.max_epochs"
_LACKING = "finished runs with a finite value of it on a side, or no scatter on either"
_NO_SCATTER, _NO_SCATTER_OF_THREE = f"fewer than two {_LACKING}", f"fewer than three {_LACKING}"


@dataclass(frozen=True)
class Judged:
    """A claim and what the runs say to it.

    Args:
        claim: as the study's file has it.
        ours: our figures: mean, deviation and n of what it speaks of.
        verdict: whether it holds.
        why: the reason, a sentence.
    """

    claim: Claim
    ours: str
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class _Evidence:
    """What the runs say before the tests of a study are corrected together."""

    ours: str
    decide: Callable[[Sequence[float]], tuple[Verdict, str]]  # of the corrected p values
    p_values: tuple[float, ...] = ()


def judge(collection: Collection) -> tuple[Judged, ...]:
    """The verdict on each claim of a collection; raises InputError for a claim that says nothing."""
    claims = parse_claims(collection.claims)
    evidence = [_early(claim, collection, _evidence(claim, collection)) for claim in claims]
    corrected = iter(holm([p for one in evidence for p in one.p_values]))
    judged = []
    for claim, one in zip(claims, evidence, strict=True):
        verdict, why = one.decide([next(corrected) for _ in one.p_values])
        judged.append(Judged(claim, one.ours, verdict, why))
    return tuple(judged)


def _evidence(claim: Claim, collection: Collection) -> _Evidence:
    """What the runs say to a claim; of files that cannot be read, that."""
    try:
        return _JUDGES[claim.kind](claim, collection)
    except InputError as error:
        reason = str(error)
        return _Evidence("", lambda _: ("undecided", reason))


def _early(claim: Claim, collection: Collection, evidence: _Evidence) -> _Evidence:
    """Of runs that are shorter than what a claim speaks of: what they say so far, without a verdict."""
    groups = [group for one in claim.selections for group in finished(select(collection, one))]
    done = [record for group in groups for record in group.records if record.state == "done"]  # others give no figure
    epochs = min((int(record.config.get(_EPOCHS) or 0) for record in done), default=math.inf)
    if claim.epochs is None or epochs >= claim.epochs:
        return evidence

    def decide(_: Sequence[float]) -> tuple[Verdict, str]:
        return "undecided", f"it speaks of {claim.epochs} epochs, the runs have {epochs}"

    return _Evidence(evidence.ours, decide)


def shown_mean(measure: Measure, values: Sequence[float], missed: int = 0) -> str:
    """`97.83 % ± 0.12 % (n=3)`: mean, deviation, number of runs; how many of them never reached what is asked for."""
    if not values:
        return "no finished run has it"
    known = spread(values)
    count = f"(n={known.n}, {missed} of them never)" if missed else f"(n={known.n})"
    if known.n == 1:
        return f"{_text(measure, known.mean)} {count}"
    return f"{_text(measure, known.mean)} ± {_text(measure, known.deviation)} {count}"


def _text(measure: Measure, value: float) -> str:
    if measure.function not in ("epochs_to", "gradient_norm") and "/" in measure.metric:
        return metric_text(measure.metric, value)
    return f"{value:.3g} s" if measure.metric.startswith("seconds") else f"{value:.3g}"


def _pair_text(claim: Claim, named: Sequence[tuple[Selection, list[float]]], missed: Sequence[int] = ()) -> str:
    counts = missed or [0] * len(named)
    texts = (shown_mean(claim.measure, values, count) for (_, values), count in zip(named, counts, strict=True))
    return "; ".join(f"{selection_name(one)}: {text}" for (one, _), text in zip(named, texts, strict=True))


def _judge_figure(claim: Claim, collection: Collection) -> _Evidence:
    """Within a tolerance of a figure, at least a value, or below one."""
    assert claim.of is not None
    values = figures(collection, claim.of, claim.measure)
    low, high = -math.inf, math.inf
    if claim.figure is not None:
        assert claim.tolerance is not None
        low, high = claim.figure - claim.tolerance, claim.figure + claim.tolerance
    elif claim.at_least is not None:
        low = claim.at_least
    else:
        assert claim.below is not None
        high = claim.below
    ours = shown_mean(claim.measure, values, never(collection, claim.of, claim.measure))
    return _Evidence(ours, lambda _: _within(claim, values, low, high))


def _within(claim: Claim, values: Sequence[float], low: float, high: float) -> tuple[Verdict, str]:
    measure = claim.measure
    known = spread(values, UNBOUNDED if measure.function else bounds(measure.metric))
    if math.isnan(known.low):
        return "undecided", "fewer than two finished runs with a finite value of it: no interval"
    words = (("at least", low), ("at most" if claim.below is None else "below", high))
    asked = " and ".join(f"{word} {_text(measure, edge)}" for word, edge in words if math.isfinite(edge))
    said = f"95 % interval of the mean {_text(measure, known.low)} to {_text(measure, known.high)}"
    if low <= known.low and known.high <= high:
        return "holds", f"{said} lies within; claimed: {asked}"
    if known.high < low or known.low > high:
        side = "below" if known.high < low else "above"
        return "does not hold", f"{said} lies {side}; claimed: {asked}"
    return "undecided", f"{said} lies across the edge; claimed: {asked}"


def _judge_ranking(claim: Claim, collection: Collection) -> _Evidence:
    """Each better than the next; of two: one better than the other."""
    order = claim.ranking or (claim.better, claim.than)
    named = [(one, figures(collection, one, claim.measure)) for one in order if one is not None]
    missed = [never(collection, one, claim.measure) for one, _ in named]
    return _ordered(claim, named, _pair_text(claim, named, missed), claim.measure.smaller(collection))


def _judge_flatter(claim: Claim, collection: Collection) -> _Evidence:
    """The range of the metric over the values of a key, seed by seed: smaller in one selection."""
    assert claim.over is not None and claim.flatter is not None and claim.than is not None
    pair = (claim.flatter, claim.than)
    named = [(one, figures_over(collection, one, claim.measure, claim.over)) for one in pair]
    return _ordered(claim, named, _pair_text(claim, named), smaller=True)


def _ordered(claim: Claim, named: list[tuple[Selection, list[float]]], ours: str, smaller: bool) -> _Evidence:
    """Evidence that each selection's mean is better than the next one's."""
    pairs = list(itertools.pairwise(named))
    sign = -1 if smaller else 1
    found = [difference(first, second) for (_, first), (_, second) in pairs]

    def decide(corrected: Sequence[float]) -> tuple[Verdict, str]:
        told, verdicts = [], []
        for ((one, _), (other, _)), gap, p in zip(pairs, found, corrected, strict=True):
            if math.isnan(p):
                verdicts.append("undecided")
                told.append(f"{selection_name(one)} against {selection_name(other)}: {_NO_SCATTER}")
                continue
            right = sign * gap.value > 0
            verdicts.append("undecided" if p >= ALPHA else "holds" if right else "does not hold")
            told.append(
                f"{selection_name(one)} minus {selection_name(other)}: {_signed(claim.measure, gap.value)}, p={p:.2g}"
            )
        verdict: Verdict = (
            "does not hold" if "does not hold" in verdicts else "undecided" if "undecided" in verdicts else "holds"
        )
        return verdict, "; ".join(told)

    return _Evidence(ours, decide, tuple(gap.p for gap in found))


def _signed(measure: Measure, value: float) -> str:
    return ("+" if value >= 0 else "-") + _text(measure, abs(value)).replace(" %", " points")


def _judge_best(claim: Claim, collection: Collection) -> _Evidence:
    """It holds when it is significantly better than each other one, and does not when one of them is than it."""
    assert claim.best is not None
    chosen = select(collection, claim.best)
    own = figures(collection, claim.best, claim.measure)
    sign = -1 if claim.measure.smaller(collection) else 1
    field = collection.groups if claim.among is None else select(collection, claim.among)
    rivals = [(group, _of(claim, group)) for group in field if group not in chosen]
    found = [difference(values, own) for _, values in rivals]

    def decide(corrected: Sequence[float]) -> tuple[Verdict, str]:
        judged = [
            (sign * gap.value, p, group, values)
            for (group, values), gap, p in zip(rivals, found, corrected, strict=True)
            if not math.isnan(p)
        ]
        if not judged:
            return "undecided", _NO_SCATTER if rivals else "there is no other group"
        beaten_by = [one for one in judged if one[0] > 0 and one[1] < ALPHA]
        lead, p, group, values = max(beaten_by or judged, key=lambda one: one[0])
        which = "others" if lead == max(one[0] for one in judged) else "others that can be told from it"
        told = f"the best of the {which} is {group.name}: {shown_mean(claim.measure, values)}, p={p:.2g}"
        if beaten_by:
            return "does not hold", told
        near = [group.name for lead, p, group, _ in judged if p >= ALPHA]
        if near:
            place = "the best" if lead <= 0 else "not the best"
            others = f"any of the {len(near)} others" if len(near) == len(rivals) > 1 else _listed(near)
            told += f"; the mean claimed is {place}, and cannot be told from {others}"
        if unknown := [group.name for (group, _), p in zip(rivals, corrected, strict=True) if math.isnan(p)]:
            told += f"; against {_listed(unknown)}: {_NO_SCATTER}"
        return ("undecided" if near or unknown else "holds"), told

    return _Evidence(shown_mean(claim.measure, own), decide, tuple(gap.p for gap in found))


def _listed(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _of(claim: Claim, group: Group) -> list[float]:
    known = (claim.measure.of(record) for record in group.records)
    return [value for value in known if value is not None]


def _judge_close(claim: Claim, collection: Collection) -> _Evidence:
    """By the 95 % interval of the difference: within the tolerance, outside of it, or across its edge."""
    assert claim.tolerance is not None
    named = [(one, figures(collection, one, claim.measure)) for one in claim.close]
    gap = difference(named[0][1], named[1][1])
    tolerance = claim.tolerance

    def decide(_: Sequence[float]) -> tuple[Verdict, str]:
        if math.isnan(gap.low):
            return "undecided", _NO_SCATTER
        measure = claim.measure
        told = (
            f"difference {_signed(measure, gap.value)}, 95 % interval {_signed(measure, gap.low)} to "
            f"{_signed(measure, gap.high)}; claimed: less than {_text(measure, tolerance)}"
        )
        if -tolerance <= gap.low and gap.high <= tolerance:
            return "holds", told
        return ("does not hold" if gap.low > tolerance or gap.high < -tolerance else "undecided"), told

    return _Evidence(_pair_text(claim, named), decide)


def _judge_steadier(claim: Claim, collection: Collection) -> _Evidence:
    """By Brown and Forsythe's test of the scatter over seeds."""
    assert claim.steadier is not None and claim.than is not None
    named = [(one, figures(collection, one, claim.measure)) for one in (claim.steadier, claim.than)]
    ratio, p_value = spread_ratio(named[0][1], named[1][1])
    scatter = [_text(claim.measure, spread(values).deviation) for _, values in named]

    def decide(corrected: Sequence[float]) -> tuple[Verdict, str]:
        [p] = corrected
        if math.isnan(p):
            return "undecided", _NO_SCATTER_OF_THREE
        told = f"deviation {scatter[0]} against {scatter[1]}, p={p:.2g}"
        return ("undecided" if p >= ALPHA else "holds" if ratio < 1 else "does not hold"), told

    return _Evidence(_pair_text(claim, named), decide, (p_value,))


def _judge_agree(claim: Claim, collection: Collection) -> _Evidence:
    """By the 95 % interval of the mean share of pixels, over seeds."""
    assert claim.below is not None
    shares, below = list(disagreements(collection, *claim.agree).values()), claim.below
    ours = shown_mean(claim.measure, shares)
    return _Evidence(ours, lambda _: _within(claim, shares, -math.inf, below))


_JUDGES: dict[str, Callable[[Claim, Collection], _Evidence]] = {
    "figure": _judge_figure,
    "ranking": _judge_ranking,
    "best": _judge_best,
    "close": _judge_close,
    "agree": _judge_agree,
    "steadier": _judge_steadier,
    "flatter": _judge_flatter,
}
