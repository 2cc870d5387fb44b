"""Sentiment of the sentences that mention a group, against others of the same source, with works as clusters.

Sentiment is VADER's `compound` (Hutto and Gilbert 2014): a lexicon with rules for negation and degree, from -1 to 1,
made for English social media. It is slow, so a sample is scored: of each shard, source and group the sentences whose
hash is lowest, which is the same sample every time.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import t as student

from components.core.files import sha256_bytes
from components.stages.bias.counts import ScoreSums
from components.stages.bias.stratified_rates import add_corrected
from components.text.identity_terms import GROUPS

SAMPLE = 150
"""Sentences scored per shard, source and group."""
MIN_WORKS = 5
"""Works a group's sentences must come from for an interval."""


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def group_masks(groups: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each group's name and mask of the mention sets (int64) that contain it; first "", the mask of the empty sets."""
    yield "", groups == 0
    for bit, name in enumerate(GROUPS):
        yield name, groups >> bit & 1 == 1


def sampled(sentences: Sequence[str], groups: np.ndarray, works: np.ndarray) -> dict[str, ScoreSums]:
    """Sentiment of a sample of a source's sentences by the group they mention, "" for none: sums per work."""
    order = np.argsort(
        [int(sha256_bytes(text.encode("utf-8", "replace"))[:15], 16) for text in sentences], kind="stable"
    )
    by_group: dict[str, ScoreSums] = {}
    score = cache(lambda index: _vader().polarity_scores(sentences[index])["compound"])
    for name, mask in group_masks(groups):
        for index in order[mask[order]][:SAMPLE].tolist():
            sums = by_group.setdefault(name, {}).setdefault(int(works[index]), [0, 0.0])
            sums[0] += 1
            sums[1] += score(index)
    return by_group


def compared(sources: dict[str, dict[str, ScoreSums]], min_mentions: int) -> list[dict]:
    """A row per source and group: mean, interval over works, difference from no group, its p, corrected (BH 1995)."""
    rows: list[dict] = []
    for source, groups in sorted(sources.items()):
        works = sorted({work for sums in groups.values() for work in sums})
        rest_n, rest_total = _columns(groups.get("", {}), works)
        for group in ("", *(name for name in GROUPS if name in groups)):
            n, total = _columns(groups.get(group, {}), works)
            row: dict = {"source": source, "group": group or "(no group)", "sentences": int(n.sum())}
            if n.sum() >= min_mentions and (n > 0).sum() >= MIN_WORKS:
                mean, shares = _mean(n, total)
                spread = float(student.ppf(0.975, (n > 0).sum() - 1)) * _error(shares)
                row |= {"sentiment": mean, "low": mean - spread, "high": mean + spread}
                if group and rest_n.sum() >= min_mentions:
                    rest, rest_shares = _mean(rest_n, rest_total)
                    row |= {"difference": mean - rest, "p": _p(mean - rest, shares - rest_shares, int((n > 0).sum()))}
            rows.append(row)
    add_corrected([row for row in rows if "p" in row])
    return rows


def _columns(sums: ScoreSums, works: list[int]) -> np.ndarray:
    """Number and total of the scores per work: (2, works)."""
    return np.array([sums.get(work, [0, 0.0]) for work in works], dtype=np.float64).reshape(-1, 2).T


def _mean(n: np.ndarray, total: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean score, and what each work adds to its error (linearised ratio; sums to zero)."""
    mean = float(total.sum() / n.sum())
    return mean, (total - mean * n) / n.sum()


def _error(shares: np.ndarray) -> float:
    """Standard error from the works' contributions, as of a cluster-robust mean."""
    works = max(2, int(np.count_nonzero(shares)))
    return float(np.sqrt(works / (works - 1) * (shares**2).sum()))


def _p(difference: float, shares: np.ndarray, works: int) -> float:
    """Two-sided p of no difference, by Student's t over works; where nothing varies, 1 if there is none, else 0."""
    if (error := _error(shares)) < 1e-12:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * student.sf(abs(difference) / error, works - 1))
