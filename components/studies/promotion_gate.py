"""Promotion gate: whether the challenger replaces the champion (`promote`, `hold`, `inconclusive`), with reasons.

Promotion needs evidence, not luck: bits per byte must improve with the whole interval above zero, and no guarded
ability may be worse than its margin even at the pessimistic end of its interval (a non-inferiority test). What the
data cannot decide is `inconclusive`, and never promotes. Because every condition must hold at once, testing many
guards makes a promotion rarer, never easier; no correction for many tests is needed (Berger's intersection-union
test, 1982).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from components.statistics import DEFAULT, Difference, Resampling, paired_difference

PRIMARY = "bits_per_byte/bits_per_byte"
"""Metric that must improve: the one that is precise enough on small models to show a real gain."""

MARGINS: dict[str, float] = {
    "minimal_pairs/accuracy": 0.03,
    "few_shot/accuracy": 0.05,
    "recall/accuracy": 0.05,
    "open_book/accuracy": 0.05,
    "chain_of_thought/accuracy": 0.05,
    "masked/accuracy": 0.02,
    "pronoun_gap/gap": 0.15,
}
"""Guarded metrics, and how much worse (in the metric's unit) the challenger may be at the pessimistic bound."""

LIMITS: dict[str, float] = {"calibration/ece": 0.15, "memorisation/extracted": 0.5}
"""Metrics of metrics.json that the challenger must not exceed, whatever the champion does."""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    Attributes:
        verdict: promote, hold, or inconclusive.
        reasons: one sentence per condition that did not hold, or that carried the promotion.
        differences: what was compared, for the report.
    """

    verdict: Literal["promote", "hold", "inconclusive"]
    reasons: list[str]
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """Conditions of the gate. `noise_floor` is a gain in bits per byte that another seed could bring: not enough."""

    margins: Mapping[str, float] = field(default_factory=lambda: dict(MARGINS))
    limits: Mapping[str, float] = field(default_factory=lambda: dict(LIMITS))
    noise_floor: float = 0.0


RULES = Rules()


def judge(
    champion: Path,
    challenger: Path,
    metrics: Mapping[str, float] | None = None,
    rules: Rules = RULES,
    resampling: Resampling = DEFAULT,
    same_heldout: bool = True,
) -> Verdict:
    """Compare two evaluations.

    Args:
        champion, challenger: their `details/items.parquet`.
        metrics: the challenger's metrics.json, flat; for the absolute limits.
        rules: margins, limits and noise floor.
        resampling: resamples, confidence, seed.
        same_heldout: whether both were scored on the same held-out set (`heldout_sha256` of details/facts.json); if
            not, nothing can be concluded.
    """
    if not same_heldout:
        return Verdict(
            "inconclusive", ["the two were examined on different held-out sets, so their scores do not compare"]
        )
    differences = paired_difference(champion, challenger, resampling=resampling)
    return decide(differences, metrics or {}, rules)


def decide(differences: Sequence[Difference], metrics: Mapping[str, float], rules: Rules = RULES) -> Verdict:
    """The verdict from differences already measured; pure arithmetic."""
    by_name = {one.name: one for one in differences}
    findings = [_primary(by_name.get(PRIMARY), rules.noise_floor)]
    findings += [_non_inferior(by_name[name], margin) for name, margin in rules.margins.items() if name in by_name]
    findings += [_limit(name, metrics[name], limit) for name, limit in rules.limits.items() if name in metrics]
    for verdict in ("hold", "inconclusive"):
        reasons = [reason for found, reason in findings if found == verdict]
        if reasons:
            return Verdict(verdict, reasons, list(differences))  # type: ignore[arg-type]
    guarded = sum(name in by_name for name in rules.margins)
    return Verdict("promote", [findings[0][1], f"none of {guarded} guarded metrics is worse"], list(differences))


Finding = tuple[Literal["promote", "hold", "inconclusive"], str]


def _primary(one: Difference | None, noise_floor: float) -> Finding:
    """Bits per byte must improve, with the whole interval beyond the noise floor."""
    if one is None or one.low is None or one.high is None:
        return "inconclusive", "bits per byte has no interval on shared documents"
    text = f"bits per byte {one.a:.4f} -> {one.b:.4f}, improvement {_bounds(one)}"
    if one.low > noise_floor:
        return "promote", text
    if one.high < 0:
        return "hold", f"{text}: worse"
    return "inconclusive", f"{text}: not clearly above {noise_floor:g}"


def _bounds(one: Difference) -> str:
    return f"{one.improvement:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"


def _non_inferior(one: Difference, margin: float) -> Finding:
    """A guarded metric must not be worse than `margin` at the pessimistic end of its interval."""
    text = f"{one.name} {one.a:.4f} -> {one.b:.4f}"
    if one.low is None or one.high is None:
        return "inconclusive", f"{text}: too few independent items for an interval"
    text += f", improvement {_bounds(one)}"
    if one.high < -margin:
        return "hold", f"{text}: worse than the margin of {margin:g}"
    if one.low < -margin:
        return "inconclusive", f"{text}: may be worse than the margin of {margin:g}"
    return "promote", text


def _limit(name: str, value: float, limit: float) -> Finding:
    """An absolute limit on the challenger."""
    if value > limit:
        return "hold", f"{name} is {value:.4f}, above the limit of {limit:g}"
    return "promote", f"{name} is {value:.4f}, within {limit:g}"
