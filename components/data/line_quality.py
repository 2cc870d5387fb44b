"""Scores of lines and paragraphs: Gopher's repetition of lines, FineWeb's shapes of lines, C4's sentences."""

from dataclasses import dataclass

import numpy as np

from components.data.counting import repeats, share
from components.data.scan import SPACE, UPPER, Hasher, Scan, lines, mixed

SHORT_LINE_CHARS = 30
"""FineWeb: lines of this length or less are short."""
BULLETS = "•-*‣▪●–"
"""Characters that begin a bulleted line."""
LINE_ENDS, SENTENCE_ENDS = ".?!\"'", ".?!"
BOILERPLATE = (
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""C4: lines with one of these are no text."""
MIN_LINE_WORDS, MAX_WORD_CHARS = 3, 1000
"""C4: shorter lines, and lines with a longer word, are no text."""


@dataclass
class Lines:
    """The lines of a scan; arrays of (num_lines,).

    Attributes:
        starts, ends: positions, the newline excluded.
        document: which text.
        first, last: position of the first and last character that is no white space; first > last in an empty line.
    """

    starts: np.ndarray
    ends: np.ndarray
    document: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def full(self) -> np.ndarray:
        """Which lines are not empty."""
        return self.last >= self.first


def find_lines(scanned: Scan) -> Lines:
    """All lines of all texts."""
    starts, ends = lines(scanned)
    inked = np.append(np.flatnonzero((scanned.kinds & SPACE) == 0), len(scanned.codes))
    first = inked[np.searchsorted(inked, starts)]
    last = inked[np.searchsorted(inked, ends) - 1] if len(inked) > 1 else starts - 1
    last = np.where(first < ends, last, first - 1)
    return Lines(starts, ends, scanned.document_of(starts), first, last)


def line_scores(scanned: Scan, hasher: Hasher, num_tokens: np.ndarray, num_chars: np.ndarray) -> dict[str, np.ndarray]:
    """All scores that look at lines or paragraphs; see `quality.scores`."""
    found = find_lines(scanned)
    count = len(num_chars)
    document, full = found.document, found.full
    num_lines, num_full = _per_document(document, count), _per_document(document[full], count)
    ends_well = full & _is_any(scanned.codes, found.last, LINE_ENDS)
    ellipsis = full & _ends_in_ellipsis(scanned.codes, found)
    bullet = full & _is_any(scanned.codes, found.first, BULLETS)
    short = full & (found.ends - found.starts <= SHORT_LINE_CHARS)
    line_repeats, line_chars = _repeated(hasher, found.starts[full], found.ends[full], document[full], count)
    begins, ends = _paragraphs(found, full)
    paragraphs = document[begins]
    starts, stops = found.starts[begins], found.ends[ends]
    paragraph_repeats, paragraph_chars = _repeated(hasher, starts, stops, paragraphs, count)
    sentences, curly = _c4(scanned, found, ends_well & ~ellipsis, count)
    return {
        "bullet_lines": share(_per_document(document[bullet], count), num_full),
        "ellipsis_lines": share(_per_document(document[ellipsis], count), num_full),
        "duplicate_lines": share(line_repeats, num_full),
        "duplicate_line_chars": share(line_chars, num_chars),
        "duplicate_paragraphs": share(paragraph_repeats, _per_document(paragraphs, count)),
        "duplicate_paragraph_chars": share(paragraph_chars, num_chars),
        "punctuated_lines": share(_per_document(document[ends_well], count), num_full),
        "short_lines": share(_per_document(document[short], count), num_full),
        "repeated_line_chars": share(line_chars, num_chars - num_lines + 1),
        "newlines_per_word": share(num_lines - 1, num_tokens),
        "sentences": sentences,
        "curly_lines": curly,
        "lorem_ipsum": _occurrences(scanned, "lorem ipsum"),
    }


def _per_document(document: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(document, minlength=count)


def _is_any(codes: np.ndarray, positions: np.ndarray, characters: str) -> np.ndarray:
    """Whether the character at each position (clipped to the text) is one of `characters`."""
    return np.isin(codes[np.clip(positions, 0, len(codes) - 1)], [ord(each) for each in characters])


def _ends_in_ellipsis(codes: np.ndarray, found: Lines) -> np.ndarray:
    dots = np.ones(len(found.last), dtype=bool)
    for back in range(3):
        dots &= (found.last - back >= found.first) & _is_any(codes, found.last - back, ".")
    return dots | _is_any(codes, found.last, "…")


def _repeated(
    hasher: Hasher, starts: np.ndarray, ends: np.ndarray, document: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Per text: how many of its stretches repeat an earlier one of it, and their characters."""
    repeated, is_first, _ = repeats(mixed(hasher(starts, ends) ^ mixed(document.astype(np.uint64))))
    later = repeated & ~is_first
    chars = np.bincount(document[later], weights=(ends - starts)[later], minlength=count)
    return _per_document(document[later], count), chars.astype(np.int64)


def _paragraphs(found: Lines, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last line (indices) of all runs of lines that are not empty, within a text."""
    new_text = np.diff(found.document) > 0
    begins = full & np.concatenate([[True], ~full[:-1] | new_text])
    ends = full & np.concatenate([~full[1:] | new_text, [True]])
    return np.flatnonzero(begins), np.flatnonzero(ends)


def _c4(scanned: Scan, found: Lines, ends_well: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sentences in the lines C4 would keep, and how many of those have a curly bracket; per text."""
    codes, space = scanned.codes, (scanned.kinds & SPACE) != 0
    word_starts = np.flatnonzero(~space & np.concatenate([[True], space[:-1]]))
    word_ends = np.flatnonzero(space & np.concatenate([[False], ~space[:-1]]))
    long = word_starts[word_ends - word_starts > MAX_WORD_CHARS]
    text = ends_well & (_within(word_starts, found) >= MIN_LINE_WORDS) & (_within(long, found) == 0)
    curly = text & (_within(np.flatnonzero(codes == ord("{")), found) > 0)
    for phrase in BOILERPLATE:
        positions = _find(scanned, phrase)
        if len(positions):
            text &= _within(positions, found) == 0
    sentences = 1 + _within(_sentence_breaks(scanned, space), found)
    total = np.bincount(found.document[text], weights=sentences[text], minlength=count)
    return total.astype(np.int64), _per_document(found.document[curly], count)


def _sentence_breaks(scanned: Scan, space: np.ndarray) -> np.ndarray:
    """Ends of sentences inside a line: `.?!`, perhaps a quote or bracket, a space, and a capital, digit or quote."""
    codes = scanned.codes
    end = np.flatnonzero(_is_any(codes, np.arange(len(codes)), SENTENCE_ENDS))
    after = end + 1
    after = after + _is_any(codes, after, "\"')]”’")
    after = np.minimum(after, len(codes) - 2)
    opening = ((scanned.kinds[after + 1] & UPPER) != 0) | _is_any(codes, after + 1, "\"'(“‘0123456789")
    return end[space[after] & (codes[after] != 0x0A) & opening]


def _within(positions: np.ndarray, found: Lines) -> np.ndarray:
    """How many of the sorted positions lie in each line."""
    return np.searchsorted(positions, found.ends) - np.searchsorted(positions, found.starts)


def _find(scanned: Scan, phrase: str) -> np.ndarray:
    """Where a phrase of ASCII letters and spaces begins, in any case."""
    codes = scanned.codes
    at = np.flatnonzero((codes == ord(phrase[0])) | (codes == ord(phrase[0].upper())))
    for place, letter in enumerate(phrase[1:], start=1):
        at = at[at + place < len(codes)]
        at = at[(codes[at + place] == ord(letter)) | (codes[at + place] == ord(letter.upper()))]
    return at


def _occurrences(scanned: Scan, phrase: str) -> np.ndarray:
    return scanned.count(_find(scanned, phrase))
