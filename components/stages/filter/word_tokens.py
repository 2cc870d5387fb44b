"""The tokens of scanned texts as arrays: `word_split` for each different stretch, laid out for all of them."""

from dataclasses import dataclass

import numpy as np

from components.stages.filter.array_counts import repeats
from components.stages.filter.spacy_rules import word_lengths
from components.text.codepoints import SPACE, UNSPACED, Hasher, Scan


@dataclass
class Tokens:
    """The tokens of a scan, in order.

    Attributes:
        starts, ends: (num_tokens,) int64 positions.
        hashes: (num_tokens,) uint64.
        bounds: (num_texts + 1,) int64, the first token of each text.
    """

    starts: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    bounds: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, one per token, within each text; int64."""
        total = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=total[1:])
        return total[self.bounds[1:]] - total[self.bounds[:-1]]

    def count_inside(self, flags: np.ndarray) -> np.ndarray:
        """How many of the flagged characters each token holds, (num_tokens,) int32; `flags` is (num_chars,) bool."""
        before = np.zeros(len(flags) + 1, dtype=np.int32)
        np.cumsum(flags, out=before[1:])
        return before[self.ends] - before[self.starts]


def tokenise(scanned: Scan, hasher: Hasher) -> Tokens:
    """Split the texts; in scripts without spaces each character is a token."""
    starts, ends = stretches(scanned)
    which, is_first, _ = repeats(hasher(starts, ends))
    first = np.empty(int(is_first.sum()), dtype=np.int64)
    first[which[is_first]] = np.flatnonzero(is_first)
    places = zip(starts[first].tolist(), ends[first].tolist(), strict=True)
    lengths = [word_lengths(scanned.text[start:end]) for start, end in places]
    counts = np.array([len(each) for each in lengths], dtype=np.int64)
    together = np.array([length for each in lengths for length in each], dtype=np.int64)
    begins = np.cumsum(counts) - counts
    number = counts[which]  # of tokens, per stretch
    done = np.cumsum(number) - number
    length = together[np.arange(number.sum()) + np.repeat(begins[which] - done, number)]
    before = np.cumsum(length) - length
    token_starts = before + np.repeat(starts - before[done], number) if len(number) else before
    token_ends = token_starts + length
    alone = np.flatnonzero(scanned.kinds & UNSPACED)
    if len(alone):
        token_starts, token_ends = _cut_at(token_starts, token_ends, alone)
    bounds = np.searchsorted(token_starts, scanned.bounds)
    return Tokens(token_starts, token_ends, hasher(token_starts, token_ends), bounds)


def stretches(scanned: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of all runs of characters that are no white space."""
    space = np.concatenate([[True], (scanned.kinds & SPACE) != 0])  # the last is: a newline follows each text
    changes = np.flatnonzero(space[1:] != space[:-1])
    return changes[0::2], changes[1::2]


def _cut_at(starts: np.ndarray, ends: np.ndarray, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tokens cut before and after each of these characters."""
    after = alone + 1
    return _merged(starts, alone, after[~_among(after, ends)]), _merged(ends, after, alone[~_among(alone, starts)])


def _among(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Which values are among the sorted places (of which there are some)."""
    return places[np.minimum(np.searchsorted(places, values), len(places) - 1)] == values


def _merged(*places: np.ndarray) -> np.ndarray:
    """All of these, in order, each once. (`np.union1d` takes ten times as long.)"""
    together = np.concatenate(places)
    together.sort()
    return together[np.concatenate([[True], together[1:] != together[:-1]])]
