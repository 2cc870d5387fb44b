"""How often the gate promotes: equal models that differ in their seeds, and a model that is better.

Bits per byte of ten works, four documents each. A training seed moves all of a run's documents together (standard
deviation .013, docs/results.md) and each by itself; one model may suit some works better than the other. The better
model is judged by the shipped rule, with all its guards: probes in which both are equally able, as large, as able and
as far moved by seeds as those of the demo (three seeds). Equal models are judged without guards, which could only hide
a false promotion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any

import numpy as np

from benchmarks.evidence.rates import rate, rate_goal
from components.params.promote import RULES
from components.statistics import Rows
from components.studies.noise_floor import Scores, Side, seed_noise
from components.studies.promotion_gate import Evaluation, judge

WORKS, DOCUMENTS = 10, 4
SEED_SD, DOCUMENT_SD, WORK_SD = 0.013, 0.02, 0.02
"""Bits per byte: of a seed, of a seed on one document, of a model on one work."""
BETTER = 0.065
"""True gain that three runs a side are to find: intervals that also hold for lognormal works ask for more than .05."""
RULE = RULES["causal"]
BARE = RULE.model_copy(update={"guards": {}})


@dataclass(frozen=True)
class Probe:
    """Yes/no items of a guard: in groups that rise and fall together, each right with a chance of its own.

    Attributes:
        groups, items: how many groups, and items in each.
        mean: expected share right.
        seed_sd: by how much a seed moves the chance of all items, beside flipping each.
        baseline: share right of the best rule without a model.
    """

    groups: int
    items: int
    mean: float
    seed_sd: float
    baseline: float

    def chances(self, draw: np.random.Generator) -> np.ndarray:
        """Chance of each item of being right, (num_items,)."""
        return draw.beta(max(2.0 * self.mean, 1e-9), max(2.0 * (1.0 - self.mean), 1e-9), self.groups * self.items)

    def hits(self, draw: np.random.Generator, chances: np.ndarray, runs: int) -> np.ndarray:
        """What runs with other seeds have right, (runs, num_items)."""
        moved = chances + draw.normal(0.0, self.seed_sd, (runs, 1))
        return (draw.random((runs, len(chances))) < moved).astype(float)


PROBES = {
    "minimal_pairs/accuracy": Probe(132, 10, 0.61, 0.01, 0.5),
    "few_shot/accuracy": Probe(120, 2, 1.0, 0.0, 0.5),
    "recall/accuracy": Probe(52, 7, 0.93, 0.03, 0.17),
    "open_book/accuracy/record open": Probe(30, 4, 0.25, 0.01, 0.25),
    "chain_of_thought/accuracy/steps": Probe(120, 1, 0.85, 0.06, 0.43),
}
"""By guard of the shipped rule."""


@dataclass(frozen=True)
class Simulated(Evaluation):
    """An evaluation whose scored items were made up: `given`, by metric."""

    given: dict[str, Rows] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, Rows]:  # type: ignore[override]
        """The made-up items."""
        return self.given


def item_rows(
    rates: np.ndarray, sizes: np.ndarray, clusters: list[str], direction: str = "lower", condition: str = "",
    baseline: float | None = None,
) -> Rows:  # fmt: skip
    """Rows of items.parquet of one metric, as `difference` takes them."""
    common: dict[str, Any] = {"direction": direction, "stratum": ""}
    rows = zip(clusters, (rates * sizes).tolist(), sizes.tolist(), strict=True)
    return {
        (condition, str(item)): {
            "cluster": cluster, "score": score, "weight": weight,
            "baseline": None if baseline is None else baseline * weight, **common,
        }
        for item, (cluster, score, weight) in enumerate(rows)
    }  # fmt: skip


def noisy_runs(
    draw: np.random.Generator, gains: Sequence[float], runs: int
) -> tuple[list[Rows], dict[str, list[Scores]]]:
    """Rows of models a, b, ... with these true gains over the first, each the mean over runs with other seeds.

    Also the score of each run.
    """
    works = [str(work) for work in range(WORKS) for _ in range(DOCUMENTS)]
    hardness = np.repeat(draw.normal(2.2, 0.3, WORKS), DOCUMENTS)
    none = np.zeros(len(works))
    tastes = [none, *(np.repeat(draw.normal(0.0, WORK_SD, WORKS), DOCUMENTS) for _ in gains[1:])]
    sizes = np.repeat(draw.lognormal(8.0, 0.3, WORKS), DOCUMENTS)
    rows: list[Rows] = []
    scores: dict[str, list[Scores]] = {}
    for name, gain, taste in zip(ascii_lowercase, gains, tastes, strict=False):
        own = draw.normal(0.0, DOCUMENT_SD, (runs, len(works))) + draw.normal(0.0, SEED_SD, (runs, 1))
        rates = hardness - gain - taste + own
        rows.append(item_rows(rates.mean(0), sizes, works))
        scores[name] = [{RULE.primary: float((rate * sizes).sum() / sizes.sum())} for rate in rates]
    return rows, scores


def noisy_probe(draw: np.random.Generator, name: str, runs: int) -> tuple[list[Rows], dict[str, list[Scores]]]:
    """The same of a guard's probe, in which both are equally able."""
    probe, condition = PROBES[name], "/".join(name.split("/")[2:])
    chances, groups = probe.chances(draw), [str(group) for group in range(probe.groups)]
    rows: list[Rows] = []
    scores: dict[str, list[Scores]] = {}
    for side in ("a", "b"):
        hits = probe.hits(draw, chances, runs)
        rates = hits.mean(0).reshape(probe.groups, probe.items).mean(1)
        sizes = np.full(probe.groups, float(probe.items))
        rows.append(item_rows(rates, sizes, groups, "higher", condition, probe.baseline))
        scores[side] = [{name: float(run.mean())} for run in hits]
    return rows, scores


