"""How often the gate promotes: equal models that differ in their seeds, and a model that is better.

Bits per byte of ten works, four documents each. A training seed moves all of a run's documents together (standard
deviation .013, docs/scaling.md) and each by itself; one model may suit some works better than the other. The guard is a
probe of 1,320 yes/no items in 132 groups (as minimal pairs are in the demo), whose items a seed flips.
"""

from typing import Any

import numpy as np

from benchmarks.evidence.rates import rate, rate_goal
from components.params import GateRule
from components.statistics import Resampling, Rows, difference
from components.studies.noise_floor import Scores, Side, seed_noise
from components.studies.promotion_gate import Evaluation, decide

WORKS, DOCUMENTS = 10, 4
SEED_SD, DOCUMENT_SD, WORK_SD = 0.013, 0.02, 0.02
"""Bits per byte: of a seed, of a seed on one document, of a model on one work."""
GROUPS, ITEMS = 132, 10
RULE = GateRule(primary="bits", guards={"pairs": 0.05})
QUICK = Resampling(resamples=20)


def bits_rows(rates: np.ndarray, sizes: np.ndarray, clusters: list[str], direction: str = "lower") -> Rows:
    """Rows of items.parquet of one metric, as `difference` takes them."""
    common: dict[str, Any] = {"direction": direction, "stratum": ""}
    rows = zip(clusters, (rates * sizes).tolist(), sizes.tolist(), strict=True)
    return {
        ("", str(item)): {"cluster": cluster, "score": score, "weight": weight, **common}
        for item, (cluster, score, weight) in enumerate(rows)
    }


def noisy_runs(draw: np.random.Generator, gain: float, runs: int) -> tuple[list[Rows], dict[str, list[Scores]]]:
    """Rows of models A and B, each the mean over runs with other seeds, and each run's score."""
    works = [str(work) for work in range(WORKS) for _ in range(DOCUMENTS)]
    hardness = np.repeat(draw.normal(2.2, 0.3, WORKS), DOCUMENTS)
    taste = np.repeat(draw.normal(0.0, WORK_SD, WORKS), DOCUMENTS)
    sizes = np.repeat(draw.lognormal(8.0, 0.3, WORKS), DOCUMENTS)
    rows: list[Rows] = []
    scores: dict[str, list[Scores]] = {}
    for name, better in (("a", 0.0), ("b", gain + taste)):
        own = draw.normal(0.0, DOCUMENT_SD, (runs, len(works))) + draw.normal(0.0, SEED_SD, (runs, 1))
        rates = hardness - better + own
        rows.append(bits_rows(rates.mean(0), sizes, works))
        scores[name] = [{"bits": float((rate * sizes).sum() / sizes.sum())} for rate in rates]
    return rows, scores


def noisy_probe(draw: np.random.Generator, runs: int) -> tuple[list[Rows], dict[str, list[Scores]]]:
    """The same of a probe in which both are equally able: each item has a chance of being right."""
    chance = draw.beta(1.3, 0.7, GROUPS * ITEMS)
    groups, sizes = [str(group) for group in range(GROUPS)], np.full(GROUPS, float(ITEMS))
    rows: list[Rows] = []
    scores: dict[str, list[Scores]] = {}
    for name in ("a", "b"):
        hits = (draw.random((runs, len(chance))) < chance).astype(float)
        rows.append(bits_rows(hits.mean(0).reshape(GROUPS, ITEMS).mean(1), sizes, groups, "higher"))
        scores[name] = [{"pairs": float(run.mean())} for run in hits]
    return rows, scores


def verdict(draw: np.random.Generator, gain: float, runs: int, others: int = 0) -> str:
    """The gate's verdict on one pair of models.

    Args:
        gain: of B over A in bits per byte.
        runs: of each side.
        others: further runs of the champion's settings, from which the noise floor is known; 0 takes it from the sides.
    """
    (bits, bit_scores), (pairs, pair_scores) = noisy_runs(draw, gain, runs), noisy_probe(draw, runs)
    differences = [difference("bits", bits[0], bits[1], QUICK), difference("pairs", pairs[0], pairs[1], QUICK)]
    scores: dict[str, list[Scores]] = {
        name: [{**one, **two} for one, two in zip(bit_scores[name], pair_scores[name], strict=True)] for name in "ab"
    }
    sides = [Side(name, scores[name]) for name in "ab"]
    known = scores
    if others:
        known = {"a": [_score(draw) for _ in range(others)]}
        sides = [Side("a", scores[name]) for name in "ab"]

    answer = decide(
        RULE, Evaluation([]), Evaluation([]), lambda metric: seed_noise(metric, sides[0], sides[1], known),
        [row for row in differences if row], QUICK.confidence,
    )  # fmt: skip
    return answer.verdict


def _score(draw: np.random.Generator) -> Scores:
    """Scores of another run of the champion's settings on the same works."""
    items = GROUPS * ITEMS
    bits = draw.normal(0.0, SEED_SD) + draw.normal(0.0, DOCUMENT_SD / (WORKS * DOCUMENTS) ** 0.5)
    return {"bits": 2.2 + bits, "pairs": 0.65 + draw.normal(0.0, (0.152 / items) ** 0.5)}


def promoted(worlds: int, gain: float, runs: int, others: int = 0, seed: int = 1) -> int:
    """Worlds in which B is promoted."""
    draw = np.random.default_rng(seed)
    return sum(verdict(draw, gain, runs, others) == "promote" for _ in range(worlds))


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """False promotions with one run a side and with three; power with three."""
    false = {
        "one run a side, noise floor of four": rate(promoted(worlds, 0.0, 1, others=4), worlds),
        "three runs a side": rate(promoted(worlds, 0.0, 3), worlds),
    }
    power = rate(promoted(worlds, 0.05, 3), worlds)
    worst = max(false.values(), key=lambda row: row["high"])
    says = "equal models that differ in seeds (sd .013 bits per byte), promoted"
    better = "a model truly .05 bits per byte better, ten works, three runs a side, promoted"
    return {"gate_false_promotion": false, "gate_power": power}, [
        rate_goal("gate_false_promotion_seeds", worst, 0.065, "lower", says),
        rate_goal("gate_power", power, 0.8, "higher", better),
    ]
