"""Recall and precision of the search, by brute-force comparison of a sample of documents with all others.

For a sample of documents, chosen by the hash of their ids, the exact similarity with *every* document is computed from
shared shingles (one sparse matrix product per shard), without bands or signatures. Pairs are then counted per band of
similarity: did the MinHash bands propose them, and does at most one of the two remain (recall)?

For a sample of the dropped documents, the reason given is checked (precision): does the document it names stay, and
are the two as similar as the threshold asks, by plain sets?
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import sha256_bytes

JACCARD_BANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Lower ends of the bands; the last is for pairs with equal sets."""
SAMPLE = 400
"""Documents compared with all others; dropped documents whose reason is checked."""


def bands_from(threshold: float) -> tuple[float, ...]:
    """`JACCARD_BANDS`, with one for all that a lower threshold removes."""
    return (threshold, *JACCARD_BANDS) if threshold < JACCARD_BANDS[0] else JACCARD_BANDS


@dataclass(frozen=True)
class Sample:
    """The sampled documents' shingles as one sorted vocabulary and a membership table.

    Attributes:
        documents: (s,) their numbers in `Sketches`.
        sizes: (s,) shingles of each.
        vocabulary: sorted distinct shingles.
        columns: place in the vocabulary of each shingle, sample documents end to end.
        owners: which sample document each of `columns` belongs to.
        lowest: similarity from which a pair is kept.
    """

    documents: np.ndarray
    sizes: np.ndarray
    vocabulary: np.ndarray
    columns: np.ndarray
    owners: np.ndarray
    lowest: float


def choose(ids: Sequence[str], allowed: np.ndarray, count: int = SAMPLE) -> np.ndarray:
    """`count` of the `allowed` documents, those with the smallest hash of their id. Sorted."""
    keyed = ((sha256_bytes(f"sample {ids[number]}".encode()), number) for number in allowed.tolist())
    return np.array(sorted(number for _, number in heapq.nsmallest(count, keyed)), dtype=np.int64)


def make_sample(documents: np.ndarray, sets: list[np.ndarray], lowest: float = JACCARD_BANDS[0]) -> Sample:
    """The sample from its documents' shingle sets."""
    sizes = np.array([len(shingles) for shingles in sets], dtype=np.int64)
    together = np.concatenate([np.zeros(0, np.uint64), *sets])  # an array even if there are no sets
    vocabulary, columns = np.unique(together, return_inverse=True)
    return Sample(documents, sizes, vocabulary, columns, np.repeat(np.arange(len(sets)), sizes), lowest)


def compare_shard(sample: Sample, job: tuple[Path, int]) -> np.ndarray:
    """All pairs of a sample document and a document of the shard with similarity >= `lowest`.

    Args:
        job: the shard's sketch, and the number of its first document.

    Returns:
        (n, 3) float64: the two documents' numbers and their Jaccard similarity.
    """
    from scipy.sparse import csr_array

    target, first_document = job
    with np.load(target.with_suffix(".npz"), allow_pickle=False) as saved:
        offsets = saved["offsets"]
    shingles = np.fromfile(f"{target}.shingles.bin", dtype=np.uint64)
    width = len(sample.vocabulary)
    if not width or not len(shingles):
        return np.zeros((0, 3))
    # Only shingles that some sampled document has can be shared: the others get no column.
    column = np.minimum(np.searchsorted(sample.vocabulary, shingles), width - 1)
    known = sample.vocabulary[column] == shingles

    def membership(rows: np.ndarray, columns: np.ndarray, count: int) -> Any:
        """(count, width), 1 where a document has a shingle of the vocabulary."""
        return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(count, width))

    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[known]
    # (sample, vocabulary) times (vocabulary, shard): entry (i, j) counts the shingles that documents i and j share.
    in_shard = membership(row, column[known], len(offsets) - 1)
    in_sample = membership(sample.owners, sample.columns, len(sample.sizes))
    shared = (in_sample @ in_shard.T).tocoo()  # |A and B| of every pair that shares a shingle
    union = sample.sizes[shared.row] + np.diff(offsets)[shared.col] - shared.data
    jaccard = shared.data / union
    pairs = np.stack([sample.documents[shared.row], first_document + shared.col, jaccard], axis=1)
    return pairs[(jaccard >= sample.lowest) & (pairs[:, 0] != pairs[:, 1])]


def compare_reads(job: tuple[Path, int]) -> list[Path]:
    """The files that `compare_shard` reads."""
    return [job[0].with_suffix(end) for end in (".npz", ".shingles.bin")]


def unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """Each unordered pair once, in order."""
    return np.unique(np.column_stack([np.sort(pairs[:, :2], axis=1), pairs[:, 2]]), axis=0)


@dataclass(frozen=True)
class Removals:
    """A sample of the dropped documents.

    Attributes:
        stated: (n,) similarity that the reason gives.
        confirmed: (n,) bool, the reason holds.
    """

    stated: np.ndarray
    confirmed: np.ndarray


def check_removals(
    sampled: np.ndarray,
    canonical: np.ndarray,
    stated: np.ndarray,
    removed: np.ndarray,
    shingles: Callable[[int], np.ndarray],
    threshold: float,
) -> Removals:
    """Check of the reasons for which the documents `sampled` (n,) were dropped.

    Args:
        canonical, stated, removed: (num_documents,) the document named, the similarity, whether it was dropped.
        shingles: the shingles of a document.
    """

    def holds(number: int) -> bool:
        stays = int(canonical[number])
        first, second = set(shingles(number).tolist()), set(shingles(stays).tolist())
        return not removed[stays] and len(first & second) >= threshold * len(first | second)

    return Removals(stated[sampled], np.array([holds(number) for number in sampled.tolist()], dtype=bool))


def share_proposed(bands: int, rows: int, similarity: Any) -> Any:
    """Chance that a pair of this similarity (a number or an array) agrees in a band: 1 - (1 - J^rows)^bands."""
    return 1 - (1 - similarity**rows) ** bands


def check_table(
    pairs: np.ndarray,
    num_heldout: int,
    proposed: np.ndarray,
    removed: np.ndarray,
    removals: Removals,
    lows: Sequence[float],
    expected: Callable[[float], float],
) -> list[dict]:
    """Per band of similarity: pairs, proposed by the bands, of which at most one remains; removals, and confirmed ones.

    Pairs of two held-out documents are not counted: both stay by rule.

    Args:
        pairs: (n, 3) of `unique_pairs`.
        num_heldout: documents below this number are held-out.
        proposed: (n,) bool, the MinHash bands agree somewhere.
        removed: (num_documents,) bool.
        lows: lower ends of the bands.
        expected: share of pairs of a similarity that should be proposed; taken at a band's middle.
    """
    first, second, jaccard = pairs[:, 0].astype(int), pairs[:, 1].astype(int), pairs[:, 2]
    counted = second >= num_heldout
    resolved = removed[first] | removed[second]
    table = []
    for low, high in zip(lows, (*lows[1:], np.inf), strict=True):
        # The last band is [1, inf): equal sets.
        here = counted & (jaccard >= low) & (jaccard < high)
        dropped = (removals.stated >= low) & (removals.stated < high)
        table.append(
            {
                "jaccard_from": low,
                "jaccard_below": high if np.isfinite(high) else None,
                "pairs": int(here.sum()),
                "proposed": int((here & proposed).sum()),
                "resolved": int((here & resolved).sum()),
                "expected_proposed_share": expected(min((low + min(high, 1.0)) / 2, 1.0)),
                "removals": int(dropped.sum()),
                "confirmed": int((dropped & removals.confirmed).sum()),
            }
        )
    return table
