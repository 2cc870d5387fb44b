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

import numpy as np

BUCKET_WINDOW = 1000
"""In a bucket of more documents that stay, each is paired with this many that follow it by rank."""

PAIRS_HELD = 1 << 20
"""Pairs that are looked at together: 16 MB."""
BINS = np.linspace(0, 1, 51)
"""Of the histogram of similarities."""

Verify = Callable[[np.ndarray], np.ndarray]
"""Pairs (n, 2) of ranks -> their Jaccard similarity (n,)."""
Band = Callable[[int], np.ndarray]
"""A band's number -> its hash for each document, (n,) uint64, in rank order."""


def ranking(num_heldout: int, num_chars: np.ndarray, ids: Iterable[list[str]]) -> np.ndarray:
    """Documents by rank, (num_documents,) int64; the first `num_heldout` documents are the held-out ones.

    Args:
        ids: of all documents, in any parts.
    """
    heldout = np.arange(len(num_chars)) < num_heldout
    names = np.concatenate([np.array(part, dtype=np.bytes_) for part in ids])
    return np.lexsort((names, -num_chars, ~heldout))


def first_equal(exact: np.ndarray) -> np.ndarray:
    """For each row of hashes the index of the first equal row, (n,) int64."""
    # A row as one opaque value, so that `unique` compares whole rows without sorting by column.
    packed = np.ascontiguousarray(exact).view([("", exact.dtype)] * exact.shape[1]).ravel()
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return first[inverse]


