"""Noise floor: how far a score moves from one training seed to another, and what that adds to a difference.

An interval over works says how the score would change on other works of the same kind, and nothing
of another seed: of two equal models with seed noise, one is "significantly" better in a third of
all pairs if works are all that counts (Bouthillier et al. 2021; Madaan et al. 2024). So the
interval of a difference here covers works and the seeds of either side, each with its own degrees of
freedom (`statistics.reach_of`).

Where no seeds were measured, the spread that ships (verdicts.py) serves models of the demo's size.
Its standard deviations, each of a few trainings, are first drawn towards each other as far as they
look like measurements of one (Smyth 2004). It was measured at other settings, at which seeds may
move less; what they move here shows in all scores of the model together. So each interval is
widened by the factor by which the model's other tasks moved farther than it says (Birge 1932), and
there is none if those are few. A change of settings that moves most scores is thereby not told from
a seed that moves more than it did: that takes trainings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from components.statistics import Difference, Spread, holm, reach_of

WIDENED = 1.5
"""Factor on a standard deviation that was measured at other settings."""

LEAST_OTHERS = 5
"""Other tasks of the same model that tell how far the shipped spread holds."""
ALIKE = 100.0
"""Degrees of freedom of standard deviations that vary no more than measurements of a single one do."""
POWER = 0.8

Scores = Mapping[str, float]
"""Score of a run by metric (`bits_per_byte/bits_per_byte`)."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the settings of its model, and the scores of the runs that were averaged for it."""

    settings: str
    runs: Sequence[Scores]


@dataclass(frozen=True)
class SeedNoise:
    """Seed noise of a comparison in one metric.

    Attributes:
        deviation: standard deviation of the score over seeds.
        freedom: its degrees of freedom.
        share: factor on its square that gives the variance of the difference: 1 / runs of each
            side, more if borrowed.
        note: where it comes from, in words.
        shipped: whether it is the one that ships, not measured here.
        factor: by which all errors of the difference are widened, known as firmly as `freedom` says.
    """

    deviation: float
    freedom: float
    share: float
    note: str
    shipped: bool = False
    factor: float = 1.0


ONE_TRAINING = SeedNoise(0.0, 1.0, 0.0, "one training")
"""Where both sides are the same model."""
NoiseOf = Callable[[str], SeedNoise | None]
"""Seed noise of a metric; None if it was not measured."""


def seed_noise(metric: str, a: Side, b: Side, known: Mapping[str, Sequence[Scores]]) -> SeedNoise | None:
    """Seed noise of a metric; None if no setting has two runs.

    Args:
        metric: its name.
        a, b: the sides.
        known: settings -> scores of all runs of these settings, for this model and held-out set.
    """
    values = {name: [run[metric] for run in runs if metric in run] for name, runs in known.items()}
    measured = {name: scores for name, scores in values.items() if len(scores) > 1}
    of_sides = {name: scores for name, scores in measured.items() if name in (a.settings, b.settings)}
    used = of_sides or measured
    if not used:
        return None
    freedom = sum(len(scores) - 1 for scores in used.values())
    variance = sum((len(scores) - 1) * float(np.var(scores, ddof=1)) for scores in used.values()) / freedom
    borrowed = [side.settings not in used for side in (a, b)]
    share = sum(
        (WIDENED**2 if lent else 1.0) / max(1, len(side.runs)) for side, lent in zip((a, b), borrowed, strict=True)
    )
    count = sum(map(len, used.values()))
    where = (
        "borrowed from other settings and widened",
        "of one side, borrowed and widened for the other",
        "of both sides",
    )
    note = f"seed sd {variance**0.5:.4f} from {count} runs {where[2 - sum(borrowed)] if of_sides else where[0]}"
    return SeedNoise(variance**0.5, float(freedom), share, note)


def shipped_noise(spread: Mapping[str, tuple[float, int]], metric: str, a: Side, b: Side) -> SeedNoise | None:
    """Seed noise by the spread that ships; None if it lacks the metric or no seed moved it: it was at its ceiling.

    Args:
        spread: metric -> standard deviation and number of trainings, of all metrics of this model.
        metric: the one that is asked for.
        a, b: the sides.
    """
    known = {name: (deviation, trainings - 1.0) for name, (deviation, trainings) in spread.items() if deviation}
    if metric not in known:
        return None
    (deviation, own), (typical, like) = known[metric], _prior(tuple(known.values()))
    deviation = ((own * deviation**2 + like * typical**2) / (own + like)) ** 0.5
    share = sum(1.0 / max(1, len(side.runs)) for side in (a, b))
    return SeedNoise(deviation, own + like, share, f"seed sd {deviation:.4f}, as shipped", shipped=True)