def verdict(draw: np.random.Generator, gain: float, runs: int, others: int = 0, guarded: bool = False) -> str:
    """The gate's verdict on one pair of models.

    Args:
        gain: of B over A in bits per byte.
        runs: of each side.
        others: further runs of the champion's settings, from which the noise floor is known; 0 takes it from the sides.
        guarded: whether the shipped guards stand.
    """
    measured = {RULE.primary: noisy_runs(draw, (0.0, gain), runs)}
    measured |= {name: noisy_probe(draw, name, runs) for name in RULE.guards if guarded}
    scores: dict[str, list[Scores]] = {
        side: [{name: made[side][run][name] for name, (_, made) in measured.items()} for run in range(runs)]
        for side in "ab"
    }
    a, b = (
        Simulated([], metrics=dict.fromkeys(RULE.limits, 0.0), given={
            "/".join(name.split("/")[:2]): rows[side] for name, (rows, _) in measured.items()
        })
        for side in range(2)
    )  # fmt: skip
    known = {"a": [_score(draw) for _ in range(others)]} if others else scores
    sides = [Side("a" if others else name, scores[name]) for name in "ab"]
    return judge(RULE if guarded else BARE, a, b, lambda metric: seed_noise(metric, sides[0], sides[1], known)).verdict


def _score(draw: np.random.Generator) -> Scores:
    """Bits per byte of another run of the champion's settings on the same works."""
    documents = draw.normal(0.0, DOCUMENT_SD / (WORKS * DOCUMENTS) ** 0.5)
    return {RULE.primary: 2.2 + draw.normal(0.0, SEED_SD) + documents}


def promoted(worlds: int, gain: float, runs: int, others: int = 0, guarded: bool = False, seed: int = 1) -> int:
    """Worlds in which B is promoted."""
    draw = np.random.default_rng(seed)
    return sum(verdict(draw, gain, runs, others, guarded) == "promote" for _ in range(worlds))


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """False promotions and power, with one run a side and with three; without guards, and the power with them too."""
    false = {
        "one run a side, noise floor of four": rate(promoted(worlds, 0.0, 1, others=4), worlds),
        "three runs a side": rate(promoted(worlds, 0.0, 3), worlds),
    }
    power = {
        "shipped guards": rate(promoted(worlds, BETTER, 3, guarded=True), worlds),
        "without guards": rate(promoted(worlds, BETTER, 3), worlds),
        "a gain of .09, one run a side, noise floor of four, without guards": rate(
            promoted(worlds, 0.09, 1, others=4), worlds
        ),
    }
    worst = max(false.values(), key=lambda row: row["high"])
    says = "equal models that differ in seeds (sd .013 bits per byte), no guards, promoted"
    better = (
        f"a model truly {BETTER:.3f} bits per byte better, ten works, three runs a side, "
        f"{len(RULE.guards)} guards, promoted"
    )
    return {"gate_false_promotion": false, "gate_power": power}, [
        rate_goal("gate_false_promotion_seeds", worst, 0.065, "lower", says),
        rate_goal("gate_power", power["shipped guards"], 0.8, "higher", better),
    ]
