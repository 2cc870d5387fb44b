"""Groups of similar short texts, in memory: what must not be divided between training and held-out examples.

The same shingles, signatures and search as dedup (docs/dedup.md); the shingles are shorter, as these texts are.
"""

from collections.abc import Sequence

import numpy as np

from components.similarity.duplicates import Search
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


def similar_groups(texts: Sequence[str]) -> np.ndarray:
    """Number of each text's group, int64 (num_texts,). A text of fewer than three words is alike only to its equal."""
    sets, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for block in blocks([text.encode() for text in texts]):
        shingles, counts = shingle_sets(block, NGRAM, SEED)
        sets.append(shingles)
        sizes.append(counts)
    together, counts = np.concatenate(sets), np.concatenate(sizes)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    signed = signatures(together, offsets, BANDS * ROWS)

    def verify(pairs: np.ndarray) -> np.ndarray:
        of = [[together[offsets[one] : offsets[one + 1]] for one in pair] for pair in pairs]
        return np.array([jaccard(first, second) for first, second in of], dtype=np.float64)

    search = Search(
        agree=lambda pairs: agreement(signed, pairs),
        places=BANDS * ROWS,
        sizes=counts,
        num_heldout=0,
        threshold=THRESHOLD,
        bands=BANDS,
        band=lambda band: band_keys(signed, band, ROWS),
        verify=verify,
    )
    return search.groups(WINDOW).astype(np.int64)
