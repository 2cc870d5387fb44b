"""Verdicts: of the rows of a table, which are better than what stands beside them, which worse, and which not shown.

A row is better than counting if it is better than every rule that was posed on its items (an intersection-union test,
Berger 1982: the largest p-value counts), over works and over training seeds, after Holm's correction for all rows of
the table, and by a margin that its printed figures show. So a rule that is added can only make such rows fewer, and so
can a row. Where nobody measured how a score moves with the seed, nothing is shown. The spread that ships was
measured on the demo, and stands for models of other sizes and texts too.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from components.core.files import read_json
from components.scores import Score
from components.statistics import Spread, critical_t, holm, p_value, reach_of

Verdict = Literal["better", "not shown", "worse"]
COVERED = (
    "Intervals cover works or items, not training seeds; better and worse cover both, with Holm's correction; has "
    "learned covers items alone, this one training, without a correction."
)
"""Stands at every table of scores: why a gain whose interval excludes zero may not be shown."""
LEVEL = 0.05
"""Chance of one false "better" in a table, and of one false "worse"."""
PRINTED = 3
"""Decimals of printed scores: a bound that rounds to zero shows nothing."""


@cache
def shipped_spread() -> dict[str, tuple[float, int]]:
    """Row -> standard deviation of its score over trainings with other seeds, and their number (`study seeds`)."""
    known = read_json(Path(__file__).with_name("seed_spread.json"))
    return {name: (row["sd"], row["trainings"]) for name, row in known.items()}


def one_more(mean: float, sd: float, trainings: int) -> tuple[float, float]:
    """The 95% prediction interval of one more training, by mean and standard deviation of others."""
    reach = critical_t(trainings - 1, 0.95) * sd * (1 + 1 / trainings) ** 0.5
    return mean - reach, mean + reach


def row_name(score: Score) -> str:
    """The name of a score's row in the table of spreads: its model and its own."""
    return f"{score.model} {score.name}"


def verdicts(scores: Sequence[Score], spread: dict[str, tuple[float, int]] | None = None) -> dict[str, Verdict]:
    """Row -> verdict, of scores that rules were posed on; the others, such as before tuning, claim nothing of them."""
    known = shipped_spread() if spread is None else spread
    rows = {row_name(score): score for score in scores if score.rules and score.against}
    tails = {name: _tails(score, known.get(name)) for name, score in rows.items()}
    better, worse = (dict(zip(tails, holm([tail[side] for tail in tails.values()]), strict=True)) for side in (0, 1))
    verdicts_of: dict[str, Verdict] = {name: "worse" if worse[name] < LEVEL else "not shown" for name in rows}
    return verdicts_of | {name: "better" for name in rows if better[name] < LEVEL}


def verdict_text(score: Score, verdict_of: Mapping[str, str]) -> str:
    """The verdict on a score in words, with those on its parts, such as sources; of an ability that some rule has,
    whether it was learned."""
    if score.ceiling is not None:
        return "has learned" if score.has_learned else "not shown"
    verdict, prefix = verdict_of.get(row_name(score), ""), f"{row_name(score)}/"
    if verdict == "not shown":
        return verdict + _why_not(score)
    parts = [f"{name.removeprefix(prefix)} {part}" for name, part in verdict_of.items() if name.startswith(prefix)]
    return f"{verdict} in all; {', '.join(parts)}" if verdict and parts else verdict


def _why_not(score: Score) -> str:
    """Why a gain whose interval leaves out zero is not shown; "" of others."""
    low, high, name = score.gain_low, score.gain_high, row_name(score)
    if low is None or high is None or low <= 0.0 <= high:
        return ""
    if name not in shipped_spread():
        return ": its spread over seeds is not known"
    if verdicts([score])[name] != "not shown":
        return ": corrected for all rows (Holm)"
    alike = verdicts([score], {name: (0.0, 2)})[name] == "not shown"
    return ": another rule is as good" if alike else ": another seed may undo it"


def _tails(score: Score, spread: tuple[float, int] | None) -> tuple[float, float]:
    """p-values, two-sided, of being better than every rule and of being worse than the best."""
    if spread is None:
        return 1.0, 1.0
    ways: list[tuple[float, float]] = []
    for gain, *works in score.against:
        spreads = [Spread(gain, *works), Spread(gain, spread[0], spread[1] - 1)]
        shown = abs(gain) - reach_of(spreads, 1.0 - LEVEL)
        ways.append((gain, p_value(gain, spreads) if round(shown, PRINTED) > 0.0 else 1.0))
    lowest, p_worse = min(ways)
    return max(p if gain > 0.0 else 1.0 for gain, p in ways), p_worse if lowest < 0.0 else 1.0
