"""How often a classifier's threshold of answers (finetune/answer_threshold.py) promises fewer errors than there are.

In every world the share of wrong answers is `MOST` at every probability, so that any threshold that promises less, or
just as much, would have been luck: the error lies at the edge of the promise, where a false one is likeliest. In worlds
of works the share differs from work to work, a little or so that most works are all right or all wrong. What a
threshold is good for is the power: of classifiers whose probability is their chance of being right, how many get one.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.evidence.rates import rate, rate_goal
from components.stages.finetune.answer_threshold import AnswerThreshold, answer_thresholds

MOST, TEXTS = 0.1, 300
World = Callable[[np.random.Generator], list[AnswerThreshold]]


def independent(draw: np.random.Generator) -> list[AnswerThreshold]:
    """Texts on their own."""
    return answer_thresholds(_sure(draw), draw.random(TEXTS) >= MOST, [str(text) for text in range(TEXTS)])


def of_works(works: int, correlation: float) -> World:
    """Texts of so many works, whose errors are correlated within a work."""

    def world(draw: np.random.Generator) -> list[AnswerThreshold]:
        sizes = draw.multinomial(TEXTS - works, draw.dirichlet(np.full(works, 3.0))) + 1
        scale = 1.0 / correlation - 1.0
        wrong = np.repeat(draw.beta(scale * MOST, scale * (1.0 - MOST), works), sizes)
        names = [str(work) for work, size in enumerate(sizes) for _ in range(size)]
        return answer_thresholds(_sure(draw), draw.random(TEXTS) >= wrong, names)

    return world


def calibrated(draw: np.random.Generator) -> list[AnswerThreshold]:
    """Texts on their own, of a classifier of two classes that is right as often as its probability says."""
    sure = _sure(draw)
    return answer_thresholds(sure, draw.random(TEXTS) < sure, [str(text) for text in range(TEXTS)])


WORLDS: dict[str, World] = {"independent texts": independent} | {
    f"{works} works, correlation {correlation:g}": of_works(works, correlation)
    for works in (10, 40, 100)
    for correlation in (0.1, 0.5, 0.9)
}


def _sure(draw: np.random.Generator) -> np.ndarray:
    """Probabilities of the likelier of two classes, most of them high."""
    return 0.5 + 0.5 * draw.beta(2.0, 1.0, TEXTS)


def false_promises(world: World, worlds: int, seed: int = 1) -> int:
    """Worlds in which some threshold is said to keep the share of wrong answers at `MOST` or less."""
    draw = np.random.default_rng(seed)
    return sum(any(one.error <= MOST and one.threshold is not None for one in world(draw)) for _ in range(worlds))


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """Rates of false promises, the worst of which is the goal, and of true ones."""
    false = {name: rate(false_promises(world, worlds), worlds) for name, world in WORLDS.items()}
    found = {"false": false, "found, calibrated": rate(false_promises(calibrated, worlds), worlds)}
    worst = max(false, key=lambda name: false[name]["high"])
    says = f"a threshold of answers with more errors than it promises, worst of {len(false)}: {worst}"
    return {"answer_threshold": found}, [rate_goal("answer_threshold_false", false[worst], 0.065, "lower", says)]
