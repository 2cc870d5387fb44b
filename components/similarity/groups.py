"""Groups of similar short texts, in memory: what must not be divided between training and held-out examples.

The same shingles, signatures and search as dedup (docs/data.md); the shingles are shorter, as these
texts are. What many texts share is a form they are written in ("Translate this sentence into
French: ..."), and tells nothing about whether two are copies of each other: those shingles are left
out.
"""

from collections.abc import Sequence

import numpy as np

from components.similarity.duplicates import DuplicateSearch
from components.similarity.shingles import agreement, jaccard, shingle_sets, signatures
from components.similarity.sketch import band_keys
from components.text.packed_bytes import blocks

NGRAM, THRESHOLD = 3, 0.7
"""Words per shingle, and the Jaccard similarity from which two texts are alike."""
BANDS, ROWS = 32, 4
"""Of the signature: a pair at the threshold is proposed with a chance above .999."""
WINDOW = 10
"""Neighbours in a bucket that each text is compared with, besides the first: the equals of its equals are there too."""
SEED = 1
COMMON_SHARE, COMMON = 0.25, 10
"""A shingle is of a form if more than this share of the texts have it, and more than this number of them."""


def similar_groups(texts: Sequence[str]) -> np.ndarray:
    """Number of each text's group, int64 (num_texts,). A text of fewer than three words is alike only to its equal.

    Two texts are alike by what each has besides a form that more than a quarter of all are written
    in; a text that has nothing besides is alike only to others of that kind.
    """
    sets, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for block in blocks([text.encode() for text in texts]):
        shingles, counts = shingle_sets(block, NGRAM, SEED)
        sets.append(shingles)
        sizes.append(counts)
    together, counts = _without_forms(np.concatenate(sets), np.concatenate(sizes))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    signed = signatures(together, offsets, BANDS * ROWS)

    def verify(pairs: np.ndarray) -> np.ndarray:
        of = [[together[offsets[one] : offsets[one + 1]] for one in pair] for pair in pairs]
        return np.array([jaccard(first, second) for first, second in of], dtype=np.float64)

    search = DuplicateSearch(
        agree=lambda pairs: agreement(signed, pairs),
        num_slots=BANDS * ROWS,
        sizes=counts,
        num_heldout=0,
        threshold=THRESHOLD,
        bands=BANDS,
        band=lambda band: [(band_keys(signed, band, ROWS), np.arange(len(counts)))],
        verify=verify,
    )
    return search.groups(WINDOW).astype(np.int64)


def _without_forms(shingles: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sets end to end and their sizes, without the shingles of a form; a set of nothing else stays as it is."""
    _, inverse, texts = np.unique(shingles, return_inverse=True, return_counts=True)  # a set has each shingle once
    distinctive = texts[inverse] <= max(COMMON, COMMON_SHARE * len(counts))
    text = np.repeat(np.arange(len(counts)), counts)
    kept = distinctive | (np.bincount(text[distinctive], minlength=len(counts)) == 0)[text]
    return shingles[kept], np.bincount(text[kept], minlength=len(counts))
