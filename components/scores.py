"""Scores: what stages measure of models, as the stage that measures writes them and every reader shows them.

A reader decides by fields, never by the words of a title: which model a score is of, what stands
beside it, in which unit it is, whether training had such exercises. Scores lie in
`details/facts.json` of their stage, under `scores`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from components.statistics import Estimate

Kind = Literal["ability", "knowledge", "context", "bias", "memorisation", "calibration"]
Better = Literal["higher", "lower", "zero", "half"]
Unit = Literal["share", "bits", "nats", "number"]


@dataclass(frozen=True)
class Baseline:
    """What the best trivial rule scores on the same items, and how much better the model is.

    Attributes:
        name: the rule, in words.
        value: its score.
        gain: score minus baseline, paired; the other way round where lower is better; None where it
            was not measured.
        needs_model: whether it is a score of the same or another model, such as without steps or
            before tuning.
        against: gains over every rule that was posed, this one among them; none where no claim is
            made.
        ceiling: of an ability that some rule has whole, that rule and its score.
        rules: how many rules without a network were posed.
    """

    name: str
    value: float
    gain: Estimate | None = None
    needs_model: bool = False
    against: tuple[Estimate, ...] = ()
    ceiling: tuple[str, float] | None = None
    rules: int = 0


class Score(BaseModel):
    """One score of a model, with its interval and the best trivial rule on the same items.

    Attributes:
        name: `task/metric` or more, stable whatever the settings; evaluate's tasks, or the branch
            of a training.
        title: the score in words.
        model: whose it is, by its folder below models/. measured_by: the stage.
        low, high: interval, over `variance`; None where there is none, and `variance` then says
            why.
        n: items it rests on.
        better: higher, lower, zero (closer to it) or half (closer to .5).
        baseline, baseline_name, baseline_needs_model: as in `Baseline`. gain, gain_low, gain_high:
            its gain.
        against: gain, its standard error, degrees of freedom and skewness against every rule (verdicts.py).
        ceiling, ceiling_name: of a row "has learned to ..." what a rule scores that has the ability
            whole; no claim is made of such a row. rules: how many rules without a network it was
            held against.
        items: the scored items it is made of, `task/metric` or `task/metric/condition`, where the
            name does not say it.
        counterpart: name of the same score under the other condition; counterpart_title: that
            condition in words.
        headline: whether the table at the end of a run shows it. primary: whether it stands for a
            pretrained model.
        taught: whether training text had such exercises.
        column: its short name, where it has one; such a score is in scores.json, which DVC shows.
        note: how it was measured. caveat: what it is not about, to be shown wherever the score is.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    model: str
    measured_by: str
    value: float
    low: float | None = None
    high: float | None = None
    variance: str = ""
    n: int | None = None
    kind: Kind = "ability"
    unit: Unit = "share"
    better: Better = "higher"
    baseline: float | None = None
    baseline_name: str = ""
    baseline_needs_model: bool = False
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    against: tuple[tuple[float, ...], ...] = ()
    ceiling: float | None = None
    ceiling_name: str = ""
    rules: int = 0
    items: str = ""
    counterpart: str = ""
    counterpart_title: str = ""
    headline: bool = False
    primary: bool = False
    taught: bool = False
    column: str = ""
    note: str = ""
    caveat: str = ""

    @classmethod
    def of(cls, name: str, title: str, estimate: Estimate, baseline: Baseline | None = None, **facts: Any) -> "Score":
        """The score of an estimate beside its baseline; `facts` are the other fields."""
        facts |= {part: getattr(estimate, part) for part in ("value", "low", "high", "variance", "n")}
        if baseline:
            facts |= {"baseline": baseline.value, "baseline_name": baseline.name}
            facts |= {"baseline_needs_model": baseline.needs_model, "rules": baseline.rules}
        if baseline and (gain := baseline.gain):
            facts |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
            every = baseline.against or (() if baseline.ceiling else (gain,))
            if any(one.low is not None and not one.freedom for one in every):
                raise ValueError(f"{name}: a gain has an interval, but no standard error with degrees of freedom")
            facts["against"] = [(one.value, one.error, one.freedom, one.skew) for one in every if one.freedom]
        if baseline and baseline.ceiling:
            facts["ceiling_name"], facts["ceiling"] = baseline.ceiling
        return cls(name=name, title=title, **facts)

    @property
    def key(self) -> str:
        """Name of the score in tables, cards, MLflow, DVC and `greenhouse compare` alike."""
        return self.column or self.name

    @property
    def task(self) -> str:
        """The eval task, or the branch of a training."""
        return self.name.split("/")[0]

    @property
    def is_tuned(self) -> bool:
        """Whether fine-tuning measured it."""
        return self.measured_by.startswith("finetune@")

    @property
    def shows_tuning(self) -> bool:
        """Whether it shows what tuning gained: beside the model before, with the paired gain."""
        return self.is_tuned and self.baseline_needs_model and self.gain is not None

    @property
    def reference(self) -> tuple[str, float | None]:
        """Name and score of the rule that it is shown with: one that has the ability whole, else the best."""
        if self.ceiling is not None:
            return self.ceiling_name, self.ceiling
        return self.baseline_name, self.baseline

    @property
    def has_learned(self) -> bool:
        """Whether it shows an ability that some rule has: it is surely above the best rule blind to what is asked."""
        return self.ceiling is not None and (self.gain_low or 0.0) > 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, without what is as its default says."""
        return self.model_dump(exclude_defaults=True)


def best_baseline(rules: list[Baseline], better: Better = "higher") -> Baseline:
    """The rule that scores best, the first of equal ones."""
    return (min if better == "lower" else max)(rules, key=lambda rule: rule.value)


def as_scores(facts: Mapping[str, Any]) -> list[Score]:
    """The scores in a stage's facts."""
    return [Score.model_validate(row) for row in facts.get("scores", [])]


def figures_of(scores: Iterable[Score]) -> dict[str, float]:
    """Scores by key, with the bounds of those that have a short name; what MLflow has."""
    values = dict[str, float]()
    for score in scores:
        values[score.key] = score.value
        for end, bound in (("_low", score.low), ("_high", score.high)):
            if score.column and bound is not None:
                values[score.key + end] = bound
    return values
