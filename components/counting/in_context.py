"""Rules that answer from what stands in the prompt: copying, counting which words are alike, and saying any one.

A prompt has a few choices, of which one is right. Each rule gives every choice a score; of equal
ones any may be said.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from components.counting.training_text import TrainingText

Asked = tuple[str, Sequence[str]]
"""A prompt and the choices of what follows it."""
Choose = Callable[[Asked], list[float]]


def longest_match(before: str, text: str, following: str = "") -> int:
    """Characters of the longest end of `before` that stands in `text`, with `following` right after it; else -1."""
    if following not in text:
        return -1
    low, high = 0, len(before)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if before[-middle:] + following in text else (low, middle - 1)
    return low


def copied(seen: TrainingText) -> Choose:
    """Whatever followed the longest match of the end of the prompt, earlier in the prompt."""
    return lambda asked: [longest_match(asked[0], asked[0], choice) for choice in asked[1]]


def alike(seen: TrainingText) -> Choose:
    """The label of those examples whose words had one label in training text, whatever the label."""
    same: Counter[tuple[str, str, bool]] = Counter()
    for line in re.findall(r"^[a-z]+: ?(.+)$", seen.text, re.M):
        pairs = dict(zip(*[iter(line.split())] * 2, strict=False))
        for (one, label), (other, other_label) in combinations(sorted(pairs.items()), 2):
            same[one, other, label == other_label] += 1

    def choose(asked: Asked) -> list[float]:
        *words, last = asked[0].split()[1:]
        scores = dict.fromkeys((choice.strip() for choice in asked[1]), 0.0)
        for word, label in zip(words[::2], words[1::2], strict=False):
            one, other = sorted((word, last))
            odds = np.log((same[one, other, True] + 0.5) / (same[one, other, False] + 0.5))
            scores |= {name: scores[name] + (odds if name == label else -odds) for name in scores}
        return list(scores.values())

    return choose


def blind(score: Callable[[list[int]], float]) -> Callable[[TrainingText], Choose]:
    """A rule that knows of each choice only where in the prompt it stands: what `score` makes of the places."""

    def fit(seen: TrainingText) -> Choose:
        def choose(asked: Asked) -> list[float]:
            prompt, choices = asked
            by_choice = [[match.start() for match in re.finditer(re.escape(choice), prompt)] for choice in choices]
            return [score(positions) for positions in by_choice]

        return choose

    return fit


def right_share(scores: Sequence[float], right: int) -> float:
    """Chance that the right choice is said: 0, or one of those that share the best score."""
    best = max(scores)
    return (scores[right] == best) / sum(score == best for score in scores)
