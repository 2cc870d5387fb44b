"""Shares and repeat counts, of which all scores are made."""

import numpy as np

from components.text.codepoints import mixed


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0; float64."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def within(hashes: np.ndarray, document: np.ndarray) -> np.ndarray:
    """Hashes made equal only within a text, uint64 (num_hashes,).

    The number of the text is lifted out of the range of code points: the hash of a one-letter word is its mixed code,
    so that the letter of one text's number in another text would otherwise cancel out.
    """
    return mixed(hashes ^ mixed(document.astype(np.uint64) + np.uint64(1 << 40)))


def repeats(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group equal keys. Returns three arrays, one entry per key: group number, first of its group (bool), group size.

    Example: the keys 7 3 7 give the groups 1 0 1 (numbered in the order of the keys), True True False, and 2 1 2.
    """
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.int64)
    order = np.argsort(keys)  # equal keys become neighbours; all counts are made on `ordered` and scattered back
    ordered = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    per_group = np.diff(np.append(begins, len(keys)))
    group, count = np.empty((2, len(keys)), dtype=np.int64)
    group[order] = np.repeat(np.arange(len(begins)), per_group)
    count[order] = np.repeat(per_group, per_group)
    is_first = np.zeros(len(keys), dtype=bool)
    # The sort is fast and not stable; the smallest place of a group is the same whatever it did.
    is_first[np.minimum.reduceat(order, begins)] = True
    return group, is_first, count
