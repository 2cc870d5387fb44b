"""Promotion gate: whether the challenger replaces the champion (`promote`, `hold`, `inconclusive`), with reasons.

Judged is one registered model at a time, by its own primary metric: it must improve, with the whole
interval over works and seeds above zero. No guarded ability may be worse than its margin even at
the pessimistic end of its interval (a non-inferiority test); a probe that is not above its baseline
has nothing to lose and guards nothing. A guard names a score or the condition that is judged:
pooled with conditions at chance, a lost ability would hide within the margin; a score says which
condition its own is, such as the most examples of a curve. What the data cannot decide is
`inconclusive`, and never promotes: a guard that is missing, a seed noise that nobody measured.
Because every condition must hold at once, testing many guards makes a promotion rarer, never
easier; no correction for many tests is needed (Berger's intersection-union test, 1982).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from components.params import GateRule
from components.reporting.tables import interval
from components.scores import as_scores
from components.statistics import Difference, Rows, difference, mean_rows, paired_rows, ratio
from components.studies.noise_floor import POWER, NoiseOf, SeedNoise, detectable, over_seeds

Answer = Literal["promote", "hold", "inconclusive"]
Finding = tuple[Answer, str]


@dataclass(frozen=True)
class Evaluation:
    """An evaluated model.

    Attributes:
        items: `details/items.parquet` of one run, or of several of the same settings.
        facts: `details/facts.json` of the evaluate stage: its scores, and which tasks were skipped.
        metrics: its metrics.json, flat; for the limits.
    """

    items: Sequence[Path]
    facts: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """Scored items by metric, `task/metric`; read once, for every guard asks for some."""
        return mean_rows(self.items)

    def rows_of(self, name: str) -> Rows:
        """Scored items of a metric, or of one of its conditions, `task/metric/condition`."""
        parts = name.split("/", 2)
        rows = self.rows.get("/".join(parts[:2]), {})
        return {key: row for key, row in rows.items() if len(parts) < 3 or key[0] == parts[2]}

    def items_of(self, name: str) -> str:
        """The metric or condition that is judged by a name: that of the score of this name, if it says one."""
        return next((score.items for score in as_scores(self.facts) if score.name == name and score.items), name)

    def above_baseline(self, metric: str) -> bool | None:
        """Whether items of a metric (and condition) are above their baseline; None without one."""
        rows = list(self.rows_of(metric).values())
        if not rows or any(row.get("baseline") is None for row in rows):
            return None
        lower = rows[0]["direction"] == "lower"
        gains = [row["baseline"] - row["score"] if lower else row["score"] - row["baseline"] for row in rows]
        weights, clusters, strata = ([row[name] for row in rows] for name in ("weight", "cluster", "stratum"))
        low = ratio(gains, weights, clusters, strata, paired=True).low
        return None if low is None else low > 0.0

    def skips(self, metric: str) -> bool:
        """Whether the metric's task does not apply here."""
        return metric.split("/")[0] in self.facts.get("skipped", {})


@dataclass(frozen=True)
class GateVerdict:
    """The gate's answer.

    Attributes:
        verdict: promote, hold, or inconclusive.
        reasons: one sentence per condition that did not hold, or that carried the promotion.
        detectable: the smallest gain that could be told from none, or why it is not known, in
            words; "" if the primary metric was not compared.
        notes: what was not guarded and why, where the seed noise is from.
        differences: what was compared, for the report.
    """

    verdict: Answer
    reasons: list[str]
    detectable: str = ""
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def lines(self) -> list[str]:
        """All of it as sentences; what could be found comes before what was."""
        return [line for line in (self.detectable, f"verdict: {self.verdict}", *self.reasons, *self.notes) if line]


def judge(
    rule: GateRule,
    champion: Evaluation,
    challenger: Evaluation,
    noise_of: NoiseOf,
    same_heldout: bool = True,
) -> GateVerdict:
    """Compare two evaluations of one registered model.

    Args:
        rule: its primary metric, guards and limits.
        champion, challenger: what was evaluated.
        noise_of: seed noise by metric.
        same_heldout: whether both were scored on the same held-out set; if not, nothing can be
            concluded.
    """
    if not same_heldout:
        return GateVerdict(
            "inconclusive", ["the two were examined on different held-out sets, so their scores do not compare"]
        )
    rule = rule.model_copy(update={"guards": {challenger.items_of(name): most for name, most in rule.guards.items()}})
    differences = paired_rows(champion.rows, challenger.rows)
    for name in rule.guards:
        if name.count("/") > 1:
            row = difference(name, champion.rows_of(name), challenger.rows_of(name))
            differences += [row] if row else []
    return decide(rule, champion, challenger, noise_of, differences)


