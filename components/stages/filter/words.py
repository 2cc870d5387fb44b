"""Words of scanned texts, as arrays."""

from dataclasses import dataclass

import numpy as np

from components.text.codepoints import ALNUM, ALPHA, UNSPACED, WORD, Hasher, Scan


@dataclass
class WordCounts:
    """The words of a scan, in order.

    A word is a run of letters, digits, `_` and combining marks (`\\w+`) with a letter in it; in a script written
    without spaces it is one character. Punctuation, rulers and numbers are part of no word and none by themselves.

    Attributes:
        starts, ends: (num_words,) int64 positions.
        hashes: (num_words,) uint64.
        bounds: (num_texts + 1,) int64, the first word of each text.
        numbers: (num_texts,) int64, runs with a digit and no letter.
        spaced: (num_words,) bool, which are of a script with spaces between words.
    """

    starts: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    bounds: np.ndarray
    numbers: np.ndarray
    spaced: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Words of each text, (num_texts,) int64."""
        return np.diff(self.bounds)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, one per word, within each text; int64."""
        total = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=total[1:])
        return total[self.bounds[1:]] - total[self.bounds[:-1]]


def find_words(scanned: Scan, hasher: Hasher) -> WordCounts:
    """All words of all texts."""
    inside = np.concatenate([(scanned.kinds & WORD) != 0, [False]])  # a newline follows each text: the last is outside
    alone = np.concatenate([(scanned.kinds & UNSPACED) != 0, [False]])  # these are inside, too
    # A border lies between two characters of which one alone is inside, and on both sides of one that stands alone.
    border = (inside[1:] != inside[:-1]) | alone[1:] | alone[:-1]
    starts = np.flatnonzero(inside & np.concatenate([[True], border]))
    ends = np.flatnonzero(inside[:-1] & border) + 1
    has_letter = _any_inside((scanned.kinds & ALPHA) != 0, starts, ends)
    numbers = starts[~has_letter & _any_inside((scanned.kinds & ALNUM) != 0, starts, ends)]
    starts, ends = starts[has_letter], ends[has_letter]
    bounds, spaced = np.searchsorted(starts, scanned.bounds), (scanned.kinds[starts] & UNSPACED) == 0
    return WordCounts(starts, ends, hasher(starts, ends), bounds, scanned.count(numbers), spaced)


def _any_inside(flags: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which stretches hold a flagged character."""
    before = np.zeros(len(flags) + 1, dtype=np.int32)
    np.cumsum(flags, out=before[1:])
    return before[ends] > before[starts]
