"""Documents as sets of word n-grams (shingles), and their MinHash signatures.

A shingle is the hash of n words in a row, lower-cased (`scan` says what a word is). A document of fewer words has one
shingle, all its words: short documents are alike only if they are the same word for word. A document without any word
has none. Two documents are compared by the Jaccard similarity of these sets, |A and B| / |A or B|.

The signature holds, for each of K hash functions, the smallest value over the set; the share of places in which two
signatures agree estimates the Jaccard similarity with a standard error of sqrt(J (1 - J) / K) (Broder 1997, "On the
resemblance and containment of documents").
"""

import numpy as np

from components.data.scan import Hasher, Scan, mixed, words

_BLOCK = 1 << 15
"""Shingles hashed at once: 256 KB, so that a block stays in the cache through all K functions."""


def shingle_sets(scanned: Scan, hasher: Hasher, ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of each text of `scanned` (whose texts are lower-cased).

    Returns:
        (total,) uint64, sorted and unique within each text; (num_texts + 1,) int64 where each text's begin.
    """
    starts, ends = words(scanned)
    hashes = hasher(starts, ends)
    first_word = np.searchsorted(starts, scanned.bounds)
    grams = _grams(hashes, ngram)
    sets = []
    for first, last in zip(first_word[:-1].tolist(), first_word[1:].tolist(), strict=True):
        if last - first >= ngram:
            sets.append(np.unique(grams[first : last - ngram + 1]))
        else:
            sets.append(_grams(hashes[first:last], last - first))
    offsets = np.zeros(len(sets) + 1, dtype=np.int64)
    np.cumsum([len(each) for each in sets], out=offsets[1:])
    return np.concatenate([np.zeros(0, np.uint64), *sets]), offsets


def _grams(hashes: np.ndarray, ngram: int) -> np.ndarray:
    """Hashes of every `ngram` neighbours, and of their number: a short text never equals part of a long one."""
    count = max(len(hashes) - ngram + 1, 0) if ngram else 0
    total = np.full(count, ngram, dtype=np.uint64)
    weight = 1
    for place in range(ngram):
        weight = weight * 0xD6E8FEB86659FD93 % (1 << 64)
        total += hashes[place : place + count] * np.uint64(weight)
    return mixed(total)


def coefficients(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers (odd) and addends of `count` hash functions, each (count,) uint64, from splitmix64 of `seed`."""
    steps = np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    values = mixed(steps + mixed(np.array([seed % (1 << 64)], dtype=np.uint64)))
    return values[:count] | np.uint64(1), values[count:]


def signatures(shingles: np.ndarray, offsets: np.ndarray, seed: int, count: int) -> np.ndarray:
    """MinHash signatures.

    Args:
        shingles: (total,) uint64, the sets end to end.
        offsets: (num_texts + 1,) int64.
        seed: chooses the hash functions.
        count: K, how many.

    Returns:
        (num_texts, count) uint32; all ones for an empty set.
    """
    result = np.full((len(offsets) - 1, count), 0xFFFFFFFF, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return result
    firsts = offsets[filled]
    segments = np.union1d(firsts, np.arange(0, len(shingles), _BLOCK))
    smallest = np.empty((len(segments), count), dtype=np.uint32)
    for block in range(0, len(shingles), _BLOCK):
        values = shingles[block : block + _BLOCK]
        low, high = np.searchsorted(segments, [block, block + _BLOCK])
        _sign_block(values, segments[low:high] - block, seed, smallest[low:high])
    result[filled] = np.minimum.reduceat(smallest, np.searchsorted(segments, firsts), axis=0)
    return result


def _sign_block(values: np.ndarray, firsts: np.ndarray, seed: int, out: np.ndarray) -> None:
    """Signatures of the pieces of a block that begin at `firsts`, into `out`."""
    multipliers, addends = coefficients(seed, out.shape[1])
    hashed = np.empty_like(values)
    for function in range(out.shape[1]):
        np.multiply(values, multipliers[function], out=hashed)
        hashed += addends[function]
        hashed >>= np.uint64(32)  # the upper half of a multiply-add is well mixed, the lower is not
        out[:, function] = np.minimum.reduceat(hashed, firsts)


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard similarity of two sorted sets; 1 for two empty ones."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


def agreement(signature_rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarity of each pair (num_pairs, 2) of rows: the share of places that agree."""
    shares = [np.zeros(0)]
    for at in range(0, len(pairs), 8192):
        block = pairs[at : at + 8192]
        shares.append((signature_rows[block[:, 0]] == signature_rows[block[:, 1]]).mean(axis=1))
    return np.concatenate(shares)
