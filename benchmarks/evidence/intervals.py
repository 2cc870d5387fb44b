"""How often intervals hold the truth: every estimator of components/statistics.py, in worlds of ten works.

Works differ as measured on the demo: rates with a standard deviation of a tenth to a fifth of their mean, skewed to the
right (skewness 1), sizes within a factor of two. Items of a work share its rate.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.evidence.gate import RULE, item_rows, noisy_runs
from benchmarks.evidence.rates import rate, rate_goal
from components.stages.finetune.classify import macro_f1
from components.statistics import difference, jackknife_interval, ratio
from components.studies.noise_floor import Side, over_seeds, seed_noise

WORKS, ITEMS = 10, 12
Bounds = tuple[float | None, float | None]
World = Callable[[np.random.Generator], tuple[Bounds, float]]
"""Draws a world: the interval that it gives, and the truth."""


def skewed(draw: np.random.Generator, count: int) -> np.ndarray:
    """Draws of mean 0, standard deviation 1 and skewness 1."""
    return (draw.gamma(4.0, size=count) - 4.0) / 2.0


def names(works: int) -> list[str]:
    """Cluster of each item."""
    return [str(work) for work in range(works) for _ in range(ITEMS)]


def bits_per_byte(draw: np.random.Generator, sources: int = 1) -> tuple[Bounds, float]:
    """Bits over bytes of ten works per source, the sources being strata."""
    works = WORKS * sources
    source = np.repeat(np.arange(sources), WORKS)
    rates = np.repeat(2.0 + 0.5 * source + 0.3 * skewed(draw, works), ITEMS) + 0.1 * draw.normal(size=works * ITEMS)
    sizes = np.repeat(draw.lognormal(8.0, 0.3, works), ITEMS)
    strata = [str(name) for name in np.repeat(source, ITEMS)]
    estimate = ratio(list(rates * sizes), list(sizes), names(works), strata)
    return (estimate.low, estimate.high), 2.0 + 0.25 * (sources - 1)


def share(mean: float) -> World:
    """A share of yes/no items, works of a source differ (correlation 0.1 within a work)."""

    def world(draw: np.random.Generator) -> tuple[Bounds, float]:
        of_work = draw.beta(9.0 * mean, 9.0 * (1.0 - mean), WORKS)
        hits = draw.random(WORKS * ITEMS) < np.repeat(of_work, ITEMS)
        estimate = ratio(list(hits.astype(float)), None, names(WORKS))
        return (estimate.low, estimate.high), mean

    return world


def independent(draw: np.random.Generator) -> tuple[Bounds, float]:
    """A share of ten independent yes/no items."""
    estimate = ratio(list((draw.random(WORKS) < 0.8).astype(float)))
    return (estimate.low, estimate.high), 0.8


def paired_bits(draw: np.random.Generator) -> tuple[Bounds, float]:
    """The paired difference of two models in bits per byte; one gains more on some works than on others."""
    hardness = np.repeat(2.0 + 0.3 * skewed(draw, WORKS), ITEMS)
    gains = 0.03 + np.repeat(0.02 * skewed(draw, WORKS), ITEMS) + 0.02 * draw.normal(size=WORKS * ITEMS)
    sizes = np.repeat(draw.lognormal(8.0, 0.3, WORKS), ITEMS)
    row = difference("bits", item_rows(hardness, sizes, names(WORKS)), item_rows(hardness - gains, sizes, names(WORKS)))
    assert row is not None
    return (row.low, row.high), 0.03


def paired_share(draw: np.random.Generator) -> tuple[Bounds, float]:
    """The paired difference of two models in a share of yes/no items."""
    of_item = np.clip(np.repeat(draw.beta(6.0, 4.0, WORKS), ITEMS) + 0.15 * draw.normal(size=WORKS * ITEMS), 0.05, 0.95)
    better = np.repeat(draw.normal(0.0, 0.05, WORKS), ITEMS)
    hits = [(draw.random(len(of_item)) < chance).astype(float) for chance in (of_item, of_item + better)]
    ones = np.ones(len(of_item))
    before, after = (item_rows(one, ones, names(WORKS), "higher") for one in hits)
    row = difference("share", before, after)
    assert row is not None
    return (row.low, row.high), 0.0


def macro_f1_of_works(draw: np.random.Generator) -> tuple[Bounds, float]:
    """Macro F1 of a classifier with three classes, whose accuracy differs from work to work."""
    truth = np.tile(np.arange(3), WORKS * ITEMS // 3)
    right = draw.random(WORKS * ITEMS) < np.repeat(draw.beta(14.0, 6.0, WORKS), ITEMS)
    guess = np.where(right, truth, (truth + 1 + draw.integers(0, 2, len(truth))) % 3)
    counts, work = np.zeros((WORKS, 2, 3)), np.repeat(np.arange(WORKS), ITEMS)
    np.add.at(counts[:, 0], (work, truth), right)
    for named in (truth, guess):
        np.add.at(counts[:, 1], (work, named), 1)
    return jackknife_interval(counts, macro_f1, sizes=np.full(WORKS, ITEMS)), 0.7


def works_and_seeds(draw: np.random.Generator) -> tuple[Bounds, float]:
    """The gate's interval: three runs a side, seed noise from these runs."""
    rows, scores = noisy_runs(draw, (0.0, 0.03), runs=3)
    row = difference("bits", rows[0], rows[1])
    noise = seed_noise(RULE.primary, Side("a", scores["a"]), Side("b", scores["b"]), scores)
    assert row is not None
    assert noise is not None
    row = over_seeds(row, noise)
    return (row.low, row.high), 0.03


ESTIMATORS: dict[str, World] = {
    "bits per byte": bits_per_byte,
    "bits per byte, two sources": partial(bits_per_byte, sources=2),
    **{f"share of {mean:g}": share(mean) for mean in (0.05, 0.25, 0.5, 0.9)},
    "share of ten independent items": independent,
    "paired bits per byte": paired_bits,
    "paired share": paired_share,
    "macro F1": macro_f1_of_works,
    "difference over works and seeds": works_and_seeds,
}


def covered(world: World, worlds: int, seed: int = 1) -> int:
    """Worlds whose interval holds the truth."""
    draw = np.random.default_rng(seed)
    hits = 0
    for _ in range(worlds):
        (low, high), truth = world(draw)
        assert low is not None
        assert high is not None
        hits += low - 1e-12 <= truth <= high + 1e-12
    return hits


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """Coverage of every estimator; the worst is the goal."""
    coverage = {name: rate(covered(world, worlds), worlds) for name, world in ESTIMATORS.items()}
    worst = min(coverage, key=lambda name: coverage[name]["low"])
    says = f"share of intervals at nominal 0.95 that hold the truth, ten works, worst of {len(coverage)}: {worst}"
    return {"interval_coverage": coverage}, [rate_goal("interval_coverage_min", coverage[worst], 0.92, "higher", says)]