def decide(
    rule: GateRule,
    champion: Evaluation,
    challenger: Evaluation,
    noise_of: NoiseOf,
    differences: Sequence[Difference],
) -> GateVerdict:
    """The verdict from differences already measured; pure arithmetic."""
    by_name = {row.name: row for row in differences}
    primary, primary_finding = _primary(rule.primary, by_name.get(rule.primary), noise_of(rule.primary))
    findings, notes = [primary_finding], []
    for name, margin in rule.guards.items():
        if champion.skips(name) and challenger.skips(name):
            notes.append(f"{name} guards nothing: it applies to neither")
        elif champion.above_baseline(name) is False:
            notes.append(f"{name} guards nothing: the champion is not above what a blind rule gets")
        else:
            findings.append(_non_inferior(name, by_name.get(name), noise_of(name), margin))
    findings += [_limit(name, challenger, limit) for name, limit in rule.limits.items()]
    if noise := noise_of(rule.primary):
        notes.append(f"{rule.primary}: {noise.note}")
    detectable_gain = _detectable_gain(rule.primary, by_name.get(rule.primary), primary)
    verdict: Answer = "promote"
    for answer in ("inconclusive", "hold"):
        verdict = answer if any(given == answer for given, _ in findings) else verdict  # type: ignore[assignment]
    reasons = [reason for given, reason in findings if given == verdict]
    if verdict == "promote":
        reasons = [reasons[0], f"none of {len(findings) - 1} guards and limits is broken"]
    return GateVerdict(verdict, reasons, detectable_gain, notes, list(differences))


def _detectable_gain(name: str, works: Difference | None, over_both: Difference | None) -> str:
    """Smallest gain that can be told from none, over works and seeds, as far as it is known."""
    intro = f"smallest gain in {name} that can be told from none: "
    if works is None:
        return ""
    if works.low is None:
        return f"{intro}not known, too few works for an interval"
    detected, likely = detectable(over_both or works)
    if over_both is None:
        return f"{intro}not known without the noise of seeds, which adds to the {detected:.4f} that works alone ask for"
    return f"{intro}{detected:.4f}; a true gain of {likely:.4f} is found in {POWER:.0%} of cases"


def _primary(name: str, row: Difference | None, noise: SeedNoise | None) -> tuple[Difference | None, Finding]:
    """The primary metric over works and seeds: its whole interval must be above zero."""
    if row is None:
        text = f"{name}: the two share no scored item: other held-out examples, another task, or not evaluated"
        text += " (of models tuned on rows of one's own only classifiers are)"
        return None, ("inconclusive", text)
    if row.low is None:
        return None, ("inconclusive", f"{name} has no interval on shared items: too few works")
    if noise is None:
        assert row.high is not None
        outcome, seed = "not clearly above zero", "a lucky seed would do"
        if row.high < 0.0:
            outcome, seed = "worse on these works", "an unlucky seed would do"
        elif row.low > 0.0:
            outcome = "better on these works"
        gain = interval(row.improvement, row.low, row.high, "+.4f")
        text = f"{name} {row.a:.4f} -> {row.b:.4f}, improvement {gain} over works alone: {outcome}"
        return None, ("inconclusive", f"{text}; seed noise not measured, so {seed}; run `greenhouse study seeds`")
    row = over_seeds(row, noise)
    assert row.low is not None
    assert row.high is not None
    gain = interval(row.improvement, row.low, row.high, "+.4f")
    text = f"{name} {row.a:.4f} -> {row.b:.4f}, improvement {gain} over works and seeds"
    if row.low > 0.0:
        return row, ("promote", text)
    return row, ("hold", f"{text}: worse") if row.high < 0.0 else ("inconclusive", f"{text}: not clearly above zero")


def _non_inferior(name: str, row: Difference | None, noise: SeedNoise | None, margin: float) -> Finding:
    """A guarded metric must not be worse than `margin` at the pessimistic end of its interval."""
    if row is None:
        return "inconclusive", f"{name} is guarded, but one of the two was not evaluated on it"
    text = f"{name} {row.a:.4f} -> {row.b:.4f}"
    if row.low is None or noise is None:
        return "inconclusive", f"{text}: {'seed noise not measured' if row.low is not None else 'too few clusters'}"
    row = over_seeds(row, noise)
    assert row.low is not None
    assert row.high is not None
    text += f", improvement {interval(row.improvement, row.low, row.high, '+.4f')}"
    if row.high < -margin:
        return "hold", f"{text}: worse than the margin of {margin:g}"
    if row.low < -margin:
        return "inconclusive", f"{text}: may be worse than the margin of {margin:g}"
    return "promote", text


def _limit(name: str, challenger: Evaluation, limit: float) -> Finding:
    """An absolute limit on the challenger."""
    if challenger.skips(name):
        return "promote", f"{name} does not apply"
    if name not in challenger.metrics:
        return "inconclusive", f"{name} has a limit of {limit:g}, but was not evaluated"
    value = challenger.metrics[name]
    return ("hold" if value > limit else "promote"), f"{name} is {value:.4f}, the limit is {limit:g}"
