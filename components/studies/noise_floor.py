"""Noise floor: how far a score moves from one training seed to another, and what that adds to a difference.

An interval over works says how the score would change on other works of the same kind, and nothing
of another seed: of two equal models with seed noise, one is "significantly" better in a third of
all pairs if works are all that counts (Bouthillier et al. 2021; Madaan et al. 2024). So the
variance of a difference here is that over works plus that of the seeds on either side, and its
degrees of freedom are Satterthwaite's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.statistics import Difference, critical_t, holm
from components.verdicts import over_works_and_seeds

WIDENED = 1.5
"""Factor on a standard deviation that was measured at other settings."""

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
    """

    deviation: float
    freedom: float
    share: float
    note: str


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


def over_seeds(difference: Difference, noise: SeedNoise) -> Difference:
    """The difference with its interval over works and seeds; it must have one over works."""
    from scipy.special import stdtr

    seeds = noise.deviation * noise.share**0.5
    error, freedom = over_works_and_seeds(difference.error, difference.freedom, seeds, noise.freedom)
    if error == 0.0:
        return difference
    reach = critical_t(freedom) * error
    low, high = difference.improvement - reach, difference.improvement + reach
    p = 2.0 * float(stdtr(freedom, -abs(difference.improvement) / error))
    return replace(difference, low=low, high=high, error=error, freedom=freedom, p=p)


def same(row: Difference) -> bool:
    """Whether the two models did the same on every item."""
    return (row.a, row.low, row.high) == (row.b, 0.0, 0.0)


def all_over_seeds(differences: Sequence[Difference], noise_of: NoiseOf) -> tuple[list[Difference], list[str]]:
    """Differences over works and seeds where the noise is known, and the names of those whose interval lacks it.

    Holm's correction leaves out what is the same because the model is: there nothing is tested, and
    however few works there are, the interval is zero.
    """
    noises = [noise_of(row.name) for row in differences]
    rows = []
    for row, noise in zip(differences, noises, strict=True):
        if noise == ONE_TRAINING and row.a == row.b:
            rows.append(replace(row, low=0.0, high=0.0))
        else:
            rows.append(over_seeds(row, noise) if noise and row.low is not None else row)
    untested = [same(row) and noise == ONE_TRAINING for row, noise in zip(rows, noises, strict=True)]
    p_holm = iter(holm([row.p for row, left_out in zip(rows, untested, strict=True) if not left_out]))
    corrected = [replace(row, p_holm=1.0 if out else next(p_holm)) for row, out in zip(rows, untested, strict=True)]
    return corrected, [row.name for row, noise in zip(rows, noises, strict=True) if row.low is not None and not noise]


def detectable(difference: Difference) -> tuple[float, float]:
    """Smallest observed gain whose interval excludes zero, and the true gain that gives one in `POWER` of cases."""
    critical = critical_t(difference.freedom) * difference.error
    return critical, critical + critical_t(difference.freedom, 2.0 * POWER - 1.0) * difference.error
