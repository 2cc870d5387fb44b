"""How positive or negative the sentences are that mention a group, beside others of the same source.

Sentiment is VADER's `compound` (Hutto and Gilbert 2014): a lexicon with rules for negation and degree, from -1 to 1,
made for English social media. It is slow, so a sample is scored: of each shard, source and group the sentences whose
hash is lowest, which is the same sample every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control, norm, ttest_ind_from_stats

from components.core.files import sha256_bytes
from components.text.identity_terms import GROUPS

SAMPLE = 150
"""Sentences scored per shard, source and group."""


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@dataclass
class Moments:
    """Number, sum and sum of squares of some scores."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, scores: np.ndarray) -> None:
        """Add scores."""
        self.n += len(scores)
        self.total += float(scores.sum())
        self.squares += float((scores**2).sum())

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean score."""
        return self.total / self.n

    @property
    def deviation(self) -> float:
        """Sample standard deviation."""
        return float(np.sqrt(max(0.0, self.squares - self.n * self.mean**2) / max(1, self.n - 1)))


def sampled(sentences: Sequence[str], groups: np.ndarray) -> dict[str, Moments]:
    """Sentiment of a sample of a source's sentences by the group they mention; "" for those that mention none."""
    order = np.argsort(
        [int(sha256_bytes(text.encode("utf-8", "replace"))[:15], 16) for text in sentences], kind="stable"
    )
    found: dict[str, Moments] = {}
    known: dict[int, float] = {}
    for name, chosen in [("", groups == 0), *((name, groups >> bit & 1 == 1) for bit, name in enumerate(GROUPS))]:
        places = [int(at) for at in order[chosen[order]][:SAMPLE]]
        for at in places:
            if at not in known:
                known[at] = _vader().polarity_scores(sentences[at])["compound"]
        if places:
            found.setdefault(name, Moments()).add(np.array([known[at] for at in places]))
    return found


def compared(sources: dict[str, dict[str, Moments]], min_mentions: int) -> list[dict]:
    """A row per source and group: mean with its interval, difference from no group, Welch's p, corrected (BH 1995)."""
    rows: list[dict] = []
    for source, groups in sorted(sources.items()):
        rest = groups.get("", Moments())
        for group in ("", *GROUPS):
            if (found := groups.get(group)) is None:
                continue
            row: dict = {"source": source, "group": group or "(no group)", "sentences": found.n}
            if found.n >= max(2, min_mentions):
                spread = float(norm.ppf(0.975)) * found.deviation / found.n**0.5
                row |= {"sentiment": found.mean, "low": found.mean - spread, "high": found.mean + spread}
                if group and rest.n >= max(2, min_mentions):
                    row |= {"difference": found.mean - rest.mean, "p": _welch(found, rest)}
            rows.append(row)
    tested = [row for row in rows if "p" in row]
    corrected = false_discovery_control([row["p"] for row in tested]).tolist() if tested else []
    for row, p in zip(tested, corrected, strict=True):
        row["p_bh"] = p
    return rows


def _welch(one: Moments, other: Moments) -> float:
    """p of "the means do not differ", variances not taken as equal; 1 where neither varies."""
    if not one.deviation and not other.deviation:
        return 1.0 if one.mean == other.mean else 0.0
    return float(
        ttest_ind_from_stats(
            one.mean, one.deviation, one.n, other.mean, other.deviation, other.n, equal_var=False
        ).pvalue
    )
