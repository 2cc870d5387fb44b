"""The lines of scanned texts, for the scores that look at them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.text.codepoints import SPACE, Scan, lines


@dataclass
class Lines:
    """The lines of a scan; arrays of (num_lines,).

    Attributes:
        starts, ends: positions, the newline excluded.
        document: which text.
        first, last: position of the first and last character that is no white space; first > last in a blank line.
    """

    starts: np.ndarray
    ends: np.ndarray
    document: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def full(self) -> np.ndarray:
        """Which lines are not blank."""
        return self.last >= self.first

    def within(self, positions: np.ndarray) -> np.ndarray:
        """How many of the sorted positions lie in each line."""
        return np.searchsorted(positions, self.ends) - np.searchsorted(positions, self.starts)


def find_lines(scanned: Scan) -> Lines:
    """All lines of all texts."""
    starts, ends = lines(scanned)
    # Positions of all characters that are no white space, and one past the end. The first of a line is the next such
    # position from its start, the last the one before its end; in a blank line both are outside the line.
    inked = np.append(np.flatnonzero((scanned.kinds & SPACE) == 0), len(scanned.codes))
    first = inked[np.searchsorted(inked, starts)]
    last = inked[np.searchsorted(inked, ends) - 1] if len(inked) > 1 else starts - 1
    last = np.where(first < ends, last, first - 1)
    return Lines(starts, ends, scanned.document_of(starts), first, last)


def is_any(codes: np.ndarray, positions: np.ndarray, characters: str) -> np.ndarray:
    """Whether the character at each position (clipped to the text) is one of `characters`."""
    return np.isin(codes[np.clip(positions, 0, len(codes) - 1)], [ord(character) for character in characters])


def ends_in_ellipsis(codes: np.ndarray, text_lines: Lines) -> np.ndarray:
    """Which lines end in three dots, or the one character for them."""
    dots = np.ones(len(text_lines.last), dtype=bool)
    for back in range(3):
        dots &= (text_lines.last - back >= text_lines.first) & is_any(codes, text_lines.last - back, ".")
    return dots | is_any(codes, text_lines.last, "…")


def occurrences(text: str, phrase: str) -> Iterator[int]:
    """Positions at which a phrase begins."""
    start = text.find(phrase)
    while start >= 0:
        yield start
        start = text.find(phrase, start + 1)
