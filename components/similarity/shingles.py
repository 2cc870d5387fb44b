"""Word n-grams ("shingles") of texts as sets of 64-bit numbers, their MinHash signatures, and exact similarity.

A document becomes the set of its word n-grams, lower-cased; a document of fewer than n words the set with the one gram
of all its words, so that short documents are compared too (and are alike only word for word). What the project calls
the similarity of two documents is the Jaccard similarity of these sets, |A and B| / |A or B|.

The signature is by one permutation (Li, Owen and Zhang 2012): the range of the hashes is cut into K bins, and the
smallest value of each bin is kept. Sets are sorted anyway, for exact comparison, so a signature costs one pass instead
of K. A bin without value borrows that of another, chosen by a hash of the bin (Shrivastava 2017, "Optimal
densification for fast and accurate minwise hashing"). The share of places in which two signatures agree estimates the
Jaccard similarity, with a standard error of at most sqrt(J (1 - J) / filled bins).
"""

import numpy as np

from components.text.codepoints import mixed
from components.text.packed_bytes import Packed, hashes, words

_ATTEMPTS = 64
"""Bins tried before a document of very few shingles takes the first value it has."""


def shingle_sets(block: Packed, ngram: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of each text of a block; `seed` chooses the hash function.

    Returns:
        (total,) uint64, sorted and unique within each text; (num_texts,) int64, how many each has.
    """
    starts, ends = words(block)
    hashed = hashes(block.data, starts, ends)
    hashed ^= mixed(np.array([seed % (1 << 64)], dtype=np.uint64))
    first = np.searchsorted(starts, block.bounds)  # text i has the words first[i] : first[i + 1]
    # `sets` has a place for each word; `kept` clears those without a shingle of their own. With 3-grams:
    #   words  a b c d e | x y |        (two texts)
    #   grams  abc bcd cde - - | xy - |  (a short text has the one gram of all its words)
    sets = np.zeros(len(hashed), dtype=np.uint64)
    grams = _grams(hashed, ngram)  # over the whole block: those that cross from a text to the next are cleared below
    sets[: len(grams)] = grams
    kept = np.ones(len(hashed), dtype=bool)
    for begin, end in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        last = end - ngram + 1
        if begin < last:
            sets[begin:last].sort()
            kept[last:end] = False
        elif begin < end:
            sets[begin] = _grams(hashed[begin:end], end - begin)[0]
            kept[begin + 1 : end] = False
    # Equal shingles are neighbours now that each text is sorted: all but the first of a run are repeats.
    repeated = sets[1:] == sets[:-1]
    repeated[first[(first > 0) & (first < len(sets))] - 1] = False  # the first of a text repeats nothing
    kept[1:] &= ~repeated
    counts = np.diff(np.searchsorted(np.flatnonzero(kept), first))
    return sets[kept], counts


def _grams(hashed: np.ndarray, ngram: int) -> np.ndarray:
    """Hashes of every `ngram` neighbours, and of their number: a short text never equals part of a long one."""
    count = max(len(hashed) - ngram + 1, 0) if ngram else 0
    total = np.full(count, ngram, dtype=np.uint64)
    weight = 1
    for offset in range(ngram):
        weight = weight * 0xD6E8FEB86659FD93 % (1 << 64)
        total += hashed[offset : offset + count] * np.uint64(weight)
    return mixed(total)


def signatures(shingles: np.ndarray, offsets: np.ndarray, count: int) -> np.ndarray:
    """MinHash signatures by one permutation.

    Args:
        shingles: (total,) uint64, the sorted sets end to end.
        offsets: (num_texts + 1,) int64.
        count: K, how many bins.

    Returns:
        (num_texts, count) uint32; all ones for an empty set.
    """
    result = np.full((len(offsets) - 1, count), 0xFFFFFFFF, dtype=np.uint32)
    filled = np.zeros(result.shape, dtype=bool)
    if not len(shingles):
        return result
    # The upper 32 bits of a shingle, times K, is a fixed-point number: its whole part (upper half) is the bin, its
    # fraction (lower half) the value within the bin. With K = 4 and 0x9... (0.5625 of the range): 4 * 0.5625 = 2.25,
    # so bin 2, value 0.25. A larger shingle never has a smaller bin, so the bins of a sorted set are sorted too.
    scaled = (shingles >> np.uint64(32)) * np.uint64(count)
    bins = (scaled >> np.uint64(32)).astype(np.uint32)
    # The smallest value of each bin is the first of its run; a new text starts a new run even in the same bin.
    is_first = np.ones(len(bins), dtype=bool)
    is_first[1:] = bins[1:] != bins[:-1]
    is_first[offsets[:-1][np.diff(offsets) > 0]] = True
    first = np.flatnonzero(is_first)
    row_of_text = np.searchsorted(offsets, first, side="right") - 1
    cell = row_of_text * count + bins[first]
    result.ravel()[cell] = scaled[first].astype(np.uint32)  # keeps the lower half
    filled.ravel()[cell] = True
    _densify(result, filled)
    return result


def _densify(result: np.ndarray, filled: np.ndarray) -> None:
    """Fill every empty bin of a text that has any value with one of its values, by the same choice in all texts.

    Empty bin c asks bins h(0, c), h(1, c), ... and takes the first that is filled. The choice does not depend on the
    text, so two texts with equal sets agree in the borrowed places too, and others agree there as often as elsewhere.
    """
    count = result.shape[1]
    row, column = np.nonzero(~filled & filled.any(axis=1, keepdims=True))
    for attempt in range(_ATTEMPTS):
        lender = mixed(np.uint64(attempt * count) + np.arange(count, dtype=np.uint64)) % np.uint64(count)
        source = lender.astype(np.int64)[column]
        has_value = filled[row, source]
        result[row[has_value], column[has_value]] = result[row[has_value], source[has_value]]
        row, column = row[~has_value], column[~has_value]
        if not len(row):
            return
    result[row, column] = result[row, filled.argmax(axis=1)[row]]


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard similarity of two sorted sets; 1 for two empty ones."""
    both = np.concatenate([first, second])
    both.sort()  # a value of both sets stands twice
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    union = len(both) - shared
    return shared / union if union else 1.0


def agreement(signature_rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarity of each pair (num_pairs, 2) of rows: the share of places that agree."""
    shares = [np.zeros(0)]
    for start in range(0, len(pairs), 8192):
        block = pairs[start : start + 8192]
        shares.append((signature_rows[block[:, 0]] == signature_rows[block[:, 1]]).mean(axis=1))
    return np.concatenate(shares)