@cache
def _prior(measured: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    """Standard deviation that those measured, each with its degrees of freedom, vary around, and how firmly.

    Of an inverse chi-squared distribution of true variances, by the moments of the logarithms of
    the measured ones (Smyth 2004, section 6.2); its degrees of freedom are at most `ALIKE`.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    deviations, freedom = np.array(measured).T
    centred = 2.0 * np.log(deviations) - digamma(freedom / 2.0) + np.log(freedom / 2.0)
    excess = float(np.var(centred, ddof=1) - polygamma(1, freedom / 2.0).mean()) if len(measured) > 1 else np.inf
    if excess >= polygamma(1, 0.01):
        return 0.0, 0.0
    half = ALIKE / 2.0
    if excess > polygamma(1, half):
        half = brentq(lambda value: float(polygamma(1, value)) - excess, 0.01, half)
    return float(np.exp(0.5 * (centred.mean() + digamma(half) - np.log(half)))), 2.0 * half


def over_seeds(difference: Difference, noise: SeedNoise) -> Difference:
    """The difference with its interval over works and seeds; it must have one over works."""
    seeds = Spread(difference.improvement, noise.deviation * noise.share**0.5, noise.freedom)
    spreads = [*difference.spreads, seeds]
    if noise.factor != 1.0:
        freedom = noise.freedom
        spreads = [replace(one, error=one.error * noise.factor, freedom=min(freedom, one.freedom)) for one in spreads]
    return difference.varying(*spreads)


def same(row: Difference) -> bool:
    """Whether the two models did the same on every item."""
    return (row.a, row.low, row.high) == (row.b, 0.0, 0.0)


def all_over_seeds(differences: Sequence[Difference], noise_of: NoiseOf) -> tuple[list[Difference], list[str]]:
    """Differences over works and seeds where the noise is known, and the names of those whose interval lacks it.

    Two corrections for all rows (Holm): `p_files` of what the two files differ in, over works alone;
    `p_holm` of what the settings do, 1 where the noise is not known. Both leave out what is the same
    because the model is: there nothing is tested, and however few works there are, the interval is
    zero.
    """
    noises = [noise_of(row.name) for row in differences]
    noises = [_widened(row, noise, differences, noises) for row, noise in zip(differences, noises, strict=True)]
    tested = [not (noise == ONE_TRAINING and row.a == row.b) for row, noise in zip(differences, noises, strict=True)]
    rows = [
        replace(row, low=0.0, high=0.0)
        if not test
        else over_seeds(row, noise)
        if noise and row.low is not None
        else row
        for row, noise, test in zip(differences, noises, tested, strict=True)
    ]
    files = holm([row.p for row, test in zip(differences, tested, strict=True) if test])
    known = [row.p if noise else 1.0 for row, noise in zip(rows, noises, strict=True)]
    settings = holm([p for p, test in zip(known, tested, strict=True) if test])
    both = iter(zip(files, settings, strict=True))
    corrected = [next(both) if test else (1.0, 1.0) for test in tested]
    return [replace(row, p_files=of_files, p_holm=p) for row, (of_files, p) in zip(rows, corrected, strict=True)], [
        row.name for row, noise in zip(rows, noises, strict=True) if row.low is not None and not noise
    ]


def _widened(
    row: Difference, noise: SeedNoise | None, rows: Sequence[Difference], noises: Sequence[SeedNoise | None]
) -> SeedNoise | None:
    """Shipped noise, wider if the model's other tasks moved farther than it says, with as many degrees of freedom.

    None if too few tasks tell; noise that was measured stays.
    """
    if noise is None or not noise.shipped:
        return noise
    moved: dict[str, float] = {}
    for other, theirs in zip(rows, noises, strict=True):
        task, known = other.name.split("/")[0], theirs is not None and theirs.shipped and other.low is not None
        if known and theirs and task not in (row.name.split("/")[0], *moved) and other.model == row.model:
            moved[task] = other.improvement / over_seeds(other, theirs).error
    if len(moved) < LEAST_OTHERS:
        return None
    factor = max(1.0, float(np.mean(np.square([*moved.values()]))) ** 0.5)
    return replace(noise, freedom=min(noise.freedom, len(moved)), factor=factor)


def detectable(difference: Difference) -> tuple[float, float]:
    """Smallest observed gain whose interval excludes zero, and the true gain that gives one in `POWER` of cases."""
    critical = reach_of(difference.spreads)
    return critical, critical + reach_of(difference.spreads, 2.0 * POWER - 1.0)
