"""Claims as data: what a study says beforehand, and what its runs say to it.

A claim stands in a study's file as a mapping with `id`, `text`, what it says of which `metric` (see
`receptive.report.curves`), and `reported`, the figure of the report in its own words. What it says is one of

    of, figure, tolerance     the mean is the figure, within the tolerance
    of, at_least | below      the mean is at least, or below, the value
    better, than              one selection is better than the other
    ranking                   each selection is better than the next
    best, or best, among      this selection is the best of all, or of those in the other
    close, tolerance          the means of two selections differ by less than the tolerance
    steadier, than            one selection scatters less over seeds than the other
    agree, below              of two selections the predicted masks of the test images differ in less than this share of
                              the pixels, seed by seed; `metric` is then the word masks
    flatter, than, over       the metric depends less on the key `over` in one selection than in the other

and may add `epochs`: how many it speaks of. Runs of fewer (trainer.max_epochs) leave it undecided, whatever they say.

A selection is the name of a variant, or a mapping of labels ({variant: b, optimizer.lr: 0.01}). Figures are judged by
the 95 % interval of the mean, each by itself; comparisons by Welch's test (scatter: Brown and Forsythe's), all tests of
a study corrected together (Holm), at 0.05.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from receptive.config import did_you_mean
from receptive.errors import InputError
from receptive.report.curves import Measure
from receptive.report.selections import Selection

_ABOUT = {"id", "text", "metric", "reported", "epochs"}
KINDS = {
    frozenset({"of", "figure", "tolerance"}): "figure",
    frozenset({"of", "at_least"}): "figure",
    frozenset({"of", "below"}): "figure",
    frozenset({"better", "than"}): "ranking",
    frozenset({"ranking"}): "ranking",
    frozenset({"best"}): "best",
    frozenset({"best", "among"}): "best",
    frozenset({"close", "tolerance"}): "close",
    frozenset({"agree", "below"}): "agree",
    frozenset({"steadier", "than"}): "steadier",
    frozenset({"flatter", "than", "over"}): "flatter",
}

_REMEDY = " (hydra.sweeper.claims=[] leaves the claims out)"


class Claim(BaseModel):
    """A claim; the module says what each kind needs."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    id: str
    text: str
    metric: str
    reported: str = ""
    epochs: int | None = Field(default=None, gt=0)
    of: Selection | None = None
    figure: float | None = None
    at_least: float | None = None
    below: float | None = None
    tolerance: float | None = Field(default=None, gt=0)
    better: Selection | None = None
    than: Selection | None = None
    ranking: tuple[Selection, ...] = ()
    best: Selection | None = None
    among: Selection | None = None
    close: tuple[Selection, ...] = ()
    agree: tuple[Selection, ...] = ()
    steadier: Selection | None = None
    flatter: Selection | None = None
    over: str | None = None

    @field_validator("metric")
    @classmethod
    def _is_a_measure(cls, text: str) -> str:
        try:
            Measure.parse(text)
        except InputError as error:
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _says_one_thing(self) -> Claim:
        given = frozenset(self.model_fields_set - _ABOUT)
        if given not in KINDS:
            kinds = "; ".join(", ".join(sorted(kind)) for kind in KINDS)
            raise ValueError(f"{', '.join(sorted(given)) or 'nothing'} says no claim; the kinds are {kinds}")
        if len(self.close) not in (0, 2) or len(self.agree) not in (0, 2) or len(self.ranking) == 1:
            raise ValueError("close and agree need two selections, ranking at least two")
        return self

    @property
    def kind(self) -> str:
        """One of the values of `KINDS`."""
        return KINDS[frozenset(self.model_fields_set - _ABOUT)]

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return Measure.parse(self.metric)

    @property
    def selections(self) -> list[Selection]:
        """All that it speaks of."""
        single = (self.of, self.better, self.than, self.best, self.among, self.steadier, self.flatter)
        return [*(one for one in single if one is not None), *self.ranking, *self.close, *self.agree]


def parse_claims(claims: Any) -> tuple[Claim, ...]:
    """The claims of a study.

    Raises:
        InputError: one of them says nothing that can be judged; the text names it and the remedy.
    """
    if not isinstance(claims, (list, tuple)):
        raise InputError(f"hydra.sweeper.claims={claims}: give a list of claims")
    parsed = []
    for number, claim in enumerate(claims):
        try:
            parsed.append(Claim.model_validate(claim))
        except ValidationError as error:
            [first, *_] = error.errors()
            where = ".".join(str(part) for part in ("", *first["loc"]))
            name = claim.get("id", number) if isinstance(claim, Mapping) else number
            reason = first["msg"].removeprefix("Value error, ")
            if first["type"] == "extra_forbidden":
                key = str(first["loc"][-1])
                reason = f"a claim has no such key{did_you_mean(key, Claim.model_fields)}"
            raise InputError(f"hydra.sweeper.claims[{name}]{where}: {reason}") from None
    return tuple(parsed)


def check_variants(claims: Any, variants: Collection[str]) -> None:
    """Refuse claims on variants that the study does not have: no run could ever say anything to them.

    Args:
        claims: of the study, as its file has them.
        variants: the names of all of its variants.

    Raises:
        InputError: a claim says nothing, or names another variant.
    """
    for claim in parse_claims(claims):
        for selection in claim.selections:
            name = selection if isinstance(selection, str) else str(selection.get("variant", ""))
            if name and name not in variants:
                has = f"the study has {', '.join(variants)}" if variants else "the study has no variants"
                near = did_you_mean(name, variants)
                raise InputError(
                    f"hydra.sweeper.claims[{claim.id}]: there is no variant {name!r}{near}; {has}{_REMEDY}"
                )
