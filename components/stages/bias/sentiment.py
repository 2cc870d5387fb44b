"""Sentiment of the sentences that mention a group, against others of the same source.

Sentiment is VADER's `compound` (Hutto and Gilbert 2014): a lexicon with rules for negation and degree, from -1 to 1,
made for English social media. It is slow, so a sample is scored: of each shard, source and group the sentences whose
hash is lowest, which is the same sample every time.
"""

from collections.abc import Iterator, Sequence
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
class RunningMoments:
    """Number, sum and sum of squares of scores, from which mean and deviation follow."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, scores: np.ndarray) -> None:
        """Add scores."""
        self.n += len(scores)
        self.total += float(scores.sum())
        self.squares += float((scores**2).sum())

    def __add__(self, other: "RunningMoments") -> "RunningMoments":
        return RunningMoments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean score."""
        return self.total / self.n

    @property
    def deviation(self) -> float:
        """Sample standard deviation."""
        return float(np.sqrt(max(0.0, self.squares - self.n * self.mean**2) / max(1, self.n - 1)))


def group_masks(groups: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each group's name and mask of the mention sets (int64) that contain it; first "", the mask of the empty sets."""
    yield "", groups == 0
    for bit, name in enumerate(GROUPS):
        yield name, groups >> bit & 1 == 1


def sampled(sentences: Sequence[str], groups: np.ndarray) -> dict[str, RunningMoments]:
    """Sentiment of a sample of a source's sentences by the group they mention; "" for those that mention none."""
    order = np.argsort(
        [int(sha256_bytes(text.encode("utf-8", "replace"))[:15], 16) for text in sentences], kind="stable"
    )
    by_group: dict[str, RunningMoments] = {}
    score = cache(lambda index: _vader().polarity_scores(sentences[index])["compound"])
    for name, mask in group_masks(groups):
        scores = [score(index) for index in order[mask[order]][:SAMPLE].tolist()]
        if scores:
            by_group.setdefault(name, RunningMoments()).add(np.array(scores))
    return by_group


def compared(sources: dict[str, dict[str, RunningMoments]], min_mentions: int) -> list[dict]:
    """A row per source and group: mean with its interval, difference from no group, Welch's p, corrected (BH 1995)."""
    rows: list[dict] = []
    for source, groups in sorted(sources.items()):
        rest = groups.get("", RunningMoments())
        for group in ("", *GROUPS):
            if (moments := groups.get(group)) is None:
                continue
            row: dict = {"source": source, "group": group or "(no group)", "sentences": moments.n}
            if moments.n >= max(2, min_mentions):
                spread = float(norm.ppf(0.975)) * moments.deviation / moments.n**0.5
                row |= {"sentiment": moments.mean, "low": moments.mean - spread, "high": moments.mean + spread}
                if group and rest.n >= max(2, min_mentions):
                    row |= {"difference": moments.mean - rest.mean, "p": _welch(moments, rest)}
            rows.append(row)
    tested = [row for row in rows if "p" in row]
    corrected = false_discovery_control([row["p"] for row in tested]).tolist() if tested else []
    for row, p in zip(tested, corrected, strict=True):
        row["p_bh"] = p
    return rows


def _welch(a: RunningMoments, b: RunningMoments) -> float:
    """p-value of Welch's test that the means do not differ; where neither varies, 1 if they are equal, else 0."""
    if not a.deviation and not b.deviation:
        return 1.0 if a.mean == b.mean else 0.0
    return float(ttest_ind_from_stats(a.mean, a.deviation, a.n, b.mean, b.deviation, b.n, equal_var=False).pvalue)
