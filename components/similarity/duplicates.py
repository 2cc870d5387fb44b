"""Search for near-duplicates: for each document the one that stays for it.

1. Documents are ranked by a rule anyone can check: held-out before training, then the longer, then the smaller id. All
   that follows works on ranks, so neither the order of the documents nor the number of processes matters.
2. Equal but for white space: the first by rank stays.
3. MinHash bands propose pairs (Leskovec et al., "Mining of Massive Datasets", 3.4), loose ones for recall; sizes and
   signatures throw out the hopeless; exact Jaccard similarity decides.
4. Down the ranks, a document is dropped if one that stays is similar enough, else it stays. So every dropped
   document is similar to one that *stays*, not merely to a neighbour of a neighbour (connected
   components drop those too).
5. The first round pairs each document with the first of its bucket only, which collapses big clusters at linear cost.
   Later rounds pair all that stay in a bucket, until a round finds nothing new: then no two documents that stay,
   among all proposed pairs, are similar enough.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from components.similarity.sorted_rows import SortedRows

BUCKET_WINDOW = 1000
"""In a bucket of more documents that stay, each is paired with this many that follow it by rank."""

PAIRS_HELD = 1 << 20
"""Pairs that are looked at together: 16 MB."""
BINS = np.linspace(0, 1, 51)
"""Of the histogram of similarities."""

PART = 1 << 18
"""Documents whose columns are read at a time."""

Verify = Callable[[np.ndarray], np.ndarray]
"""Pairs (n, 2) of ranks -> their Jaccard similarity (n,)."""
Band = Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]]
"""A band's number -> its hash for each document and the document's rank, uint64 and int64 (n,), in any parts."""


def ranking(
    num_heldout: int, num_chars: np.ndarray, ids: Callable[[], Iterable[list[str]]], folder: Path | None = None
) -> np.ndarray:
    """Documents by rank, (num_documents,) int64; the first `num_heldout` documents are the held-out ones.

    Args:
        ids: of all documents, in any parts.
        folder: for what is sorted outside memory.
    """
    width = -(-max(len(name) for part in ids() for name in part) // 8)  # of an id, in numbers
    ordered, first = SortedRows(width + 3, folder), 0
    for part in ids():
        numbers = np.arange(first, first + len(part))
        names = np.array(part, dtype=f"S{8 * width}").view(">u8").reshape(len(part), width)
        ordered.add(numbers >= num_heldout, ~num_chars[numbers].astype(np.uint64), *names.T, numbers)
        first += len(part)
    return np.concatenate([rows[:, -1].astype(np.int64) for rows in ordered.blocks()])


def first_equal(exact: np.ndarray, rank: np.ndarray, folder: Path | None = None) -> np.ndarray:
    """For each document the one of the lowest rank with equal hashes, (n,) int64; `exact` is (n, 2) uint64."""
    ordered, result = SortedRows(4, folder), np.arange(len(rank))
    for start in range(0, len(rank), PART):
        part = np.s_[start : start + PART]
        ordered.add(*exact[part].T, rank[part], result[part])
    for rows in ordered.buckets():
        begins = np.ones(len(rows), dtype=bool)
        begins[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
        first = np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))
        result[rows[:, 3].astype(np.int64)] = rows[first, 3]
    return result


@dataclass
class DuplicateSearch:
    """Finds the near-duplicates among documents given in rank order.

    Attributes:
        agree: estimated similarity of pairs, from `num_slots` places of their signatures.
        sizes: (n,) int64, shingles per document.
        num_heldout: how many of the first ranks are held-out: never dropped, never compared with each other.
        threshold: Jaccard similarity from which a document is dropped.
        bands: how many; `band` gives the hashes of one.
        verify: exact similarity of pairs.
        folder: for what is sorted outside memory.
        pairs: twice the number (`_codes`) of each verified pair, and twice that and one of each proposed. There are
            many, of a cluster of m documents m^2 / 2, so of those that are not similar nothing else is kept.
        similar: the verified pairs that reach the threshold: the lower rank, the higher, the similarity's bits.
        histogram: (len(BINS) - 1,) int64, how many verified pairs have a similarity in each bin.
    """

    agree: Verify
    num_slots: int
    sizes: np.ndarray
    num_heldout: int
    threshold: float
    bands: int
    band: Band
    verify: Verify
    folder: Path | None = None
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(len(BINS) - 1, dtype=np.int64))

    def __post_init__(self) -> None:
        self.pairs, self.similar = SortedRows(1, self.folder), SortedRows(3, self.folder)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """For each document the one that stays for it, itself or a similar one, and their similarity; both (n,)."""
        stays = self.sizes > 0  # a document without words is similar to none
        self._propose(stays, 0)  # the first round: each with the first of its bucket (the module's point 5)
        self._verify()
        while True:
            result, similarity = self.canonical()
            stays = (result == np.arange(len(result))) & (self.sizes > 0)
            self._propose(stays, BUCKET_WINDOW)
            if not self._verify():
                return result, similarity

    def groups(self, window: int) -> np.ndarray:
        """Number of each document's group, (n,): similar documents, those similar to these, and so on.

        `window` says how many of those that follow in a bucket each is compared with, besides the bucket's first.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        for reach in (0, window):
            self._propose(self.sizes > 0, reach)
            self._verify()
        second, first, _ = np.concatenate(list(self.similar.blocks())).T.astype(np.int64)
        ones, count = np.ones(len(first), dtype=np.int8), len(self.sizes)
        joined = coo_array((ones, (first, second)), shape=(count, count))
        clusters: np.ndarray = connected_components(joined, directed=False)[1]
        return clusters

    def _verify(self) -> int:
        """Verify the pairs that were proposed and are not verified yet, some at a time. Returns how many."""
        count, before = 0, np.zeros(1, np.uint64)
        for rows in self.pairs.blocks():
            together = np.append(before, rows[:, 0])
            before = together[-1:]
            fresh = together[1:][(together[1:] % 2 == 1) & (together[1:] != together[:-1] + 1)] // 2
            for start in range(0, len(fresh), PAIRS_HELD):
                self._verify_some(fresh[start : start + PAIRS_HELD].astype(np.int64))
            count += len(fresh)
        return count

    def _verify_some(self, codes: np.ndarray) -> None:
        first, second = codes // len(self.sizes), codes % len(self.sizes)
        jaccard = self.verify(np.stack([first, second], axis=1))
        self.histogram += np.histogram(jaccard, BINS)[0]
        reached = jaccard >= self.threshold
        self.similar.add(second[reached], first[reached], jaccard[reached])
        self.pairs.add(2 * codes)

    def canonical(self) -> tuple[np.ndarray, np.ndarray]:
        """The document that stays for each, and the similarity with it: the module's point 4, over the verified pairs.

        Of several that stay, the most similar counts. Example: A ~ B and B ~ C are similar, A and C are not, ranked A,
        B, C. B is dropped for A; C stays, since the B it resembles is dropped. Connected components would
        drop C as well.
        """
        result = np.arange(len(self.sizes))
        best = np.zeros(len(self.sizes))
        # In the order of the lower rank: when a pair is read, its higher-ranked document is decided.
        for rows in self.similar.blocks():
            pairs, similarity = rows[:, :2].tolist(), np.ascontiguousarray(rows[:, 2]).view(np.float64).tolist()
            for (second, first), jaccard in zip(pairs, similarity, strict=True):
                if result[first] == first and jaccard > best[second]:
                    best[second], result[second] = jaccard, first
        best[best == 0] = 1.0
        return result, best

    def _propose(self, stays: np.ndarray, window: int) -> None:
        """Propose pairs (first < second) of documents that stay and share a bucket, and are not hopeless.

        `window` 0 pairs each with the first of its bucket, else with that many of those that follow.
        """
        for band in range(self.bands):
            ordered = SortedRows(2, self.folder)  # within a bucket (equal keys) by rank
            for keys, ranks in self.band(band):
                chosen = stays[ranks]
                ordered.add(keys[chosen], ranks[chosen])
            for rows in ordered.buckets():
                keys, ranks = rows[:, 0], rows[:, 1].astype(np.int64)
                for pairs in [_star(ranks, keys)] if window == 0 else _all_pairs(ranks, keys, window):
                    self.pairs.add(2 * self._codes(self._hopeful(pairs)) + 1)

    def _hopeful(self, pairs: np.ndarray) -> np.ndarray:
        """Pairs that can still reach the threshold: by sizes for certain, by signatures but for 4 standard errors."""
        pairs = pairs[pairs[:, 1] >= self.num_heldout]  # two held-out documents both stay
        # |A and B| <= min(|A|, |B|) and |A or B| >= max(|A|, |B|), so J <= min / max.
        first, second = self.sizes[pairs[:, 0]], self.sizes[pairs[:, 1]]
        pairs = pairs[np.minimum(first, second) >= self.threshold * np.maximum(first, second)]
        # Of n shingles about K (1 - exp(-n / K)) different places of K are filled; the others repeat those.
        smaller = np.minimum(self.sizes[pairs[:, 0]], self.sizes[pairs[:, 1]])
        filled = self.num_slots * -np.expm1(-smaller / self.num_slots)
        error = np.sqrt(self.threshold * (1 - self.threshold) / filled)
        return pairs[self.agree(pairs) >= self.threshold - 4 * error]

    def _codes(self, pairs: np.ndarray) -> np.ndarray:
        """Pairs as single numbers."""
        return pairs[:, 0] * len(self.sizes) + pairs[:, 1]


def _star(ranks: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Each document with the first of its bucket (documents sorted by key, then rank)."""
    # Keys 5 5 5 8 9 9 begin buckets at 0, 3 and 4; carried forward that is 0 0 0 3 4 4, the first of each bucket.
    begins = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    first = np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))
    return np.stack([ranks[first[~begins]], ranks[~begins]], axis=1)


def _all_pairs(ranks: np.ndarray, keys: np.ndarray, window: int) -> Iterator[np.ndarray]:
    """All pairs within a bucket, up to `window` places apart, some at a time: of one big bucket there are many."""
    pairs, waiting = [np.zeros((0, 2), dtype=np.int64)], 0
    rows = np.arange(len(keys))
    # All neighbours, then all pairs two apart, ...; a place that has no partner at one distance has none at a larger
    # one.
    for distance in range(1, window + 1):
        rows = rows[rows + distance < len(keys)]
        rows = rows[keys[rows] == keys[rows + distance]]
        if not len(rows):
            break
        pairs.append(np.stack([ranks[rows], ranks[rows + distance]], axis=1))
        waiting += len(rows)
        if waiting >= PAIRS_HELD:
            yield np.concatenate(pairs)
            pairs, waiting = pairs[:1], 0
    yield np.concatenate(pairs)
