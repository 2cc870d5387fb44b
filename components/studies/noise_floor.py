"""Noise floor: how far a score moves from one training seed to another, and what that adds to a difference.

An interval over works says how the score would change on other works of the same kind, and nothing
of another seed: of two equal models with seed noise, one is "significantly" better in a third of
all pairs if works are all that counts (Bouthillier et al. 2021; Madaan et al. 2024). So the
interval of a difference here covers works and the seeds of either side, each with its own degrees of
freedom (`statistics.reach_of`).

Where no seeds were measured, the spread that ships (verdicts.py) serves models of the demo's size.
It was measured at other settings, at which seeds may move less; what they move here shows in all
scores of the model together. So it serves only if the model's other tasks moved no further than it
says. A change of settings that moves most scores is thereby not told from a seed that moves more
than it did: that takes trainings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.statistics import Difference, Spread, holm, reach_of

WIDENED = 1.5
"""Factor on a standard deviation that was measured at other settings."""

LEAST_OTHERS, DOUBT = 5, 0.1
"""Other tasks of the same model that tell whether the shipped spread holds; the p-value below which it doesn't."""
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
    """

    deviation: float
    freedom: float
    share: float
    note: str
    shipped: bool = False


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


def shipped_noise(deviation: float, trainings: int, a: Side, b: Side) -> SeedNoise | None:
    """Seed noise by the spread that ships; None of a score that no seed moved: it was at its ceiling."""
    if not deviation:
        return None
    share = sum(1.0 / max(1, len(side.runs)) for side in (a, b))
    return SeedNoise(deviation, trainings - 1.0, share, f"seed sd {deviation:.4f}, as shipped", shipped=True)


def over_seeds(difference: Difference, noise: SeedNoise) -> Difference:
    """The difference with its interval over works and seeds; it must have one over works."""
    seeds = noise.deviation * noise.share**0.5
    return difference.varying(*difference.spreads, Spread(difference.improvement, seeds, noise.freedom))


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
    noises = [_if_it_holds(row, noise, differences, noises) for row, noise in zip(differences, noises, strict=True)]
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


def _if_it_holds(
    row: Difference, noise: SeedNoise | None, rows: Sequence[Difference], noises: Sequence[SeedNoise | None]
) -> SeedNoise | None:
    """Shipped noise, if enough of the model's other tasks moved as it says; noise that was measured stays.

    The p-values of "the seeds moved it", one for each task, are combined by Fisher's method (1925).
    """
    from scipy.stats import combine_pvalues

    if noise is None or not noise.shipped:
        return noise
    moved: dict[str, float] = {}
    for other, theirs in zip(rows, noises, strict=True):
        task, known = other.name.split("/")[0], theirs is not None and theirs.shipped and other.low is not None
        if known and theirs and task not in (row.name.split("/")[0], *moved) and other.model == row.model:
            moved[task] = over_seeds(other, theirs).p
    holds = len(moved) >= LEAST_OTHERS and combine_pvalues([*moved.values()]).pvalue >= DOUBT
    return noise if holds else None


def detectable(difference: Difference) -> tuple[float, float]:
    """Smallest observed gain whose interval excludes zero, and the true gain that gives one in `POWER` of cases."""
    critical = reach_of(difference.spreads)
    return critical, critical + reach_of(difference.spreads, 2.0 * POWER - 1.0)