@dataclass
class DuplicateSearch:
    """Finds the near-duplicates among documents given in rank order.

    Attributes:
        agree: estimated similarity of pairs, from `places` places of their signatures.
        sizes: (n,) int64, shingles per document.
        num_heldout: how many of the first ranks are held-out: never dropped, never compared with each other.
        threshold: Jaccard similarity from which a document is dropped.
        bands: how many; `band` gives the hashes of one.
        verify: exact similarity of pairs.
        verified: (v,) int64, the pairs verified so far as numbers (`_codes`), sorted. There are many, of a cluster of m
            documents m^2 / 2, so of those that are not similar nothing else is kept.
        similar, similarity: (s, 2) and (s,), the verified pairs that reach the threshold.
        histogram: (len(BINS) - 1,) int64, how many verified pairs have a similarity in each bin.
    """

    agree: Verify
    places: int
    sizes: np.ndarray
    num_heldout: int
    threshold: float
    bands: int
    band: Band
    verify: Verify
    verified: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    similar: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    similarity: np.ndarray = field(default_factory=lambda: np.zeros(0))
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(len(BINS) - 1, dtype=np.int64))

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """For each document the one that stays for it, itself or a similar one, and their similarity; both (n,)."""
        candidates = np.flatnonzero(self.sizes)  # a document without words is similar to none
        window = 0  # the first round: each with the first of its bucket (the module's point 5)
        while True:
            fresh = self._propose(candidates, window)
            if window and not len(fresh):
                return self.canonical()
            self._verify(fresh)
            stays = self.canonical()[0] == np.arange(len(self.sizes))
            candidates, window = np.flatnonzero(stays & (self.sizes > 0)), BUCKET_WINDOW

    def groups(self, window: int) -> np.ndarray:
        """Number of each document's group, (n,): similar documents, those similar to these, and so on.

        `window` says how many of those that follow in a bucket each is compared with, besides the bucket's first.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        candidates, count = np.flatnonzero(self.sizes), len(self.sizes)
        for reach in (0, window):
            self._verify(self._propose(candidates, reach))
        ones = np.ones(len(self.similar), dtype=np.int8)
        joined = coo_array((ones, (self.similar[:, 0], self.similar[:, 1])), shape=(count, count))
        found: np.ndarray = connected_components(joined, directed=False)[1]
        return found

    def _verify(self, fresh: np.ndarray) -> None:
        """Verify pairs, given as sorted numbers, some at a time."""
        similar, similarity = [self.similar], [self.similarity]
        for at in range(0, len(fresh), PAIRS_HELD):
            codes = fresh[at : at + PAIRS_HELD]
            pairs = np.stack([codes // len(self.sizes), codes % len(self.sizes)], axis=1)
            jaccard = self.verify(pairs)
            self.histogram += np.histogram(jaccard, BINS)[0]
            reached = jaccard >= self.threshold
            similar.append(pairs[reached])
            similarity.append(jaccard[reached])
        self.similar, self.similarity = np.concatenate(similar), np.concatenate(similarity)
        self.verified = np.concatenate([self.verified, fresh])
        self.verified.sort()

    def canonical(self) -> tuple[np.ndarray, np.ndarray]:
        """The document that stays for each, and the similarity with it: the module's point 4, over the verified pairs.

        Of several that stay, the most similar counts. Example: A ~ B and B ~ C are similar, A and C are not, ranked A,
        B, C. B is dropped for A; C stays, since the B it resembles is dropped. Connected components would
        drop C as well.
        """
        result = np.arange(len(self.sizes))
        pairs, similarity = self.similar, self.similarity
        best = np.zeros(len(self.sizes))
        # In the order of the lower rank: when a pair is read, its higher-ranked document is decided.
        for row in np.lexsort((pairs[:, 0], pairs[:, 1])):
            first, second = pairs[row].tolist()
            if result[first] == first and similarity[row] > best[second]:
                best[second], result[second] = similarity[row], first
        return result, np.where(best > 0, best, 1.0)

    def _propose(self, candidates: np.ndarray, window: int) -> np.ndarray:
        """Pairs (first < second) of candidates that share a bucket, are not hopeless and not verified yet, each once.

        They come as numbers, sorted. `window` 0 pairs each with the first of its bucket, else with that many of those
        that follow.
        """
        found = [np.zeros(0, dtype=np.int64)]
        for band in range(self.bands):
            # Stable, so that within a bucket (equal keys) documents stay in the order of their ranks.
            keys = self.band(band)[candidates]
            order = np.argsort(keys, kind="stable")
            ranks, keys = candidates[order], keys[order]
            for pairs in [_star(ranks, keys)] if window == 0 else _all_pairs(ranks, keys, window):
                found.append(self._fresh(self._codes(self._hopeful(pairs))))
        return np.unique(np.concatenate(found))

    def _hopeful(self, pairs: np.ndarray) -> np.ndarray:
        """Pairs that can still reach the threshold: by sizes for certain, by signatures but for 4 standard errors."""
        pairs = pairs[pairs[:, 1] >= self.num_heldout]  # two held-out documents both stay
        # |A and B| <= min(|A|, |B|) and |A or B| >= max(|A|, |B|), so J <= min / max.
        first, second = self.sizes[pairs[:, 0]], self.sizes[pairs[:, 1]]
        pairs = pairs[np.minimum(first, second) >= self.threshold * np.maximum(first, second)]
        # Of n shingles about K (1 - exp(-n / K)) different places of K are filled; the others repeat those.
        smaller = np.minimum(self.sizes[pairs[:, 0]], self.sizes[pairs[:, 1]])
        filled = self.places * -np.expm1(-smaller / self.places)
        error = np.sqrt(self.threshold * (1 - self.threshold) / filled)
        return pairs[self.agree(pairs) >= self.threshold - 4 * error]

    def _fresh(self, codes: np.ndarray) -> np.ndarray:
        """Pairs not verified yet."""
        if not len(self.verified):
            return codes
        at = np.minimum(np.searchsorted(self.verified, codes), len(self.verified) - 1)
        return codes[self.verified[at] != codes]

    def _codes(self, pairs: np.ndarray) -> np.ndarray:
        """Pairs as single numbers."""
        return pairs[:, 0] * len(self.sizes) + pairs[:, 1]


def _star(ranks: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Each document with the first of its bucket (documents sorted by key, then rank)."""
    # Keys 5 5 5 8 9 9 begin buckets at 0, 3 and 4; carried forward that is 0 0 0 3 4 4, the first of each bucket.
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))
    return np.stack([ranks[first[~begins]], ranks[~begins]], axis=1)


def _all_pairs(ranks: np.ndarray, keys: np.ndarray, window: int) -> Iterator[np.ndarray]:
    """All pairs within a bucket, up to `window` places apart, some at a time: of one big bucket there are many."""
    found, waiting = [np.zeros((0, 2), dtype=np.int64)], 0
    at = np.arange(len(keys))
    # All neighbours, then all pairs two apart, ...; a place that has no partner at one distance has none at a larger
    # one.
    for distance in range(1, window + 1):
        at = at[at + distance < len(keys)]
        at = at[keys[at] == keys[at + distance]]
        if not len(at):
            break
        found.append(np.stack([ranks[at], ranks[at + distance]], axis=1))
        waiting += len(at)
        if waiting >= PAIRS_HELD:
            yield np.concatenate(found)
            found, waiting = found[:1], 0
    yield np.concatenate(found)
