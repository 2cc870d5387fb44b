"""Tokens of scanned texts as arrays: each different stretch without white space is split once, by `spacy_rules`."""

from dataclasses import dataclass

import numpy as np

from components.stages.filter.array_counts import repeats
from components.stages.filter.spacy_rules import word_lengths
from components.text.codepoints import SPACE, UNSPACED, Hasher, Scan, sorted_union


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
    # Each different stretch is split once. Example, for "don't a don't": the stretches are numbered which = 0 1 0 (in
    # any order), the different ones are split into lengths [2, 3] and [1], and laid out end to end: 2 3 1.
    which, is_first, _ = repeats(hasher(starts, ends))
    first = np.empty(int(is_first.sum()), dtype=np.int64)
    first[which[is_first]] = np.flatnonzero(is_first)
    lengths = [word_lengths(scanned.text[starts[place] : ends[place]]) for place in first.tolist()]
    counts = np.array([len(split) for split in lengths], dtype=np.int64)
    together = np.array([length for split in lengths for length in split], dtype=np.int64)
    begins = np.cumsum(counts) - counts  # of each different stretch in `together`: 0 2
    number = counts[which]  # tokens per stretch of the text: 2 1 2
    done = np.cumsum(number) - number  # tokens before each stretch: 0 2 3
    # Token t, in stretch s, is number t - done[s] of its split: together[begins[which[s]] + t - done[s]].
    length = together[np.arange(number.sum()) + np.repeat(begins[which] - done, number)]
    # Its start: the stretch's, plus the lengths of the tokens before it in the stretch.
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
    # A token starts at each of them and behind it, unless a token ends there anyway; and the reverse.
    return (
        sorted_union(starts, alone, after[~_among(after, ends)]),
        sorted_union(ends, after, alone[~_among(alone, starts)]),
    )


def _among(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Which values are among the sorted places (of which there are some)."""
    return places[np.minimum(np.searchsorted(places, values), len(places) - 1)] == values
